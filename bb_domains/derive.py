"""Drafting a plan schema from traces of tool calls, with the evidence for every line of it.

Objects, their fields and what identifies them are found in the traces (`vocabulary`); when a tool
may be called and what that brings about is learned by the proof kernel (`bem_kernel.learning`), so
that, by the traces, what the draft allows succeeds. It may forbid more than it has to: the evidence
names what no failure has shown to be needed. A draft is to be read, not to be used blindly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bb_core.errors import BBError
from bb_core.plan import parse_reference
from bb_core.trace import Trace, TraceStep
from bb_domains.argument_shapes import object_shape
from bb_domains.drafted_tools import Condition, Form, Sayings, Support, originals_of
from bb_domains.fluents import SELF
from bb_domains.observations import attempts_of
from bb_domains.schema import PlanSchema, parse_schema, schema_data
from bb_domains.vocabulary import Vocabulary, at_path, record_of, vocabulary_of
from bem_kernel.errors import LearningError
from bem_kernel.learning.action_model import ActionModel, learn_action
from bem_kernel.learning.action_proof import justify
from bem_kernel.learning.action_traces import Attempt, by_action

Caution = Literal["safe", "likely"]

FEW = 20
"""Fewer attempts at a tool are pointed out."""

_LEAST_SLOTS, _MOST_SLOTS = 4, 16
_MOST_STEPS = 26
_LEARNED = frozenset({"handles", "binds", "pre", "effects", "guards"})


@dataclass(frozen=True)
class ToolEvidence:
    """What is known of one tool.

    Attributes:
        tool: its name.
        successes: calls that succeeded.
        failures: calls that did not.
        conditions: of its model; empty if there is none.
        effects: on fields of objects, in the kernel's words; plans do not speak of them.
        claims: proved of the model.
        set_aside: failures that no fact tells apart from successes; the model is of the others.
        example: one of them.
        unexplained: why there is no model, and no call in the draft; empty if there is one.
    """

    tool: str
    successes: int
    failures: int
    conditions: tuple[Condition, ...] = ()
    effects: tuple[str, ...] = ()
    claims: int = 0
    set_aside: int = 0
    example: str = ""
    unexplained: str = ""


@dataclass(frozen=True)
class Draft:
    """A plan schema and why it says what it says.

    Attributes:
        schema: the draft.
        evidence: of each tool, in the order of the schema.
        caution: which conditions it has.
        n_traces: that it was made of.
    """

    schema: PlanSchema
    evidence: tuple[ToolEvidence, ...]
    caution: Caution
    n_traces: int


def derive(
    traces: Iterable[Trace],
    domain: str = "",
    base: PlanSchema | None = None,
    caution: Caution = "safe",
) -> Draft:
    """Draft a plan schema.

    Args:
        traces: successes and failures; references say which objects calls are about
            (`linking.link`).
        domain: its name; that of the base or of the traces if empty.
        base: declares arguments and operations, such as an imported OpenAPI document does.
        caution: "safe" keeps every condition that held in all successes; "likely" only those that
            failures speak for.

    Raises:
        BBError: there are no calls, or they do not fit each other or the base.
    """
    kept = [trace for trace in traces if trace.steps]
    if not kept:
        fix = "record calls, or import them"
        raise BBError("hold no calls", where="traces", fix=fix)
    tools = list(dict.fromkeys(step.tool for trace in kept for step in trace.steps))
    vocabulary = vocabulary_of(kept, {tool: f"{tool}_done" for tool in tools})
    sayings = Sayings(vocabulary, originals_of(_told(kept, vocabulary)))
    attempts = by_action(attempts_of(kept, vocabulary))
    evidence = [_evidence(tool, attempts.get(tool, ()), kept, sayings) for tool in tools]
    chosen = {each.tool: _chosen(each.conditions, caution) for each in evidence}
    closed = frozenset(each.tool for each in evidence if each.unexplained)
    data = _Drafting(kept, vocabulary, chosen, closed).data(
        domain or (base.domain if base else kept[0].domain)
    )
    if base is not None:
        data = _onto(schema_data(base), data)
    return Draft(parse_schema(data), tuple(evidence), caution, len(kept))


def _evidence(
    tool: str, attempts: Sequence[Attempt], traces: Sequence[Trace], sayings: Sayings
) -> ToolEvidence:
    calls = [step.ok for trace in traces for step in trace.steps if step.tool == tool]
    n_ok = sum(calls)
    if not n_ok:
        return ToolEvidence(tool, 0, len(calls), unexplained="it never succeeded")
    explained = _explained(attempts)
    aside = [each.source for each in attempts if each not in explained]
    try:
        model = learn_action(explained)
        proved = justify(model, explained)
    except LearningError as error:
        return ToolEvidence(tool, n_ok, len(calls) - n_ok, unexplained=str(error))
    return ToolEvidence(
        tool,
        n_ok,
        len(calls) - n_ok,
        tuple(sayings.conditions(model)),
        _field_effects(model, sayings),
        len(proved.claims),
        len(aside),
        next(iter(aside), ""),
    )


def _explained(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Successes, and the failures that facts tell apart from them.

    A wrong password and a right one look alike: what such a failure was for, no answer told before.
    """
    granted = {_facts(each) for each in attempts if each.ok}
    kept = [each for each in attempts if each.ok or _facts(each) not in granted]
    try:
        learn_action(kept)
    except LearningError:
        return [each for each in kept if each.ok]
    return kept


def _facts(attempt: Attempt) -> frozenset[str]:
    return frozenset(fact for fact, holds in attempt.before.items() if holds)


def _field_effects(model: ActionModel, sayings: Sayings) -> tuple[str, ...]:
    return tuple(
        ("" if effect.value else "!") + effect.fact
        for effect in model.effects
        if not sayings.is_fluent(effect.fact)
    )


def _chosen(conditions: Iterable[Condition], caution: Caution) -> list[Condition]:
    return [
        each
        for each in conditions
        if each.form is not Form.UNSAID
        and (caution == "safe" or each.support is not Support.CAREFUL)
    ]


@dataclass(frozen=True)
class _Drafting:
    """Everything that a draft is written from; calls of `closed` tools are not in it."""

    traces: Sequence[Trace]
    vocabulary: Vocabulary
    chosen: Mapping[str, Sequence[Condition]]
    closed: frozenset[str]

    def data(self, domain: str) -> dict[str, Any]:
        """The plan schema as plain data."""
        names = {self.vocabulary.name(tool): tool for tool in self.chosen}
        read = {name for found in self.chosen.values() for c in found for name in c.fluents}
        kinds = {found.kind for found in self.vocabulary.finds.values()}
        return {
            "domain": domain,
            "limits": {"max_steps": self._max_steps()},
            "objects": {kind: {"slots": self._slots(kind)} for kind in sorted(kinds)},
            "fluents": {
                name: list(self.vocabulary.signature(tool))
                for name, tool in names.items()
                if name in read
            },
            "tools": {tool: self._tool(tool, read) for tool in self.chosen},
            "invariants": list(self._invariants()),
            "graph": {"every_handle_used": self._uses_every_handle()},
        }

    def _tool(self, tool: str, read: Collection[str]) -> dict[str, Any]:
        vocabulary, conditions = self.vocabulary, self.chosen[tool]
        handles = vocabulary.objects[tool]
        name, how = vocabulary.name(tool), vocabulary.finds.get(tool)
        told: dict[str, Any] = {"args": self._args(tool)}
        if handles:
            told["handles"] = {
                arg: {"object": kind, "path": self._path(kind)} for arg, kind in handles.items()
            }
        if how is not None:
            key = self._key(tool, how.path)
            told["binds"] = {"object": how.kind, **({"key": key} if key else {})}
        pre = list(dict.fromkeys(c.text for c in conditions if c.form is Form.PRE))
        guards = [c.text for c in conditions if c.form is Form.GUARD]
        if tool in self.closed:
            pre = ["false"]
        told |= {"pre": " & ".join(pre)} if pre else {}
        told |= {"guards": guards} if guards else {}
        if name in read:
            about = (SELF,) if how is not None else tuple(handles)
            told["effects"] = [f"{name}({', '.join(about)})" if about else name]
        return told

    def _args(self, tool: str) -> dict[str, Any]:
        calls = [step.args for trace in self.traces for step in trace.steps if step.tool == tool]
        shape = object_shape(calls)
        for arg in self.vocabulary.objects[tool]:
            shape["properties"][arg] = {}
        return shape

    def _path(self, kind: str) -> str:
        return min(how.path for how in self.vocabulary.finds.values() if how.kind == kind)

    def _key(self, tool: str, path: str) -> str | None:
        """The argument that tells apart what a tool finds, if one does."""
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        count = 0
        for _, step in _successes(self.traces, tool):
            count += 1
            identifier = str(at_path(step.result, path, f"tool {tool}"))
            for arg, value in step.args.items():
                if arg not in self.vocabulary.objects[tool] and isinstance(value, str | int):
                    found[arg][str(value)].add(identifier)
                    seen[arg][identifier].add(str(value))
        for arg, by_value in found.items():
            whole = sum(len(ids) for ids in by_value.values()) == len(by_value) == len(seen[arg])
            everywhere = all(arg in step.args for _, step in _successes(self.traces, tool))
            if whole and everywhere and count:
                return arg
        return None

    def _slots(self, kind: str) -> int:
        finders = {tool for tool, how in self.vocabulary.finds.items() if how.kind == kind}
        most = _LEAST_SLOTS
        for trace in self.traces:
            ids = {
                record_of(step.result, self._path(kind))[1]
                for step in trace.steps
                if step.ok and step.tool in finders
            }
            most = max(most, len(ids))
        return min(_MOST_SLOTS, most)

    def _max_steps(self) -> int:
        most = max(sum(step.ok for step in trace.steps) for trace in self.traces)
        return min(_MOST_STEPS, max(1, most))

    def _uses_every_handle(self) -> bool:
        done = [trace for trace in self.traces if all(step.ok for step in trace.steps)]
        return bool(done and self.vocabulary.finds) and all(map(self._uses_all, done))

    def _uses_all(self, trace: Trace) -> bool:
        bound = {i for i, step in enumerate(trace.steps) if step.tool in self.vocabulary.finds}
        refs = [
            parse_reference(value)
            for step in trace.steps
            for value in step.args.values()
            if isinstance(value, str)
        ]
        return bound <= {ord(ref.step) - ord("a") for ref in refs if ref}

    def _invariants(self) -> Iterable[dict[str, Any]]:
        """What failures show to be needed, said of the state: never done without it."""
        read = {name for found in self.chosen.values() for c in found for name in c.fluents}
        for tool, conditions in self.chosen.items():
            done, objects = self.vocabulary.name(tool), self.vocabulary.objects[tool]
            if done not in read or tool in self.vocabulary.finds:
                continue
            for each in conditions:
                needed = each.support is Support.NEEDED and len(each.fluents) == 1
                if needed and not each.text.startswith("!") and each.form is Form.PRE:
                    own = f"{done}({', '.join(objects)})" if objects else done
                    yield {
                        "name": f"no_{tool}_without_{each.fluents[0].removesuffix('_done')}",
                        "never": f"{own} & !{each.text}",
                        "for": dict(objects),
                    }


def _successes(traces: Iterable[Trace], tool: str) -> Iterable[tuple[Trace, TraceStep]]:
    return (
        (trace, step) for trace in traces for step in trace.steps if step.ok and step.tool == tool
    )


def _told(traces: Iterable[Trace], vocabulary: Vocabulary) -> list[tuple[str, Any]]:
    """Every field of an object and every argument that traces name, with its value."""
    steps = [step for trace in traces for step in trace.steps]
    told = [(arg, value) for step in steps for arg, value in step.args.items()]
    for step in steps:
        if step.ok and step.tool in vocabulary.finds:
            told += record_of(step.result, vocabulary.finds[step.tool].path)[0].items()
    return [(name, value) for name, value in told if isinstance(value, str | int | float)]


def _onto(base: dict[str, Any], drafted: Mapping[str, Any]) -> dict[str, Any]:
    """A base with what was learned; arguments, operations and limits stay the base's."""
    unknown = [tool for tool in drafted["tools"] if tool not in base["tools"]]
    if unknown:
        raise BBError(
            f"the base declares no tool {unknown[0]!r}", where="traces", fix="import the base again"
        )
    tools = {}
    for name, learned in drafted["tools"].items():
        declared = {k: v for k, v in base["tools"][name].items() if k not in _LEARNED}
        tools[name] = declared | {k: v for k, v in learned.items() if k in _LEARNED}
    kept = ("objects", "fluents", "invariants", "graph")
    return {**base, "domain": drafted["domain"], **{k: drafted[k] for k in kept}, "tools": tools}
