"""Rules written down as Lark: one profile that llguidance and lark read alike.

`plan_grammar` is a domain's static grammar, its `grammar.lark`: every well-formed plan text,
whatever the plan state. `step_grammar` is what may follow in a given plan state and budget; it
additionally subtracts keys that are bound already, with llguidance's terminal operators `&` and
`~`, which lark does not have, so it is for the mask only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from bb_domains.calls import PLAN_CLOSE, PLAN_OPEN, CallText, all_texts, reference, step_open
from bb_domains.errors import DomainError, PlanGrammarError
from bb_domains.rules import Alt, Lit, Opt, Rule, Rx, Seq, Slot, has_slot

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

    from bb_domains.compiler import PlanMachine
    from bb_domains.lanes import Lane
    from bb_domains.schema import PlanSchema
    from bb_domains.states import PlanState


_INLINE_CHARACTERS = 60
"""Longer expressions of parts are written once, as rules of their own."""


class Writer:
    """Writes rules as Lark and keeps the terminals and shared rules they mention."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, frozenset[str]], str] = {}
        self._taken: dict[str, int] = {}
        self._lines: list[str] = []
        self._parts: dict[Rule, str] = {}

    def expression(self, rule: Rule, slots: Mapping[str, str] | None = None) -> str:
        """The Lark expression of a rule.

        Args:
            rule: the rule.
            slots: expressions that take the place of its slots; others are written in general.
        """
        match rule:
            case Lit(text):
                return json.dumps(text)
            case Rx():
                return self.terminal(rule)
            case Slot(arg, general):
                given = (slots or {}).get(arg)
                return given if given is not None else self._part(general)
            case Seq(items):
                return " ".join(self._part(item, slots) for item in items)
            case Alt(items):
                return " | ".join(self._part(item, slots) for item in items)
            case Opt(item):
                return f"({self._part(item, slots)})?"

    def _part(self, rule: Rule, slots: Mapping[str, str] | None = None) -> str:
        """The expression of a part of a rule: inline, or the name of a rule of its own."""
        if not isinstance(rule, Seq | Alt | Opt) or (slots is not None and has_slot(rule)):
            text = self.expression(rule, slots)
            return f"({text})" if isinstance(rule, Alt) else text
        found = self._parts.get(rule)
        if found is None:
            text = self.expression(rule)
            if len(text) > _INLINE_CHARACTERS:
                found = f"part_{len(self._parts)}"
                self._lines.append(f"{found}: {text}")
            else:
                found = f"({text})" if isinstance(rule, Alt) else text
            self._parts[rule] = found
        return found

    def terminal(self, rule: Rx, without: Iterable[str] = ()) -> str:
        """Name of the terminal of a regular expression, less some texts."""
        excluded = frozenset(without)
        name = self._names.get((rule.pattern, excluded))
        if name is None:
            if excluded:
                whole = self.terminal(rule)
                texts = " | ".join(json.dumps(text) for text in sorted(excluded))
                body = f"{whole} & ~({texts})"
                stem = f"{whole}_NEW"
            else:
                body, stem = f"/{rule.pattern}/", rule.name
            count = self._taken[stem] = self._taken.get(stem, 0) + 1
            name = stem if count == 1 else f"{stem}_V{count}"
            self._names[rule.pattern, excluded] = name
            self._lines.append(f"{name}: {body}")
        return name

    def text(self, rules: Iterable[str]) -> str:
        """The whole grammar: these rules, then the terminals."""
        return "\n".join([*rules, *self._lines]) + "\n"


def plan_grammar(schema: PlanSchema) -> str:
    """Return the static grammar of a domain's plans: canonical text, ids by position.

    Raises:
        LowerError: an argument schema cannot be lowered.
    """
    writer = Writer()
    texts = all_texts(schema)
    names = _rule_names(texts)
    rules = [f"{names[t]}: {writer.expression(texts[t].levels[0].rule)}" for t in texts]
    calls = " | ".join(names.values())
    chain = [_chain_rule(schema, i) for i in range(schema.limits.max_steps)]
    start = "start: step_0"
    if schema.graph.min_steps == 0:
        start += f" | {json.dumps(PLAN_OPEN + PLAN_CLOSE)}"
    return writer.text([start, *chain, f"call: {calls}", *rules])


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
    ends = json.dumps(PLAN_CLOSE)
    taken = i + 1
    tails = [ends] if taken >= schema.graph.min_steps else []
    if taken < schema.limits.max_steps:
        tails.append(f"step_{taken}")
    return f"step_{i}: {json.dumps(step_open(i))} call ({' | '.join(tails)})"


def parse_with_lark(grammar: str, text: str) -> Tree[Token]:
    """Parse a whole text with the static grammar (LALR, contextual lexer).

    Raises:
        PlanGrammarError: the text is not a sentence; names the column and what may stand there.
        BBError: the grammar itself is not Lark.
    """
    from lark.exceptions import UnexpectedInput

    try:
        return _lark(grammar).parse(text)
    except UnexpectedInput as error:
        column = error.column if error.column > 0 else len(text) + 1
        found = text[column - 1 : column + 19]
        raise PlanGrammarError(
            f"unexpected {found!r}" if found else "the text ends too early",
            where=f"plan text: column {column}",
            fix=f"the text before it is {text[max(0, column - 31) : column - 1]!r}",
        ) from None


@lru_cache(maxsize=16)
def _lark(grammar: str) -> Lark:
    from lark import Lark
    from lark.exceptions import LarkError

    try:
        return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False)
    except LarkError as error:
        message = str(error).splitlines()[0]
        raise DomainError(message, where="grammar.lark", fix="regenerate it") from None


def step_grammar(
    machine: PlanMachine, state: PlanState, remaining_bytes: int, emitted: bytes = b""
) -> str:
    """Return the grammar of what may follow, up to the next choice of a tool or the plan's end.

    At the start of a plan the text is `{"plan":[{"id":"a","tool":"`, an admissible call, and then
    `]}` or the text before the next call, where the plan may end or go on. Between steps `emitted`
    is what has been written since the last completed call; the grammar continues from there.

    A call is offered at the loosest level (`lower.levels`) whose longest text leaves room for the
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
    writer = Writer()
    rules: list[str] = []
    starts: list[str] = []
    ends = machine.can_end(state) and ending.startswith(emitted)
    if ends and len(ending) - len(emitted) <= remaining_bytes:
        starts.append(_literal(ending[len(emitted) :]))
    if opening.startswith(emitted):
        left = remaining_bytes - (len(opening) - len(emitted))
        calls = _call_rules(machine, state, left, writer)
        if calls:
            rules = calls
            starts.append(f"{_literal(opening[len(emitted) :])} next".strip())
    if not starts:
        raise _nothing_fits(machine, state, remaining_bytes, emitted)
    return writer.text([f"start: {' | '.join(starts)}", *rules])


def _literal(text: bytes) -> str:
    return json.dumps(text.decode("ascii")) if text else ""


def _call_rules(machine: PlanMachine, state: PlanState, budget: int, writer: Writer) -> list[str]:
    """Rules `next` and what it needs; empty if no call fits. `budget` counts from the tool name."""
    groups: dict[tuple[bool, bool], list[str]] = {}
    if state.n_steps < machine.schema.limits.max_steps:
        names = {(h.object, h.slot): h.step for h in state.handles}
        for lane in machine.allowed(state.bits):
            offer = offered(machine, state, lane, budget)
            if offer is not None:
                text, ends, goes_on = offer
                slots = _slot_texts(machine, state, machine.lanes[lane], names, text, writer)
                groups.setdefault((ends, goes_on), []).append(writer.expression(text.rule, slots))
    rules: list[str] = []
    tops: list[str] = []
    for (ends, goes_on), calls in groups.items():
        name = "call_end_or_next" if ends and goes_on else "call_end" if ends else "call_next"
        tails = [json.dumps(PLAN_CLOSE)] if ends else []
        tails += [json.dumps(step_open(state.n_steps + 1))] if goes_on else []
        tops.append(f"{name} ({' | '.join(tails)})")
        rules.append(f"{name}: {' | '.join(calls)}")
    return [f"next: {' | '.join(tops)}", *rules] if tops else []


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
    onward = machine.continuation(after)
    for text in machine.texts[machine.lanes[lane].tool].levels:
        left = budget - text.most
        ends = can_end and left >= len(PLAN_CLOSE)
        goes_on = onward is not None and left >= onward[1]
        if ends or goes_on:
            return text, ends, goes_on
    return None


def _slot_texts(
    machine: PlanMachine,
    state: PlanState,
    lane: Lane,
    names: Mapping[tuple[str, int], str],
    text: CallText,
    writer: Writer,
) -> dict[str, str]:
    """Lark expressions of the slots of a call: references, and the key less the bound ones."""
    tool = machine.schema.tools[lane.tool]
    slots = {
        arg: json.dumps(reference(names[handle.object, lane.slots[arg]], handle.path))
        for arg, handle in tool.handles.items()
    }
    if tool.binds and tool.binds.key:
        taken = {h.key for h in state.handles if h.object == tool.binds.object}
        if taken:
            slots[tool.binds.key] = _new_key(_slot(text.rule, tool.binds.key), taken, writer)
    return slots


def _slot(rule: Rule, arg: str) -> Rx | Alt | Lit:
    """The general form of the slot of an argument."""
    match rule:
        case Slot(name, general) if name == arg:
            return general
        case Seq(items):
            found = [item for item in items if isinstance(item, Slot) and item.arg == arg]
            if found:
                return found[0].general
    raise AssertionError(f"no slot for required key {arg!r}")


def _new_key(general: Rule, taken: set[str], writer: Writer) -> str:
    """The expression of a key that is none of `taken`."""
    match general:
        case Rx():
            return writer.terminal(general, without=taken)
        case Alt(items):
            gone: set[Rule] = {Lit(text) for text in taken}
            left = [_new_key(item, taken, writer) for item in items if item not in gone]
            return f"({' | '.join(left)})"
        case Lit(text):
            return json.dumps(text)
    raise AssertionError("a key is a scalar")


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
