"""Learning the lanes' circuits from training traces.

What is to be learned: which byte pairs end a sentence, which bytes show that a sentence carries a
goal, and which tools complete a goal. The traces are not labelled with any of these. They follow
from the plans alone:

- The steps of one goal are connected by references, so goals are the components of the plan graph
  and the last tool of a component completes it.
- A literal argument that occurs in the request ties its step's goal to a place in the request. A
  rule is right when counting sentences by it puts each such place at the number of its goal, and
  counts as many sentences as there are goals.

Candidate rules are weighed by multiplicative weights over the traces (integers, `Hedge`), and
grown greedily, one byte pair at a time, while the loss falls. Sources: BEM core spec 7.2;
DESIGN.md 5.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_core.errors import BBError
from bb_core.plan import Plan, references
from bb_core.prompt import format_prompt
from bb_core.trace import Trace, trace_plan
from bb_nn.lanes import LaneProgram
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.forms.truth_table import from_truth_table
from bem_kernel.policy.exp2 import ONE_Q16
from bem_kernel.policy.weights import Hedge

# Classes of bytes a rule may name: each is a set of byte values.
BYTE_CLASSES: dict[str, bytes] = {
    "period": b".", "exclamation": b"!", "question": b"?", "comma": b",", "semicolon": b";",
    "colon": b":", "space": b" ", "newline": b"\n", "digit": b"0123456789", "at": b"@",
    "upper": bytes(range(65, 91)), "lower": bytes(range(97, 123)),
}  # fmt: skip
_MARKS: tuple[tuple[str, ...], ...] = (
    ("lower",), ("upper",), ("digit",), ("at",), ("digit", "at"), ("comma",),
)  # fmt: skip
_TRACES = 512
_MAX_PAIRS = 8
_STRAY = 50  # a separator may occur inside a goal once in so many times


@dataclass(frozen=True)
class Example:
    """What one trace says about the rules.

    Attributes:
        text: bytes of the prompt.
        places: offset in `text` of each literal argument that occurs there exactly once.
        goals: number of the goal each place belongs to, ascending from 0.
        n_goals: goals of the plan.
    """

    text: bytes
    places: tuple[int, ...]
    goals: tuple[int, ...]
    n_goals: int


def components(plan: Plan) -> list[list[int]]:
    """Steps of each goal, as indices: the connected components of the plan's references.

    A step that neither refers nor is referred to and has no arguments (a login) belongs to none.
    """
    index = {step.id: i for i, step in enumerate(plan.steps)}
    root = list(range(len(plan.steps)))
    linked = set()
    for i, step in enumerate(plan.steps):
        for ref in references(step.args):
            linked |= {i, index[ref.step]}
            old, new = root[i], root[index[ref.step]]
            root = [new if r == old else r for r in root]
    groups: dict[int, list[int]] = {}
    for i, step in enumerate(plan.steps):
        if i in linked or step.args:
            groups.setdefault(root[i], []).append(i)
    return sorted(groups.values(), key=lambda g: g[0])


def _literals(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        if not value.startswith("$"):
            yield value
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, (int, float)):
        yield str(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _literals(item)
    elif isinstance(value, list):
        for item in value:
            yield from _literals(item)


def example(trace: Trace) -> Example:
    """Tie the literal arguments of a trace's plan to their places in the prompt."""
    plan = trace_plan(trace)
    text = format_prompt(trace.request)
    places, goals = [], []
    groups = components(plan)
    for goal, group in enumerate(groups):
        for literal in (x for i in group for x in _literals(plan.steps[i].args)):
            found = [m.start() for m in re.finditer(rf"(?<!\w){re.escape(literal)}(?!\w)", text)]
            if len(found) == 1:
                places.append(len(text[: found[0]].encode()))
                goals.append(goal)
    return Example(text.encode(), tuple(places), tuple(goals), len(groups))


Rule = tuple[frozenset[tuple[int, int]], tuple[str, ...]]
"""Pairs of byte classes that end a sentence, and the classes that mark a goal."""


class _Scorer:
    """Counts sentences by candidate rules, all examples at once."""

    def __init__(self, examples: Sequence[Example]) -> None:
        names = list(BYTE_CLASSES)
        table = np.full(256, len(names))
        for i, name in enumerate(names):
            table[list(BYTE_CLASSES[name])] = i
        rows, length = len(examples), max(len(e.text) for e in examples)
        self.classes = np.full((rows, length), len(names))
        for row, e in enumerate(examples):
            self.classes[row, : len(e.text)] = table[np.frombuffer(e.text, np.uint8)]
        self.row = np.array([i for i, e in enumerate(examples) for _ in e.places], int)
        self.place = np.array([p for e in examples for p in e.places], int)
        self.goal = np.array([g for e in examples for g in e.goals], int)
        self.n_goals = np.array([e.n_goals for e in examples])
        self.n_places = np.array([max(1, len(e.places)) for e in examples])

    def separators(self) -> list[tuple[int, int]]:
        """Class pairs that are not rare and hardly ever occur between two places of one goal."""
        size = len(BYTE_CLASSES)
        inside = np.zeros(self.classes.shape, bool)
        for row, goal in set(zip(self.row.tolist(), self.goal.tolist(), strict=True)):
            places = self.place[(self.row == row) & (self.goal == goal)]
            inside[row, places.min() : places.max()] = True
        pair = self.classes[:, :-1] * (size + 1) + self.classes[:, 1:]
        every = np.bincount(pair.ravel(), minlength=(size + 1) ** 2)
        within = np.bincount(pair[inside[:, 1:]], minlength=(size + 1) ** 2)
        rare = len(self.n_goals) // 100
        grid = itertools.product(range(size), repeat=2)
        return [
            (a, b) for a, b in grid
            if every[a * (size + 1) + b] > max(_STRAY * within[a * (size + 1) + b], rare)
        ]  # fmt: skip

    def losses(self, rule: Rule) -> NDArray[np.int64]:
        """(examples,) int64 in Q16: share of places and totals that the rule gets wrong."""
        pairs, mark = rule
        size = len(BYTE_CLASSES) + 1
        ends, marked = np.zeros((size, size), bool), np.zeros(size, bool)
        for left, right in pairs:
            ends[left, right] = True
        marked[[list(BYTE_CLASSES).index(m) for m in mark]] = True
        hits = np.zeros_like(self.classes, bool)
        hits[:, 1:] = ends[self.classes[:, :-1], self.classes[:, 1:]]
        seen = np.cumsum(marked[self.classes], axis=1)
        at_end = np.maximum.accumulate(np.where(hits, seen, 0), axis=1)
        before = np.concatenate([np.zeros_like(at_end[:, :1]), at_end[:, :-1]], axis=1)
        counts = np.cumsum(hits & (seen > before), axis=1)
        totals = counts[:, -1] + (seen[:, -1] > at_end[:, -1])
        wrong = (totals != self.n_goals) * self.n_places
        misplaced = counts[self.row, self.place] != self.goal
        wrong = wrong + np.bincount(self.row, misplaced, len(wrong)).astype(np.int64)
        losses: NDArray[np.int64] = ONE_Q16 * wrong // (2 * self.n_places)
        return losses


def _learn_sentences(examples: Sequence[Example]) -> Rule:
    """Greedy search for the byte-class pairs and the mark with the least loss under Hedge."""
    scorer = _Scorer(examples)
    every = scorer.separators()
    best: Rule = (frozenset(), _MARKS[0])
    best_loss = int(scorer.losses(best).sum())
    for _ in range(_MAX_PAIRS):
        marks = _MARKS if not best[0] else (best[1],)
        candidates = [(best[0] | {p}, m) for p in every if p not in best[0] for m in marks]
        candidates += [(best[0] - {p}, best[1]) for p in best[0]]
        candidates += [(best[0], m) for m in _MARKS]
        found = _leader(scorer, candidates)
        loss = int(scorer.losses(found).sum())
        if loss >= best_loss:
            break
        best, best_loss = found, loss
    return best


def _leader(scorer: _Scorer, candidates: list[Rule]) -> Rule:
    """The candidate that multiplicative weights favour after all examples, ties to the first."""
    table = np.stack([scorer.losses(rule) for rule in candidates])
    hedge = Hedge(len(candidates))
    for column in table.T:
        hedge.update(column)
    return candidates[int(hedge.best())]


def _completing_tools(plans: Sequence[Plan], tools: Sequence[str]) -> NDArray[np.bool_]:
    """(tools,) whether a tool, where it occurs in a goal, is mostly the goal's last step."""
    last, inside = Counter[str](), Counter[str]()
    for plan in plans:
        for group in components(plan):
            inside.update(plan.steps[i].tool for i in group)
            last[plan.steps[group[-1]].tool] += 1
    return np.array([2 * last[t] > inside[t] for t in tools], bool)


def _byte_class(b: CircuitBuilder, inputs: Sequence[int], values: bytes) -> int:
    """A slot that is true when the eight input bits spell one of `values`."""
    member = b.const(False)
    for value in values:
        exact = b.const(True)
        for k, slot in enumerate(inputs):
            exact = b.and_(exact, slot if value >> k & 1 else b.not_(slot))
        member = b.or_(member, exact)
    return member


def _sentence_circuit(pairs: Iterable[tuple[int, int]]) -> Circuit:
    names = list(BYTE_CLASSES)
    b = CircuitBuilder(16)
    out = b.const(False)
    for left, right in sorted(pairs):
        first = _byte_class(b, range(8), BYTE_CLASSES[names[left]])
        second = _byte_class(b, range(8, 16), BYTE_CLASSES[names[right]])
        out = b.or_(out, b.and_(first, second))
    return b.build([out])


def _mark_circuit(mark: tuple[str, ...]) -> Circuit:
    b = CircuitBuilder(8)
    return b.build([_byte_class(b, range(8), b"".join(BYTE_CLASSES[m] for m in mark))])


def learn_lanes(
    traces: Sequence[Trace], domain: Any, report: Callable[[str], None] | None = None
) -> LaneProgram:
    """Learn the lanes' program from training traces.

    Args:
        traces: recorded workflows; the first 512 decide the sentence rule, all decide the tools.
        domain: the domain whose tools are numbered; only `domain.schema.tools` is read.
        report: called with one line that says what was learned.

    Returns:
        The program, with the bits of information that learning chose.

    Raises:
        BBError: there are no traces.
    """
    if not traces:
        raise BBError("no traces to learn from", where="learn_lanes", fix="make traces first")
    tools = tuple(sorted(domain.schema.tools))
    pairs, mark = _learn_sentences([example(t) for t in traces[:_TRACES]])
    completing = _completing_tools([trace_plan(t) for t in traces], tools)
    bits = max(1, len(tools).bit_length())
    table = np.zeros((1 << bits, 1), np.uint8)
    table[1 : len(tools) + 1, 0] = completing
    learned = math.ceil(len(pairs) * math.log2(len(BYTE_CLASSES) ** 2) + math.log2(len(_MARKS)))
    if report is not None:
        names = list(BYTE_CLASSES)
        shown = ", ".join(f"{names[a]}+{names[b]}" for a, b in sorted(pairs)) or "none"
        done = ", ".join(t for t, c in zip(tools, completing, strict=True) if c)
        report(f"a sentence ends at {shown}; marked by {' or '.join(mark)}; goals end with {done}")
    return LaneProgram(
        sentence_end=_sentence_circuit(pairs),
        goal_mark=_mark_circuit(mark),
        completes=from_truth_table(table),
        tools=tools,
        learned_bits=learned + len(tools),
    )
