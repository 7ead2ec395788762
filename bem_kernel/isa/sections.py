"""The lines of assembler text that start with a dot: names, circuits, ports, data, nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bb_core.errors import BBError
from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op
from bem_kernel.errors import KernelError
from bem_kernel.experts.expert import Condition, Expert, expert_from_expressions
from bem_kernel.experts.place import Scatter
from bem_kernel.isa.places import is_place, parse_scatter
from bem_kernel.isa.program import CIRCUIT_KEYWORDS, MAX_DATA_WORDS, Data, HostPort, Node
from bem_kernel.isa.text import Token, declare, error, look_up, number, shown

_SLOT = re.compile(r"%(0|[1-9][0-9]{0,8})")
_WORD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Draft:
    """What has been read so far.

    The half-read circuit is in `circuit`; `node` is the name and the start of the open CFG node.
    """

    bits: dict[str, int] = field(default_factory=dict)
    experts: dict[str, Expert] = field(default_factory=dict)
    ports: dict[str, HostPort] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    data: dict[str, Data] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    code: list[list[Token]] = field(default_factory=list)
    circuit: list[list[Token]] = field(default_factory=list)
    node: tuple[Token, int] | None = None
    n_words: int = 0


def read_section(draft: Draft, tokens: list[Token], line: str) -> None:
    """Enter what a line that starts with a dot declares.

    Raises:
        AssembleError: whatever is wrong, with line and column.
    """
    match tokens[0].text:
        case ".bits":
            for token in tokens[1:]:
                declare(draft.bits, token, len(draft.bits), "bit")
        case ".expert":
            _read_expert(draft, tokens, line)
        case ".circuit":
            draft.circuit.append(tokens)
        case ".out":
            _read_circuit(draft, tokens)
        case ".port":
            name, lists = _name_and_lists(tokens, ("writes",))
            writes = _bits(draft, lists["writes"])
            if len(set(writes)) != len(writes):
                raise error(name, "a bit is written twice", "write each bit once")
            declare(draft.ports, name, HostPort(name.text, writes), "port")
        case ".const":
            name, value = _named_numbers(tokens, 1)
            declare(draft.constants, name, value[0])
        case ".data":
            name, words = _named_numbers(tokens, len(tokens) - 2)
            _declare_data(draft, name, tuple(word % (1 << 64) for word in words))
        case ".space":
            name, (size,) = _named_numbers(tokens, 1)
            if not 1 <= size <= MAX_DATA_WORDS:
                raise error(tokens[2], f"{size} words", f"use 1 to {MAX_DATA_WORDS}")
            _declare_data(draft, name, (0,) * size)
        case ".cfg":
            _read_node(draft, tokens)
        case text:
            known = ".bits, .expert, .circuit, .port, .const, .data, .space or .cfg"
            raise error(tokens[0], f"no section {shown(text)}", f"use {known}")


def _read_expert(draft: Draft, tokens: list[Token], line: str) -> None:
    """`.expert NAME: target = expression; target = expression`."""
    if len(tokens) < 2 or not tokens[1].text.endswith(":"):
        raise error(tokens[0], "no name", "write .expert NAME: target = expression")
    name = tokens[1].part(0, -1)
    body = line[tokens[1].column - 1 + len(tokens[1].text) :]
    assignments: dict[str, str] = {}
    for part in body.split(";"):
        target, equals, expression = part.partition("=")
        if not equals or target.strip() in assignments:
            raise error(
                name,
                f"{shown(part.strip())} is no assignment to a new target",
                "write target = expression, each target once, with ; between",
            )
        assignments[target.strip()] = expression.strip()
    try:
        expert = expert_from_expressions(name.text, assignments, draft.bits)
    except BBError as fault:
        raise error(name, f"{fault.where}: {fault.what}", fault.fix) from fault
    declare(draft.experts, name, expert, "expert")


def _name_and_lists(
    tokens: list[Token], keywords: tuple[str, ...]
) -> tuple[Token, dict[str, list[Token]]]:
    """`NAME keyword word word … keyword word …` after a directive; every list may be empty."""
    if len(tokens) < 2:
        raise error(tokens[0], "no name", f"write {tokens[0].text} NAME")
    lists: dict[str, list[Token]] = {keyword: [] for keyword in keywords}
    current: list[Token] | None = None
    for token in tokens[2:]:
        if token.text in lists:
            current = lists[token.text]
        elif current is None:
            fix = f"write {' or '.join(keywords)}"
            raise error(token, f"unexpected {shown(token.text)}", fix)
        else:
            current.append(token)
    return tokens[1], lists


def _bits(draft: Draft, tokens: list[Token]) -> tuple[int, ...]:
    return tuple(look_up(draft.bits, token, "bit") for token in tokens)


def _bits_and_places(
    draft: Draft, tokens: list[Token]
) -> tuple[tuple[int, ...], tuple[Scatter, ...]]:
    """State bits by name, then places."""
    named = [token for token in tokens if not is_place(token.text)]
    placed = [token for token in tokens if is_place(token.text)]
    if tokens != named + placed:
        raise error(placed[0], "a place before a state bit", "write the names first")
    places = []
    for token in placed:
        try:
            places.append(parse_scatter(token.text))
        except KernelError as fault:
            raise error(token, fault.what, fault.fix) from fault
    return _bits(draft, named), tuple(places)


def _condition(draft: Draft, lists: dict[str, list[Token]]) -> Condition | None:
    given = [(token, key == "when") for key in ("when", "unless") for token in lists[key]]
    if not given:
        return None
    if len(given) > 1:
        raise error(given[1][0], "a second condition", "write when BIT or unless BIT once")
    return Condition(look_up(draft.bits, given[0][0], "bit"), given[0][1])


def _read_circuit(draft: Draft, out: list[Token]) -> None:
    """Close the open `.circuit` with its `.out` line."""
    if not draft.circuit:
        raise error(out[0], ".out without .circuit", "open one with .circuit NAME")
    header, *lines = draft.circuit
    draft.circuit = []
    name, lists = _name_and_lists(header, CIRCUIT_KEYWORDS)
    reads, gathers = _bits_and_places(draft, lists["reads"])
    writes, scatters = _bits_and_places(draft, lists["writes"])
    condition = _condition(draft, lists)
    for token, place in zip(lists["reads"][len(reads) :], gathers, strict=True):
        if place.enable is not None:
            raise error(token, "what is read has no enabling output", "drop the ?")
    n_inputs = len(reads) + len(gathers)
    gates = [_gate(tokens, n_inputs + i) for i, tokens in enumerate(lines)]
    try:
        circuit = Circuit(n_inputs, tuple(gates), tuple(_slot(t) for t in out[1:]))
        places = tuple(gather.place for gather in gathers)
        expert = Expert(name.text, reads, circuit, writes, places, scatters, condition)
    except KernelError as fault:
        raise error(name, f"{fault.where}: {fault.what}", fault.fix) from fault
    declare(draft.experts, name, expert, "expert")


def _slot(token: Token) -> int:
    match = _SLOT.fullmatch(token.text)
    if match is None:
        raise error(token, f"{shown(token.text)} is no slot", "write slots as %0, %1, …")
    return int(match.group(1))


def _gate(tokens: list[Token], slot: int) -> Gate:
    """`%slot = OP %a %b`, the slots in order."""
    form = "write %slot = OP and its operands"
    if len(tokens) < 3 or tokens[1].text != "=" or _slot(tokens[0]) != slot:
        raise error(tokens[0], f"expected the gate of slot %{slot}", form)
    name = tokens[2]
    op = Op.__members__.get(name.text)
    if op is None:
        raise error(name, f"no gate {shown(name.text)}", f"use {', '.join(Op.__members__)}")
    operands = [_slot(token) for token in tokens[3:]]
    if len(operands) != ARITY[op]:
        raise error(name, f"{op.name} has {ARITY[op]} operands, not {len(operands)}", form)
    return Gate(op, *operands)


def _named_numbers(tokens: list[Token], count: int) -> tuple[Token, Sequence[int]]:
    """`NAME number …` after a directive: exactly `count` numbers, at least one."""
    kind = tokens[0].text
    if len(tokens) != 2 + count or count < 1:
        numbers = "number number …" if kind == ".data" else "number"
        raise error(tokens[0], "wrong number of words", f"write {kind} NAME {numbers}")
    if _WORD_NAME.fullmatch(tokens[1].text) is None:
        raise error(tokens[1], f"{shown(tokens[1].text)} is no name", "use letters, digits and _")
    return tokens[1], [_signed(token) for token in tokens[2:]]


def _signed(token: Token) -> int:
    minus = token.text.startswith("-")
    value = number(token.part(1)) if minus else number(token)
    if value is None or value >= 1 << 64 or (minus and value > 1 << 63):
        raise error(token, f"{shown(token.text)} is no number of 64 bits", "write 12, -3 or 0xff")
    return -value if minus else value


def _declare_data(draft: Draft, name: Token, words: tuple[int, ...]) -> None:
    declare(draft.data, name, Data(name.text, words), "data")
    draft.offsets[name.text] = draft.n_words
    draft.n_words += len(words)
    if draft.n_words > MAX_DATA_WORDS:
        raise error(name, f"{draft.n_words} words of data", f"use at most {MAX_DATA_WORDS}")


def _read_node(draft: Draft, tokens: list[Token]) -> None:
    """`.cfg NAME` opens a node here and closes the one before; `.cfg` alone closes it."""
    if len(tokens) > 2:
        raise error(tokens[2], f"unexpected {shown(tokens[2].text)}", "write .cfg NAME, or .cfg")
    close_node(draft)
    if len(tokens) == 2:
        draft.node = (tokens[1], len(draft.code))


def close_node(draft: Draft) -> None:
    """End the open CFG node, if there is one, before the next instruction.

    Raises:
        AssembleError: it has no instructions.
    """
    if draft.node is None:
        return
    name, start = draft.node
    draft.node = None
    if start == len(draft.code):
        raise error(name, f"node {shown(name.text)} has no instructions", "drop it")
    declare(draft.nodes, name, Node(name.text, start, len(draft.code)), "node")
