"""The beginnings of all steps that may follow in a plan state, as texts.

A step begins with its name, its tool and its handles, which the plan state decides; then come
values, which the tool alone decides. A *head* is the first part, written out. In a budget wide
enough that it does not matter (`Choice.room`), the heads and the tools' own grammars say the same
as the state's step grammar, and neither has to be made anew for each state.

A tool whose handles stand behind values, or whose key does not follow its head, has no head; states
in which it may be called keep to step grammars, and so does a start at which a plan may be empty.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bb_core.plan import step_id
from bb_domains.calls import PLAN_CLOSE, PLAN_OPEN, reference, step_open
from bb_domains.rules import Lit, Rule, Seq, Slot

if TYPE_CHECKING:
    from bb_domains.compiler import PlanMachine
    from bb_domains.states import PlanState

STEP_NEXT = ',{"id":"'
"""What follows a step that is not the last; the next step's heads continue from there."""

NEVER = b"\x01"
"""Ends the grammars of `rest_grammar`; no plan has it."""

Tail = tuple[bool, bool]
"""Whether the plan may end after a step, and whether it may go on."""


@dataclass(frozen=True)
class Head:
    """How a call begins.

    Attributes:
        text: from the step's name to the first value; the step and what follows it if `is_whole`.
        lane: which call it is.
        tail: what may follow.
        is_whole: whether nothing but the text itself is left to write.
        key: the general form of the key that follows the text; None if none does.
    """

    text: bytes
    lane: int
    tail: Tail
    is_whole: bool = False
    key: Rule | None = None


@dataclass(frozen=True)
class Choice:
    """The steps that may follow in a state.

    Attributes:
        heads: none of their texts is the beginning of another.
        room: bytes, from the beginning of the heads, from which on a budget forbids nothing.
    """

    heads: tuple[Head, ...]
    room: int


def choice_of(machine: PlanMachine, state: PlanState) -> Choice | None:
    """The heads of a state's steps.

    Returns:
        None where they do not do, or where no step may follow.
    """
    if state.n_steps >= machine.schema.limits.max_steps:
        return None
    if state.n_steps == 0 and machine.can_end(state):
        return None
    opening = step_open(state.n_steps).removeprefix(STEP_NEXT)
    steps = state.step_of()
    heads: list[Head] = []
    room = 0
    for lane in machine.allowed(state.bits):
        after = machine.after(state, lane)
        ends, needed = machine.can_end(after), machine.room(after)
        if not ends and needed is None:
            continue
        begun = _beginning(machine, lane, steps)
        if begun is None:
            return None
        text, key, is_whole = begun
        head = Head((opening + text).encode(), lane, (ends, needed is not None), is_whole, key)
        heads += _whole(head) if is_whole else [head]
        most = machine.max_bytes(machine.lanes[lane].tool)
        room = max(room, most + max(needed or 0, len(PLAN_CLOSE)))
    if not heads or not _is_prefix_free(head.text for head in heads):
        return None
    return Choice(tuple(heads), len(opening) + room)


def _whole(head: Head) -> list[Head]:
    """A step without values, once for each text that may follow."""
    ends, goes_on = head.tail
    tails = [PLAN_CLOSE] * ends + [STEP_NEXT] * goes_on
    return [Head(head.text + tail.encode(), head.lane, head.tail, True) for tail in tails]


def _beginning(
    machine: PlanMachine, lane: int, steps: dict[tuple[str, int], str]
) -> tuple[str, Rule | None, bool] | None:
    """A call's text before its first value, the key if that is one, and whether it is all."""
    taken = machine.lanes[lane]
    tool = machine.schema.tools[taken.tool]
    rule = machine.texts[taken.tool].levels[0].rule
    items = rule.items if isinstance(rule, Seq) else (rule,)
    text, at = "", 0
    for at, item in enumerate(items):  # noqa: B007 - `at` is read behind the loop
        handle = tool.handles.get(item.arg) if isinstance(item, Slot) else None
        if handle is not None and isinstance(item, Slot):
            step = steps[handle.object, taken.slots[item.arg]]
            text += reference(step, handle.path)
        elif isinstance(item, Lit):
            text += item.text
        else:
            break
    else:
        return text, None, True
    if any(isinstance(item, Slot) for item in items[at + 1 :]):
        return None
    value = items[at]
    return text, value.general if isinstance(value, Slot) else None, False


def _is_prefix_free(texts: Iterable[bytes]) -> bool:
    ordered = sorted(texts)
    return not any(b.startswith(a) for a, b in itertools.pairwise(ordered))


def rest_grammar(machine: PlanMachine, head: Head) -> str:
    """The grammar of a tool's steps whatever the state: any name, any handles, any keys.

    It begins where heads begin, and ends with what `head.tail` allows and a control character that
    nobody is to write: llguidance takes fifty times as long to take a grammar's very last token.
    """
    writer = machine.templates.writer
    fragment = writer.fragment(machine.texts[machine.lanes[head.lane].tool].levels[0].rule)
    ends, goes_on = head.tail
    tails = [json.dumps(PLAN_CLOSE)] * ends + [json.dumps(STEP_NEXT)] * goes_on
    first, _, later = step_open(0).rpartition(step_id(0))
    lines = [
        f"start: {'opening ' if is_first(head) else ''}STEP {json.dumps(later)} call end",
        f"end: ({' | '.join(tails)}) {json.dumps(NEVER.decode())}",
        "STEP: /[a-z]/",
        f"call: {fragment.text}",
        *writer.definitions(fragment.needs),
    ]
    if is_first(head):
        lines.insert(1, f"opening: {json.dumps(first)}")
    return "\n".join(lines) + "\n"


def is_first(head: Head) -> bool:
    """Whether a head opens the plan."""
    return head.text.startswith(PLAN_OPEN.encode())
