"""What traces of tool calls speak about: objects, their fields, and what was done to them.

Nothing is declared: an argument that carries a reference such as `"$b.id"` is an object, its type
is named after the argument, and its fields are those of the answer that found it. Fields and
arguments with few values are told apart by value, numbers are compared.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bb_core.errors import BBError
from bb_core.plan import STEP_IDS, parse_reference
from bb_core.trace import Trace, TraceStep
from bb_domains.schema import PlanSchema

MAX_VALUES = 8
"""Most values of a field or argument that is told apart by value."""

LEAST_USES = 4
"""Average number of times that each of these values has to occur."""


@dataclass(frozen=True)
class Found:
    """How a tool finds an object: its type, and where in the answer its identifier is."""

    kind: str
    path: str


@dataclass(frozen=True)
class Vocabulary:
    """What there is to say about the calls of a domain.

    Attributes:
        objects: per tool, the type of each argument that is an object.
        finds: the tools that find objects.
        fields: per type and field, its values as texts.
        nullable: per type, the fields that are sometimes null.
        numbers: per type, the fields that are numbers.
        values: per tool and argument, its values as texts.
        amounts: per tool, the arguments that are numbers.
        names: per tool, what its success is called; its own name unless given.
    """

    objects: Mapping[str, Mapping[str, str]]
    finds: Mapping[str, Found]
    fields: Mapping[str, Mapping[str, tuple[str, ...]]]
    nullable: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Mapping[str, tuple[str, ...]]]
    amounts: Mapping[str, tuple[str, ...]]
    names: Mapping[str, str] = field(default_factory=dict)

    def signature(self, tool: str) -> tuple[str, ...]:
        """The types of the objects of which a tool's success is a fact."""
        if tool in self.finds:
            return (self.finds[tool].kind,)
        return tuple(self.objects[tool].values())

    def name(self, tool: str) -> str:
        """What the success of a tool is called."""
        return self.names.get(tool, word(tool))


def vocabulary_of(traces: Iterable[Trace], names: Mapping[str, str] | None = None) -> Vocabulary:
    """Find out what traces speak about.

    Args:
        traces: all that there are.
        names: what the success of a tool is to be called; see `fluent_names`.

    Raises:
        BBError: an argument refers to no earlier success.
    """
    kept = list(traces)
    finds = _finds(kept)
    steps = [step for trace in kept for step in trace.steps]
    objects: dict[str, dict[str, str]] = {step.tool: {} for step in steps}
    for step, arg, target, _ in _handles(kept):
        objects[step.tool].setdefault(arg, finds[target.tool].kind)
    fields, nullable, numbers = _fields(steps, finds)
    plain = [
        (step.tool, arg, value)
        for step in steps
        for arg, value in step.args.items()
        if arg not in objects[step.tool]
    ]
    values, amounts, _ = _told_apart(plain)
    return Vocabulary(objects, finds, fields, nullable, numbers, values, amounts, names or {})


def fluent_names(schema: PlanSchema) -> dict[str, str]:
    """The fluent that a tool, and no other, sets: what its success is called in a plan schema."""
    sets = {
        name: [text.partition("(")[0].strip() for text in tool.effects if not text.startswith("!")]
        for name, tool in schema.tools.items()
    }
    uses = Counter(fluent for fluents in sets.values() for fluent in fluents)
    return {
        name: fluents[0]
        for name, fluents in sets.items()
        if len(fluents) == 1 and uses[fluents[0]] == 1
    }


def referred(trace: Trace, number: int, value: Any) -> tuple[TraceStep, str] | None:
    """The step that an argument refers to, and the path into its answer; None for other values.

    Args:
        trace: whose steps have the canonical names a, b, c, …
        number: of the step that has the argument.
        value: the argument.

    Raises:
        BBError: it refers to no earlier success.
    """
    ref = parse_reference(value) if isinstance(value, str) else None
    if ref is None:
        return None
    position = STEP_IDS.find(ref.step)
    if len(ref.step) != 1 or not 0 <= position < number or not trace.steps[position].ok:
        raise BBError(
            f"{value} refers to no earlier success",
            where=f"trace {trace.id}: step {number}",
            fix="name a step before it that succeeded",
        )
    return trace.steps[position], ref.path


def at_path(answer: Any, path: str, where: str) -> Any:
    """The part of an answer at a dotted path.

    Raises:
        BBError: there is none.
    """
    found = answer
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            raise BBError(f"the answer has no {path}", where=where, fix="record whole answers")
        found = found[part]
    return found


def record_of(answer: Any, path: str) -> tuple[Mapping[str, Any], str]:
    """The part of an answer that is about an object, and the identifier there; may be empty."""
    *above, last = path.split(".")
    found = answer
    for part in above:
        found = found.get(part) if isinstance(found, dict) else None
    record = found if isinstance(found, dict) else {}
    return record, str(record.get(last, ""))


def word(value: Any) -> str:
    """A value as part of a fact's name."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return re.sub(r"[^A-Za-z0-9_]", "_", str(value))


def is_number(value: Any) -> bool:
    """Whether a value can be compared; truth values cannot."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _handles(traces: Iterable[Trace]) -> Iterator[tuple[TraceStep, str, TraceStep, str]]:
    """Arguments that refer to earlier steps: step, argument, the other step, path."""
    for trace in traces:
        for number, step in enumerate(trace.steps):
            for arg, value in step.args.items():
                if found := referred(trace, number, value):
                    yield step, arg, *found


def _finds(traces: Iterable[Trace]) -> dict[str, Found]:
    """The tools that are referred to, each with the commonest name of what it finds."""
    seen: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for _, arg, target, path in _handles(traces):
        seen[target.tool][arg, path] += 1
    return {tool: Found(*counts.most_common(1)[0][0]) for tool, counts in seen.items()}


_Told = tuple[
    dict[str, dict[str, tuple[str, ...]]], dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]
]


def _fields(steps: Iterable[TraceStep], finds: Mapping[str, Found]) -> _Told:
    """Per type: values of fields, nullable fields, numbers; nothing of what names an object."""
    found = [(finds[step.tool], step) for step in steps if step.ok and step.tool in finds]
    keys = {(how.kind, arg) for how, step in found for arg in step.args}
    keys |= {(how.kind, how.path.rpartition(".")[2]) for how, _ in found}
    fields, numbers, nullable = _told_apart(
        (how.kind, name, value)
        for how, step in found
        for name, value in record_of(step.result, how.path)[0].items()
        if (how.kind, name) not in keys
    )
    return fields, nullable, numbers


def _told_apart(items: Iterable[tuple[str, str, Any]]) -> _Told:
    """Values, numbers and nullable names from (owner, name, value)."""
    seen: dict[tuple[str, str], Counter[Any]] = defaultdict(Counter)
    for owner, name, value in items:
        if value is None or isinstance(value, str | int | float):
            seen[owner, name][value] += 1
    values: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    numbers: dict[str, tuple[str, ...]] = defaultdict(tuple)
    nullable: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for (owner, name), counts in seen.items():
        present = [value for value in counts if value is not None]
        if len(present) < len(counts):
            nullable[owner] += (name,)
        if present and all(map(is_number, present)):
            numbers[owner] += (name,)
        elif 1 < len(present) <= MAX_VALUES and counts.total() >= LEAST_USES * len(present):
            values[owner][name] = tuple(sorted(set(map(word, present))))
    return dict(values), dict(numbers), dict(nullable)
