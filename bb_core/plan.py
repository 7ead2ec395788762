"""Plans: their text, their references, and their graph.

A plan is one JSON object `{"plan":[{"id","tool","args","after"?}, …]}`. A string `"$id.path"`
among the arguments refers to an earlier result and makes a data edge; `after` makes order edges.
Ids are canonical by position: the first step is `a`, the second `b`, and so on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from bb_core.errors import BBError

if TYPE_CHECKING:
    import networkx as nx

STEP_IDS = "abcdefghijklmnopqrstuvwxyz"
MAX_STEPS = len(STEP_IDS)

_STEP_KEYS = ("id", "tool", "args", "after")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)")
_SURROGATE = re.compile("[\ud800-\udfff]")


class PlanSyntaxError(BBError):
    """The text is not a plan."""


class PlanGraphError(BBError):
    """The steps do not make a directed acyclic graph."""


@dataclass(frozen=True)
class Step:
    """One tool call.

    Attributes:
        id: name of the step within its plan.
        tool: name of the tool.
        args: JSON object of arguments, in the order in which they are written.
        after: ids of steps that must come first although no data flows from them.
    """

    id: str
    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they are written."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Ref:
    """A reference `"$step.path"` found in a value.

    Attributes:
        step: id of the step whose result is meant.
        path: dotted path into that result.
        pointer: JSON pointer of the referring string within the searched value.
    """

    step: str
    path: str
    pointer: str = ""


def step_id(i: int) -> str:
    """Return the canonical id of the step at position `i`, counted from 0.

    Raises:
        BBError: plans have at most 26 steps.
    """
    if not 0 <= i < MAX_STEPS:
        raise BBError(
            f"step {i} has no id", where="step_id", fix=f"a plan has at most {MAX_STEPS} steps"
        )
    return STEP_IDS[i]


def parse_plan(text: str) -> Plan:
    """Read a plan from its text; spaces between tokens are allowed.

    Ids need not be canonical, but they must be distinct names.

    Raises:
        PlanSyntaxError: not JSON, duplicate keys, NaN, trailing text, or not of the plan's shape.
    """
    value = _decode(text)
    if not isinstance(value, dict) or set(value) != {"plan"}:
        _refuse("/", 'a plan is an object with the one key "plan"')
    items = value["plan"]
    if not isinstance(items, list):
        _refuse("/plan", "must be a list of steps")
    if len(items) > MAX_STEPS:
        _refuse("/plan", f"has {len(items)} steps", f"use at most {MAX_STEPS}")
    steps = tuple(_step(item, f"/plan/{i}") for i, item in enumerate(items))
    seen: set[str] = set()
    for i, step in enumerate(steps):
        if step.id in seen:
            _refuse(f"/plan/{i}/id", f"id {step.id!r} is used twice", "give each step its own id")
        seen.add(step.id)
    return Plan(steps)


def step_text(step: Step) -> str:
    """Return the canonical text of a step: ASCII, no spaces, keys in order id, tool, args, after.

    Raises:
        PlanSyntaxError: an argument is not a JSON value.
    """
    value: dict[str, Any] = {"id": step.id, "tool": step.tool, "args": dict(step.args)}
    if step.after:
        value["after"] = list(step.after)
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PlanSyntaxError(
            f"arguments are not JSON: {error}", where=f"step {step.id}", fix="use JSON values"
        ) from error


def plan_text(plan: Plan) -> str:
    """Return the canonical text of a plan, the form in which models learn and write plans."""
    return '{"plan":[' + ",".join(step_text(step) for step in plan.steps) + "]}"


def parse_reference(text: str) -> Ref | None:
    """Return the reference that a whole string is, or None for any other string."""
    found = _REFERENCE.fullmatch(text)
    return Ref(found[1], found[2]) if found else None


def references(value: Any) -> list[Ref]:
    """Return every reference in a JSON value, in the order in which they are written."""
    return list(_walk(value, ""))


def rename_steps(plan: Plan) -> Plan:
    """Return the same plan with canonical ids, in references and `after` too.

    Raises:
        BBError: more than 26 steps.
    """
    names = {step.id: step_id(i) for i, step in enumerate(plan.steps)}
    return Plan(
        tuple(
            Step(
                names[step.id],
                step.tool,
                {key: substitute(value, names) for key, value in step.args.items()},
                tuple(names.get(other, other) for other in step.after),
            )
            for step in plan.steps
        )
    )


def substitute(value: Any, names: Mapping[str, str]) -> Any:
    """Return `value` with the step of each reference replaced by `names[step]`, where it is named.

    Everything else, unknown steps included, stays as it is.
    """
    if isinstance(value, str):
        ref = parse_reference(value)
        return f"${names[ref.step]}.{ref.path}" if ref and ref.step in names else value
    if isinstance(value, Mapping):
        return {key: substitute(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [substitute(item, names) for item in value]
    return value


def plan_graph(plan: Plan, edges: Iterable[tuple[str, str]] = ()) -> nx.DiGraph:
    """Return the graph of a plan.

    Args:
        plan: the plan.
        edges: further order edges, from earlier to later step id.

    Returns:
        A `networkx.DiGraph`. Nodes are step ids with `tool` and `args`. An edge from u to v means
        v comes after u; its `kind` is "data" (v refers to u's result) or "order", and its `uses`
        are the sorted (pointer in v's arguments, path in u's result) pairs, empty for "order".

    Raises:
        PlanGraphError: an unknown step, or a cycle.
    """
    import networkx as nx

    graph = nx.DiGraph()
    for step in plan.steps:
        graph.add_node(step.id, tool=step.tool, args=step.args)
    for step in plan.steps:
        for other in step.after:
            _add_edge(graph, other, step.id, step.id)
    for earlier, later in edges:
        _add_edge(graph, earlier, later, later)
    for step in plan.steps:
        for ref in references(step.args):
            _add_edge(graph, ref.step, step.id, step.id)
            edge = graph.edges[ref.step, step.id]
            edge["kind"] = "data"
            edge["uses"] = tuple(sorted((*edge["uses"], (ref.pointer, ref.path))))
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [edge[0] for edge in nx.find_cycle(graph)]
        raise PlanGraphError(
            "steps wait for each other: " + " -> ".join([*cycle, cycle[0]]),
            where=f"step {cycle[0]}",
            fix="remove one of the references or after-entries",
        )
    return graph


def _add_edge(graph: nx.DiGraph, earlier: str, later: str, where: str) -> None:
    """Add an order edge unless there is an edge already."""
    for end in (earlier, later):
        if end not in graph:
            raise PlanGraphError(
                f"refers to step {end!r}, which is not in the plan",
                where=f"step {where}",
                fix=f"use one of {', '.join(graph) or 'no steps'}",
            )
    if not graph.has_edge(earlier, later):
        graph.add_edge(earlier, later, kind="order", uses=())


def _walk(value: Any, pointer: str) -> Iterator[Ref]:
    """Yield the references in a value, with their pointers."""
    if isinstance(value, str):
        ref = parse_reference(value)
        if ref:
            yield Ref(ref.step, ref.path, pointer)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _walk(item, f"{pointer}/{i}")


def _step(item: Any, where: str) -> Step:
    """Check the shape of one step."""
    if not isinstance(item, dict):
        _refuse(where, "must be an object with id, tool and args")
    for key in _STEP_KEYS[:3]:
        if key not in item:
            _refuse(where, f'has no "{key}"', "a step has id, tool and args")
    for key in item:
        if key not in _STEP_KEYS:
            _refuse(where, f"unknown key {key!r}", "use id, tool, args and after")
    if not isinstance(item["id"], str) or not _ID.fullmatch(item["id"]):
        _refuse(f"{where}/id", f"{item['id']!r} is no step id", "use letters, digits and _")
    if not isinstance(item["tool"], str) or not item["tool"]:
        _refuse(f"{where}/tool", "must be the name of a tool")
    if not isinstance(item["args"], dict):
        _refuse(f"{where}/args", "must be an object")
    after = item.get("after", [])
    if not isinstance(after, list) or not all(isinstance(entry, str) for entry in after):
        _refuse(f"{where}/after", "must be a list of step ids")
    return Step(item["id"], item["tool"], item["args"], tuple(after))


def _decode(text: str) -> Any:
    """Decode JSON without what JSON leaves open: duplicate keys, NaN, lone surrogates."""
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise PlanSyntaxError(
            f"not JSON: {error.msg}",
            where=f"plan: line {error.lineno}, column {error.colno}",
            fix="write one JSON object and nothing after it",
        ) from error
    except RecursionError as error:
        raise PlanSyntaxError("nested too deeply", where="plan", fix="flatten it") from error
    except ValueError as error:  # an integer with more digits than Python converts
        raise PlanSyntaxError(str(error), where="plan", fix="write a smaller number") from error
    half = _SURROGATE.search(json.dumps(value, ensure_ascii=False))
    if half:
        raise PlanSyntaxError(
            f"{half[0]!r} is half a surrogate pair", where="plan", fix="write both halves"
        )
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise PlanSyntaxError(f"key {twice!r} is written twice", where="plan", fix="keep one")
    return value


def _constant(name: str) -> NoReturn:
    raise PlanSyntaxError(f"{name} is not JSON", where="plan", fix="write a finite number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise PlanSyntaxError(f"{text} is too large", where="plan", fix="write a finite number")
    return value


def _refuse(pointer: str, what: str, fix: str = "") -> NoReturn:
    raise PlanSyntaxError(what, where=f"plan: {pointer}", fix=fix)
