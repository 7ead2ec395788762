"""What was seen of actions: facts before, whether the action succeeded, facts after.

A file has one attempt a line, as JSON:

    {"action": "cancel", "parameters": {"order": "order"}, "ok": true,
     "before": {"seen(order)": true, "open(order)": true},
     "after": {"seen(order)": true, "open(order)": false}}

Facts are spoken of through the action's parameters, so that what is learned from one order holds
for all. Every line of one action names the same facts before, and every success the same facts
after. A fact that only `after` names is about what the action brought about; one that only `before`
names is about the call itself, such as the value of an argument. `parameters` (name to type) may be
left out, and so may `after` of a failure, which is taken to have changed nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, ValidationError

from bb_core.files import decode_json
from bem_kernel.errors import LearningError

MAX_FACTS = 256
MAX_ATTEMPTS = 1_000_000

FACT = r"[A-Za-z_][A-Za-z0-9_.]*(\([A-Za-z_][A-Za-z0-9_]*(,[A-Za-z_][A-Za-z0-9_]*)*\))?"
"""A fact's name: `paid(order)`, an atom of `circuits.expression`."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at an action.

    Attributes:
        action: its name.
        before: every fact that could matter, and whether it held.
        ok: whether the action succeeded.
        after: the facts after it; empty for a failure.
        parameters: type of each parameter by name.
        source: where it is from, for messages.
    """

    action: str
    before: Mapping[str, bool]
    ok: bool
    after: Mapping[str, bool] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$")]
_Fact = Annotated[str, StringConstraints(pattern=f"^{FACT}$", max_length=256)]
_Facts = Annotated[dict[_Fact, StrictBool], Field(max_length=MAX_FACTS)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    action: _Name
    ok: StrictBool
    before: _Facts
    after: _Facts | None = None
    parameters: dict[_Name, _Name] = Field(default_factory=dict)


def read_attempts(text: str, where: str) -> list[Attempt]:
    """Attempts from the lines of a file; blank lines are passed over.

    Args:
        text: see above.
        where: its name, for messages.

    Raises:
        LearningError: a line is malformed or does not fit the others of its action, or there are
            too many or none; the message names the line.
    """
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not 0 < len(lines) <= MAX_ATTEMPTS:
        raise LearningError(
            f"{len(lines)} attempts", where=where, fix=f"give 1 to {MAX_ATTEMPTS} lines"
        )
    attempts = [_attempt(line, f"{where}:{number}") for number, line in lines]
    by_action(attempts)
    return attempts


def attempt_line(attempt: Attempt) -> str:
    """An attempt as one line of JSON, without the line end."""
    record = {
        "action": attempt.action,
        "parameters": dict(attempt.parameters),
        "ok": attempt.ok,
        "before": dict(attempt.before),
        **({"after": dict(attempt.after)} if attempt.ok else {}),
    }
    return json.dumps(record, separators=(",", ":"))


def by_action(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """The attempts at each action, in order.

    Raises:
        LearningError: two attempts at one action name different facts before, or parameters.
    """
    found: dict[str, list[Attempt]] = {}
    after: dict[str, Mapping[str, bool]] = {}  # what the first success of each says
    for attempt in attempts:
        others = found.setdefault(attempt.action, [])
        others.append(attempt)
        first = others[0]
        if first.before.keys() != attempt.before.keys():
            odd = sorted(first.before.keys() ^ attempt.before.keys())[0]
            raise _refused(attempt, f"not every attempt at {attempt.action} says whether {odd}")
        if first.parameters != attempt.parameters:
            raise _refused(attempt, f"{attempt.action} had other parameters before")
        told = after.setdefault(attempt.action, attempt.after) if attempt.ok else attempt.after
        if told.keys() != attempt.after.keys():
            odd = sorted(told.keys() ^ attempt.after.keys())[0]
            raise _refused(attempt, f"not every {attempt.action} says whether {odd} afterwards")
    return found


def _attempt(line: str, where: str) -> Attempt:
    try:
        read = _Line.model_validate(decode_json(line, where=where))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "line"
        raise LearningError(
            f"{place}: {first['msg']}", where=where, fix="see bem learn actions --help"
        ) from None
    after = read.after if read.ok and read.after is not None else {}
    return Attempt(read.action, read.before, read.ok, after, read.parameters, where)


def _refused(attempt: Attempt, what: str) -> LearningError:
    fix = "name the same facts and parameters in every attempt at one action"
    return LearningError(what, where=attempt.source or f"action {attempt.action}", fix=fix)
