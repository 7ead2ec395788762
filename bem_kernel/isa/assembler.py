"""Programs as text.

    .bits logged_in looked_up bad          # state bits in order; may be repeated
    .expert login: logged_in = true        # target = expression; target = expression
    .circuit grant reads logged_in bad writes looked_up
      %2 = ANDN %0 %1                      # slots: the reads first, then one per line
    .out %2
    .port get_order writes looked_up bad
    start:
      EXPERT login
      TRAP_IF bad "order 1042 does not exist"
      HOST get_order
      JZ looked_up start
      JMP end
      LOG "done"
    end:
      HALT

`disassemble` writes every expert as `.circuit`, so that assembling its text gives an equal program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bb_core.errors import BBError
from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op
from bem_kernel.errors import AssembleError, KernelError
from bem_kernel.experts.expert import Expert, expert_from_expressions
from bem_kernel.isa.program import HostPort, Instruction, Opcode, Program

_T = TypeVar("_T")

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"#]+|#.*|"')
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SLOT = re.compile(r"%(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class _Token:
    text: str
    source: str
    line: int
    column: int


@dataclass
class _Draft:
    """What has been read so far; the half-read circuit is in `open_circuit`."""

    bits: dict[str, int] = field(default_factory=dict)
    experts: dict[str, Expert] = field(default_factory=dict)
    ports: dict[str, HostPort] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    code: list[list[_Token]] = field(default_factory=list)
    open_circuit: list[list[_Token]] = field(default_factory=list)


def assemble(text: str, source: str = "assemble") -> Program:
    """The program a text describes.

    Args:
        text: the text.
        source: where it comes from, for messages.

    Raises:
        AssembleError: whatever is wrong, with line and column; for malformed names, with the name.
    """
    draft = _Draft()
    for number, line in enumerate(text.splitlines(), start=1):
        tokens = [_Token(m.group(), source, number, m.start() + 1) for m in _TOKEN.finditer(line)]
        if tokens and tokens[-1].text.startswith("#"):
            line = line[: tokens[-1].column - 1]
            tokens.pop()
        if tokens:
            _read_line(draft, tokens, line)
    if draft.open_circuit:
        raise _error(draft.open_circuit[0][0], "this circuit has no .out line", "add one")
    code = tuple(_instruction(draft, tokens) for tokens in draft.code)
    experts, ports = tuple(draft.experts.values()), tuple(draft.ports.values())
    try:
        return Program(tuple(draft.bits), experts, ports, code)
    except KernelError as error:
        place = f"{source}: {error.where}"
        raise AssembleError(error.what, where=place, fix=error.fix) from error


def _error(token: _Token, what: str, fix: str) -> AssembleError:
    where = f"{token.source}: line {token.line}, column {token.column}"
    return AssembleError(what, where=where, fix=fix)


def _read_line(draft: _Draft, tokens: list[_Token], line: str) -> None:
    first = tokens[0]
    for token in tokens:
        if token.text == '"':
            raise _error(token, "this string is not closed", 'end it with "')
    if draft.open_circuit and first.text != ".out":
        draft.open_circuit.append(tokens)
        return
    match first.text:
        case ".bits":
            for token in tokens[1:]:
                _declare(draft.bits, token, len(draft.bits))
        case ".expert":
            _read_expert(draft, tokens, line)
        case ".circuit":
            draft.open_circuit.append(tokens)
        case ".out":
            _read_circuit(draft, tokens)
        case ".port":
            name, lists = _name_and_lists(draft, tokens, ("writes",))
            _declare(draft.ports, name, HostPort(name.text, lists["writes"]))
        case text if len(tokens) == 1 and text.endswith(":"):
            label = replace(first, text=text[:-1])
            if not _LABEL.fullmatch(label.text):
                raise _error(first, f"{text!r} is no label", "use letters, digits and _")
            _declare(draft.labels, label, len(draft.code))
        case _:
            draft.code.append(tokens)


def _declare(table: dict[str, _T], token: _Token, value: _T) -> None:
    if token.text in table:
        raise _error(token, f"{token.text!r} is declared twice", "choose another name")
    table[token.text] = value


def _look_up(table: Mapping[str, _T], token: _Token, kind: str) -> _T:
    if token.text not in table:
        known = ", ".join(list(table)[:8]) or "none"
        raise _error(token, f"{kind} {token.text!r} is not declared", f"declared: {known}")
    return table[token.text]


def _read_expert(draft: _Draft, tokens: list[_Token], line: str) -> None:
    """`.expert NAME: target = expression; target = expression`."""
    if len(tokens) < 2 or not tokens[1].text.endswith(":"):
        raise _error(tokens[0], "no name", "write .expert NAME: target = expression")
    name = replace(tokens[1], text=tokens[1].text[:-1])
    body = line[tokens[1].column - 1 + len(tokens[1].text) :]
    assignments: dict[str, str] = {}
    for part in body.split(";"):
        target, equals, expression = part.partition("=")
        if not equals or target.strip() in assignments:
            raise _error(
                name,
                f"{part.strip()!r} is no assignment to a new target",
                "write target = expression, each target once, with ; between",
            )
        assignments[target.strip()] = expression.strip()
    try:
        expert = expert_from_expressions(name.text, assignments, draft.bits)
    except BBError as error:
        raise _error(name, f"{error.where}: {error.what}", error.fix) from error
    _declare(draft.experts, name, expert)


def _name_and_lists(
    draft: _Draft, tokens: list[_Token], keywords: tuple[str, ...]
) -> tuple[_Token, dict[str, tuple[int, ...]]]:
    """`NAME keyword bit bit … keyword bit …` after a directive; every list may be empty."""
    if len(tokens) < 2:
        raise _error(tokens[0], "no name", f"write {tokens[0].text} NAME")
    lists: dict[str, list[int]] = {keyword: [] for keyword in keywords}
    current: list[int] | None = None
    for token in tokens[2:]:
        if token.text in lists:
            current = lists[token.text]
        elif current is None:
            raise _error(token, f"unexpected {token.text!r}", f"write {' or '.join(keywords)}")
        else:
            current.append(_look_up(draft.bits, token, "bit"))
    return tokens[1], {keyword: tuple(bits) for keyword, bits in lists.items()}


def _read_circuit(draft: _Draft, out: list[_Token]) -> None:
    """Close the open `.circuit` with its `.out` line."""
    if not draft.open_circuit:
        raise _error(out[0], ".out without .circuit", "open one with .circuit NAME")
    header, *lines = draft.open_circuit
    draft.open_circuit = []
    name, lists = _name_and_lists(draft, header, ("reads", "writes"))
    reads, writes = lists["reads"], lists["writes"]
    gates = [_gate(tokens, len(reads) + i) for i, tokens in enumerate(lines)]
    try:
        circuit = Circuit(len(reads), tuple(gates), tuple(_slot(t) for t in out[1:]))
        expert = Expert(name.text, reads, circuit, writes)
    except KernelError as error:
        raise _error(name, f"{error.where}: {error.what}", error.fix) from error
    _declare(draft.experts, name, expert)


def _slot(token: _Token) -> int:
    match = _SLOT.fullmatch(token.text)
    if match is None:
        raise _error(token, f"{token.text!r} is no slot", "write slots as %0, %1, …")
    return int(match.group(1))


def _gate(tokens: list[_Token], slot: int) -> Gate:
    """`%slot = OP %a %b`, the slots in order."""
    form = "write %slot = OP and its operands"
    if len(tokens) < 3 or tokens[1].text != "=" or _slot(tokens[0]) != slot:
        raise _error(tokens[0], f"expected the gate of slot %{slot}", form)
    name = tokens[2]
    op = Op.__members__.get(name.text)
    if op is None:
        raise _error(name, f"no gate {name.text!r}", f"use {', '.join(Op.__members__)}")
    operands = [_slot(token) for token in tokens[3:]]
    if len(operands) != ARITY[op]:
        raise _error(name, f"{op.name} has {ARITY[op]} operands, not {len(operands)}", form)
    return Gate(op, *operands)


_OPERANDS: dict[str, tuple[str, ...]] = {
    "EXPERT": ("expert",),
    "TRAP_IF": ("bit", "text"),
    "HOST": ("port",),
    "JZ": ("bit", "label"),
    "JMP": ("label",),
    "LOG": ("text",),
    "HALT": (),
}


def _instruction(draft: _Draft, tokens: list[_Token]) -> Instruction:
    mnemonic, *operands = tokens
    kinds = _OPERANDS.get(mnemonic.text)
    if kinds is None:
        known = ", ".join(_OPERANDS)
        raise _error(mnemonic, f"no instruction {mnemonic.text!r}", f"use {known}, or label:")
    if len(operands) != len(kinds):
        raise _error(
            mnemonic,
            f"{mnemonic.text} has {len(kinds)} operands, not {len(operands)}",
            f"write {' '.join((mnemonic.text, *kinds))}",
        )
    numbers, text = [], ""
    tables = {
        "expert": {name: i for i, name in enumerate(draft.experts)},
        "port": {name: i for i, name in enumerate(draft.ports)},
        "bit": draft.bits,
        "label": draft.labels,
    }
    for kind, token in zip(kinds, operands, strict=True):
        if kind == "text":
            text = _string(token)
        else:
            numbers.append(_look_up(tables[kind], token, kind))
    operand, target = (*numbers, 0, 0)[:2]
    return Instruction(Opcode[mnemonic.text], operand, target, text)


def _string(token: _Token) -> str:
    try:
        value = json.loads(token.text)
    except ValueError:
        value = None
    if not isinstance(value, str):
        raise _error(token, f"{token.text} is no string", 'write it in quotes: "…"')
    return value


def disassemble(program: Program) -> str:
    """The text of a program; `assemble` turns it back into an equal one."""
    lines = [f".bits {name}" for name in program.bit_names]
    for expert in program.experts:
        lines += _circuit_lines(expert, program)
    for port in program.ports:
        lines.append(" ".join((".port", port.name, *_named("writes", port.writes, program))))
    targets = {i.target for i in program.code if i.opcode is Opcode.JZ}
    targets |= {i.operand for i in program.code if i.opcode is Opcode.JMP}
    for pc, instruction in enumerate(program.code):
        if pc in targets:
            lines.append(f"L{pc}:")
        lines.append("  " + _instruction_text(instruction, program))
    if len(program.code) in targets:
        lines.append(f"L{len(program.code)}:")
    return "\n".join(lines) + "\n"


def _named(keyword: str, bits: tuple[int, ...], program: Program) -> list[str]:
    return [keyword, *(program.bit_names[bit] for bit in bits)] if bits else []


def _circuit_lines(expert: Expert, program: Program) -> list[str]:
    circuit = expert.circuit
    reads, writes = _named("reads", expert.reads, program), _named("writes", expert.writes, program)
    lines = [" ".join((".circuit", expert.name, *reads, *writes))]
    for i, gate in enumerate(circuit.gates):
        operands = [f"%{slot}" for slot in (gate.a, gate.b)[: ARITY[gate.op]]]
        lines.append(" ".join((f"  %{circuit.n_inputs + i} =", gate.op.name, *operands)))
    lines.append(" ".join((".out", *(f"%{slot}" for slot in circuit.outputs))))
    return lines


def _instruction_text(instruction: Instruction, program: Program) -> str:
    opcode, operand = instruction.opcode, instruction.operand
    quoted = json.dumps(instruction.text)
    match opcode:
        case Opcode.EXPERT:
            operands = [program.experts[operand].name]
        case Opcode.TRAP_IF:
            operands = [program.bit_names[operand], quoted]
        case Opcode.HOST:
            operands = [program.ports[operand].name]
        case Opcode.JZ:
            operands = [program.bit_names[operand], f"L{instruction.target}"]
        case Opcode.JMP:
            operands = [f"L{operand}"]
        case Opcode.LOG:
            operands = [quoted]
        case Opcode.HALT:
            operands = []
    return " ".join((opcode.name, *operands))
