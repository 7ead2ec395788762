"""The grammars of plans, in one Lark profile that llguidance and lark read alike.

`plan_grammar` is a domain's static grammar, its `grammar.lark`: every well-formed plan text,
whatever the plan state. `step_grammar` is what may follow in a given plan state and budget; it
additionally subtracts keys that are bound already, with llguidance's terminal operators `&` and
`~`, which lark does not have, so it is for the mask only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from bb_domains.calls import PLAN_CLOSE, PLAN_OPEN, CallText, all_texts, reference, step_open
from bb_domains.errors import DomainError, PlanGrammarError
from bb_domains.writer import Template, Writer, key_expression, write

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

    from bb_domains.compiler import PlanMachine
    from bb_domains.schema import PlanSchema
    from bb_domains.states import PlanState


def plan_grammar(schema: PlanSchema) -> str:
    """Return the static grammar of a domain's plans: canonical text, ids by position.

    Raises:
        LowerError: an argument schema cannot be lowered.
    """
    writer = Writer()
    calls = {
        name: writer.fragment(texts.levels[0].rule) for name, texts in all_texts(schema).items()
    }
    names = _rule_names(calls)
    chain = [_chain_rule(schema, i) for i in range(schema.limits.max_steps)]
    start = "start: step_0"
    if schema.graph.min_steps == 0:
        start += f" | {json.dumps(PLAN_OPEN + PLAN_CLOSE)}"
    rules = [start, *chain, f"call: {' | '.join(names.values())}"]
    rules += [f"{names[tool]}: {call.text}" for tool, call in calls.items()]
    needs = (name for call in calls.values() for name in call.needs)
    return write(rules, writer.definitions(needs))


def _rule_names(tools: Iterable[str]) -> dict[str, str]:
    """A rule name per tool: Lark's rules are in lower case, and `getPet` is not `getpet`."""
    names: dict[str, str] = {}
    for tool in tools:
        name = f"call_{tool.lower()}"
        while name in names.values():
            name += "_"
        names[tool] = name
    return names


def _chain_rule(schema: PlanSchema, i: int) -> str:
    """The i-th step and what may follow it."""
    taken = i + 1
    tails = [json.dumps(PLAN_CLOSE)] if taken >= schema.graph.min_steps else []
    if taken < schema.limits.max_steps:
        tails.append(f"step_{taken}")
    return f"step_{i}: {json.dumps(step_open(i))} call ({' | '.join(tails)})"


def parse_with_lark(grammar: str, text: str) -> Tree[Token]:
    """Parse a whole text with the static grammar (LALR, contextual lexer).

    Raises:
        PlanGrammarError: the text is not a sentence; names the column, what stands there and what
            could.
        DomainError: the grammar itself is not Lark.
    """
    from lark.exceptions import UnexpectedInput as Unexpected

    parser = _lark(grammar)
    try:
        return parser.parse(text)
    except Unexpected as error:
        at = error.column - 1 if error.column > 0 else len(text)
        at, expected = _nearest(parser, _expected(error), text, at)
    found = text[at : at + 20]
    raise PlanGrammarError(
        f"unexpected {found!r}" if found else "the text ends too early",
        where=f"plan text: column {at + 1}",
        fix=f"after {text[max(0, at - 20) : at]!r} write {expected}",
    )


def _expected(error: UnexpectedInput) -> set[str]:
    """Names of the terminals that could stand where the parser stopped."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    if isinstance(error, UnexpectedCharacters):
        return set(error.allowed or ())
    return set(error.expected) if isinstance(error, UnexpectedToken) else set()


def _nearest(parser: Lark, names: set[str], text: str, at: int) -> tuple[int, str]:
    """Where the text leaves the literal that fits it furthest, and what should follow there.

    Literals of the grammar are long; the place of the fault is inside one of them.
    """
    from lark.lexer import PatternStr

    expected = [terminal for terminal in parser.terminals if terminal.name in names]
    literals = [t.pattern.value for t in expected if isinstance(t.pattern, PatternStr)]
    shared = [_shared(literal, text[at:]) for literal in literals]
    furthest = max(shared, default=0)
    rests = [t[n:] for t, n in zip(literals, shared, strict=True) if n == furthest]
    if furthest == 0:
        rests += [t.name for t in expected if not isinstance(t.pattern, PatternStr)]
    return at + furthest, " or ".join(dict.fromkeys(rests)) or "nothing"


def _shared(one: str, two: str) -> int:
    """Length of the longest common beginning."""
    pairs = enumerate(zip(one, two, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(two)))


@lru_cache(maxsize=16)
def _lark(grammar: str) -> Lark:
    from lark import Lark
    from lark.exceptions import LarkError

    try:
        return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False)
    except LarkError as error:
        message = str(error).splitlines()[0]
        raise DomainError(message, where="grammar.lark", fix="regenerate it") from None


class StepTemplates:
    """Every call of a domain at every level, written down once with holes for its slots."""

    def __init__(self, texts: Iterable[CallText]) -> None:
        self.writer = Writer()
        self._templates = {text: self.writer.template(text.rule) for text in texts}

    def __getitem__(self, text: CallText) -> Template:
        return self._templates[text]


def step_grammar(
    machine: PlanMachine, state: PlanState, remaining_bytes: int, emitted: bytes = b""
) -> str:
    """Return the grammar of what may follow, up to the next choice of a tool or the plan's end.

    At the start of a plan the text is `{"plan":[{"id":"a","tool":"`, an admissible call, and then
    `]}` or the text before the next call, where the plan may end or go on. Between steps `emitted`
    is what has been written since the last completed call; the grammar continues from there.

    A call is offered at the loosest level (`bounds.levels`) whose longest text leaves room for the
    cheapest completion, so whatever is written, the plan can still be finished in the budget.

    Args:
        machine: the domain's logic.
        state: the plan state after the last completed step.
        remaining_bytes: how much may still be written after `emitted`.
        emitted: bytes already written of the fixed text after the last completed step.

    Returns:
        A grammar for llguidance.

    Raises:
        DomainError: nothing fits in the budget, or `emitted` is no beginning of what may follow.
    """
    opening, ending = step_open(state.n_steps).encode(), PLAN_CLOSE.encode()
    if state.n_steps == 0:
        ending = (PLAN_OPEN + PLAN_CLOSE).encode()
    lines: list[str] = []
    starts: list[str] = []
    ends = machine.can_end(state) and ending.startswith(emitted)
    if ends and len(ending) - len(emitted) <= remaining_bytes:
        starts.append(_literal(ending[len(emitted) :]))
    if opening.startswith(emitted):
        left = remaining_bytes - (len(opening) - len(emitted))
        lines = _call_lines(machine, state, left)
        if lines:
            starts.append(f"{_literal(opening[len(emitted) :])} next".strip())
    if not starts:
        raise _nothing_fits(machine, state, remaining_bytes, emitted)
    return write([f"start: {' | '.join(starts)}"], lines)


def _literal(text: bytes) -> str:
    return json.dumps(text.decode("ascii")) if text else ""


def _call_lines(machine: PlanMachine, state: PlanState, budget: int) -> list[str]:
    """Rule `next` and what it needs; empty if no call fits. `budget` counts from the tool name."""
    if state.n_steps >= machine.schema.limits.max_steps:
        return []
    calls: dict[tuple[bool, bool], list[str]] = {}
    needs: set[str] = set()
    own: list[str] = []
    named: dict[str, str] = {}
    for lane in machine.allowed(state.bits):
        offer = offered(machine, state, lane, budget)
        if offer is None:
            continue
        text, ends, goes_on = offer
        template = machine.templates[text]
        slots, lines, mentioned = _fill(machine, state, lane, template, named)
        calls.setdefault((ends, goes_on), []).append(template.fill(slots))
        needs |= template.needs | mentioned
        own += lines
    rules: list[str] = []
    tops: list[str] = []
    for (ends, goes_on), texts in calls.items():
        name = "call_end_or_next" if ends and goes_on else "call_end" if ends else "call_next"
        tails = [json.dumps(PLAN_CLOSE)] if ends else []
        tails += [json.dumps(step_open(state.n_steps + 1))] if goes_on else []
        tops.append(f"{name} ({' | '.join(tails)})")
        rules.append(f"{name}: {' | '.join(texts)}")
    if not tops:
        return []
    return [f"next: {' | '.join(tops)}", *rules, *machine.templates.writer.definitions(needs), *own]


def offered(
    machine: PlanMachine, state: PlanState, lane: int, budget: int
) -> tuple[CallText, bool, bool] | None:
    """How a lane may be taken within a budget of bytes counted from its tool name.

    Returns:
        The texts of its loosest level that fit, whether the plan may end after it and whether it
        may go on after it; None if no level leaves room for a legal end.
    """
    after = machine.after(state, lane)
    can_end = machine.can_end(after)
    for text in machine.texts[machine.lanes[lane].tool].levels:
        left = budget - text.most
        ends = can_end and left >= len(PLAN_CLOSE)
        goes_on = machine.can_go_on(after, left)
        if ends or goes_on:
            return text, ends, goes_on
    return None


def _fill(
    machine: PlanMachine,
    state: PlanState,
    lane: int,
    template: Template,
    named: dict[str, str],
) -> tuple[list[str], list[str], set[str]]:
    """Expressions of the slots of a call, definitions of their own, and names they mention."""
    taken = machine.lanes[lane]
    tool, steps = machine.schema.tools[taken.tool], state.step_of()
    texts: list[str] = []
    lines: list[str] = []
    mentioned: set[str] = set()
    for slot in template.slots:
        handle = tool.handles.get(slot.arg)
        if handle is not None:
            step = steps[handle.object, taken.slots[slot.arg]]
            texts.append(json.dumps(reference(step, handle.path)))
            continue
        assert tool.binds is not None  # the only other slot is the key of what a tool binds
        writer = machine.templates.writer
        fragment = writer.fragment(slot.general)
        mentioned |= fragment.needs
        keys = {h.key for h in state.handles if h.object == tool.binds.object}
        if keys:
            text, own = key_expression(slot.general, keys, writer, named)
            texts.append(text)
            lines += own
        else:
            texts.append(fragment.grouped())
    return texts, lines, mentioned


def _nothing_fits(
    machine: PlanMachine, state: PlanState, remaining_bytes: int, emitted: bytes
) -> DomainError:
    where = f"plan state after {state.n_steps} steps"
    need = machine.completion(state)
    if need is None:
        return DomainError("is a dead end", where=where, fix="take another way")
    if need[1] - len(emitted) > remaining_bytes:
        return DomainError(
            f"a legal end takes {need[1] - len(emitted)} bytes, {remaining_bytes} are left",
            where=where,
            fix="give a larger budget (a token is at least one byte)",
        )
    return DomainError(
        f"nothing legal starts with {emitted.decode('ascii', 'replace')!r}",
        where=where,
        fix="pass what was written since the last completed call",
    )
