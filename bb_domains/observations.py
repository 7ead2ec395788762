"""From traces of tool calls to attempts at actions, which action models are learned from.

A trace is followed step by step. What is known at a step is what the answers before it said: which
tools succeeded on which objects, and what the fields of an object are. The facts of a call speak of
its own objects, through the names of its arguments:

    logged_in                  a tool that is about no object succeeded before
    confirmed(order)           a tool succeeded before on this object
    status.shipped(order)      the last answer about the object said so
    status.is.unseen(order)    it said something that the vocabulary does not know
    refunded.is.known(order)   it named the field, and not null
    amount.at_most.total(order)  an argument against a number among the object's fields
    level.express              an argument
    call.is.repeated           the same call has succeeded before

What no answer has said is false. A success also tells facts about `self`, the object it found.

A tool about no object that succeeds once more, such as a second login, begins anew: what was done
and said before it no longer counts, but for `call.is.repeated`. Since that is no effect on objects
of its own, which is all that a model of it could say, such a call is no attempt, and what is
learned of the tool is that it may be called once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

from bb_core.errors import BBError
from bb_core.trace import Trace, TraceStep
from bb_domains.fluents import SELF
from bb_domains.vocabulary import (
    Vocabulary,
    at_path,
    is_number,
    record_of,
    referred,
    vocabulary_of,
    word,
)
from bem_kernel.learning.action_traces import Attempt

REPEATED = "call.is.repeated"  # no name of a field or a value has a dot


def attempts_of(traces: Iterable[Trace], vocabulary: Vocabulary | None = None) -> list[Attempt]:
    """The calls of some traces as attempts at their tools.

    Args:
        traces: successes and failures.
        vocabulary: what to speak about; None: what these traces do. Traces that a learned model is
            to be tried on need that of the traces it was learned from.

    Raises:
        BBError: a tool is not in the vocabulary, an argument refers to no earlier success, a call
            lacks an argument that is an object, or an answer lacks the object's identifier.
    """
    kept = list(traces)
    known = vocabulary_of(kept) if vocabulary is None else vocabulary
    return [attempt for trace in kept for attempt in _follow(trace, known)]


def possible(tool: str, vocabulary: Vocabulary) -> list[tuple[str, ...]]:
    """What holds of the facts of every call: a field or argument has one value, or none.

    Args:
        tool: that is called.
        vocabulary: what the facts speak about.

    Returns:
        Clauses of facts and, with `!`, their negations; for questions about this tool
        (`bem_kernel.learning.refinement`).
    """
    clauses: list[tuple[str, ...]] = []
    for arg, values in vocabulary.values.get(tool, {}).items():
        facts = tuple(_value_facts(arg, values, None, ""))
        clauses += [facts, *_one_at_most(facts)]
    for arg, kind in vocabulary.objects[tool].items():
        finders = [
            f"{vocabulary.name(finder)}({arg})"
            for finder, found in vocabulary.finds.items()
            if found.kind == kind
        ]
        for name, values in vocabulary.fields.get(kind, {}).items():
            facts = tuple(_value_facts(name, values, None, f"({arg})"))
            clauses += _one_at_most(facts)
            clauses += [(f"!{fact}", *finders) for fact in facts]
            if name not in vocabulary.nullable.get(kind, ()):
                clauses += [(f"!{finder}", *facts) for finder in finders]
    return clauses


def _one_at_most(facts: Sequence[str]) -> list[tuple[str, ...]]:
    return [(f"!{one}", f"!{other}") for one, other in combinations(facts, 2)]


@dataclass
class _Knowledge:
    """What the answers so far have said.

    Attributes:
        done: (tool, identifiers of its objects) of the calls that succeeded.
        calls: (tool, resolved arguments) of these.
        fields: of each object by identifier.
    """

    done: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    calls: set[tuple[str, str]] = field(default_factory=set)
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)


def _follow(trace: Trace, vocabulary: Vocabulary) -> Iterator[Attempt]:
    known = _Knowledge()
    for number, step in enumerate(trace.steps):
        _check(trace, step, vocabulary)
        args = {name: _resolved(trace, number, value) for name, value in step.args.items()}
        before = {
            **_lasting(step.tool, args, vocabulary, known),
            **_of_call(step.tool, args, vocabulary, known),
        }
        after: dict[str, bool] = {}
        if step.ok and _begins_anew(step.tool, vocabulary, known):
            known = _Knowledge(calls=known.calls)
            _learn(step, args, vocabulary, known)
            continue
        if step.ok:
            _learn(step, args, vocabulary, known)
            after = _lasting(step.tool, args, vocabulary, known)
            if step.tool in vocabulary.finds:
                after[f"{vocabulary.name(step.tool)}({SELF})"] = True
        source = f"{trace.id} step {number}"
        parameters = dict(vocabulary.objects[step.tool])
        if step.tool in vocabulary.finds:
            parameters[SELF] = vocabulary.finds[step.tool].kind
        yield Attempt(step.tool, before, step.ok, after, parameters, source)


def _begins_anew(tool: str, vocabulary: Vocabulary, known: _Knowledge) -> bool:
    return not vocabulary.signature(tool) and (tool, ()) in known.done


def _check(trace: Trace, step: TraceStep, vocabulary: Vocabulary) -> None:
    """Refuse a call that the vocabulary does not fit."""
    if step.tool not in vocabulary.objects:
        what, fix = "the vocabulary does not know this tool", "make it of traces that have it"
        raise BBError(what, where=f"trace {trace.id}: {step.tool}", fix=fix)
    missing = [arg for arg in vocabulary.objects[step.tool] if arg not in step.args]
    if missing:
        what, fix = f"the call has no {missing[0]}", "leave such calls out"
        raise BBError(what, where=f"trace {trace.id}: {step.tool}", fix=fix)


def _resolved(trace: Trace, number: int, value: Any) -> Any:
    """The value that a reference stands for."""
    found = referred(trace, number, value)
    where = f"trace {trace.id}: step {number}"
    return value if found is None else at_path(found[0].result, found[1], where)


def _learn(
    step: TraceStep, args: Mapping[str, Any], vocabulary: Vocabulary, known: _Knowledge
) -> None:
    """Take in a success and its answer."""
    objects = tuple(str(args[arg]) for arg in vocabulary.objects[step.tool])
    how = vocabulary.finds.get(step.tool)
    if how is not None:
        objects = (str(at_path(step.result, how.path, f"tool {step.tool}")),)
    known.done.add((step.tool, objects))
    known.calls.add((step.tool, repr(sorted(args.items()))))
    paths = {found.kind: found.path for found in vocabulary.finds.values()}
    for kind, identifier in zip(vocabulary.signature(step.tool), objects, strict=True):
        record, about = record_of(step.result, paths[kind])
        if about == identifier:
            known.fields.setdefault(identifier, {}).update(record)


def _lasting(
    tool: str, args: Mapping[str, Any], vocabulary: Vocabulary, known: _Knowledge
) -> dict[str, bool]:
    """Facts about the objects of a call."""
    objects = vocabulary.objects[tool]
    facts = dict(_history(objects, args, vocabulary, known))
    for arg, kind in objects.items():
        facts |= _field_facts(arg, kind, known.fields.get(str(args[arg]), {}), vocabulary)
    return facts


def _of_call(
    tool: str, args: Mapping[str, Any], vocabulary: Vocabulary, known: _Knowledge
) -> dict[str, bool]:
    """Facts about the call itself."""
    objects, facts = vocabulary.objects[tool], dict[str, bool]()
    for arg, kind in objects.items():
        fields = known.fields.get(str(args[arg]), {})
        for amount in vocabulary.amounts.get(tool, ()):
            for number in vocabulary.numbers.get(kind, ()):
                there = is_number(args.get(amount)) and is_number(fields.get(number))
                at_most = there and args[amount] <= fields[number]
                facts[f"{word(amount)}.at_most.{word(number)}({arg})"] = at_most
    for arg, values in vocabulary.values.get(tool, {}).items():
        facts |= _value_facts(arg, values, args.get(arg), "")
    if len(objects) < len(args) and objects:
        facts[REPEATED] = (tool, repr(sorted(args.items()))) in known.calls
    return facts


def _history(
    objects: Mapping[str, str], args: Mapping[str, Any], vocabulary: Vocabulary, known: _Knowledge
) -> Iterator[tuple[str, bool]]:
    """Which tools have succeeded on which of the call's objects."""
    for tool in vocabulary.objects:
        kinds, name = vocabulary.signature(tool), vocabulary.name(tool)
        for chosen in permutations(objects, len(kinds)):
            if tuple(objects[arg] for arg in chosen) == kinds:
                done = (tool, tuple(str(args[arg]) for arg in chosen)) in known.done
                yield f"{name}({','.join(chosen)})" if chosen else name, done


def _field_facts(
    arg: str, kind: str, fields: Mapping[str, Any], vocabulary: Vocabulary
) -> dict[str, bool]:
    facts: dict[str, bool] = {}
    for name, values in vocabulary.fields.get(kind, {}).items():
        facts |= _value_facts(name, values, fields.get(name), f"({arg})")
    for name in vocabulary.nullable.get(kind, ()):
        facts[f"{word(name)}.is.known({arg})"] = fields.get(name) is not None
    return facts


def _value_facts(name: str, values: tuple[str, ...], value: Any, of: str) -> dict[str, bool]:
    """Which of its values a field or argument has, or that it has one never seen before."""
    found = None if value is None else word(value)
    facts = {f"{word(name)}.{each}{of}": found == each for each in values}
    return {**facts, f"{word(name)}.is.unseen{of}": found is not None and found not in values}
