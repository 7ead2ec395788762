"""How many traces until learned action models admit what is admissible, and do they ever err?

The tools are those of the demonstration service. An explorer calls them at random, in process, on
the service's own rules; models are learned from the first n attempts at each tool, and tried on
10,000 calls or more of another explorer on another service: a call that a model admits and the
service refuses is unsafe. The states are those that calls lead to; arguments that no answer tells,
such as an owner's address, are right.

Beside it, for orientation, the fewest preconditions that explain the failures: what one would
guess. It admits more and is wrong at times, which is what the careful model is for.

Scripted workflows, which the service never refuses, are the second source: they show one way of
doing each thing, and a hundred questions at most for each tool, put to the service itself, show
what else can be done.

`python -m benchmarks.proof_actions FOLDER` draws the curve there, and prints it as a table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bb_core.trace import Trace
    from bem_kernel.learning.action_traces import Attempt

COVERAGE = 50
ATTEMPTS = (1, 2, 5, 10, 20, 50, 100, 200)
SEEDS, MORE_SEEDS = 1, 5
TRAIN_TRACES, HELD_OUT_TRACES = 350, 440
HELD_OUT = 10_000
SCRIPTED_TRACES, QUESTIONS = 400, 100


@dataclass(frozen=True)
class Point:
    """Models from n attempts at each tool, tried on held-out calls.

    Attributes:
        attempts: n.
        calls: that they were tried on.
        unsafe: refused by the service and admitted by a model.
        admitted: share of the calls that the service granted.
        worst: the same for the tool with the least.
        guessed: share of these calls admitted by the fewest preconditions that explain failures.
        guessed_unsafe: refused by the service and admitted by those.
    """

    attempts: int
    calls: int
    unsafe: int
    admitted: float
    worst: float
    guessed: float
    guessed_unsafe: int


def explored(seed: int, n: int) -> list[Trace]:
    """Traces of an explorer on a service of its own."""
    from bb_domains.api_json.exploration import Explorer
    from bb_domains.api_json.in_process import InProcessService
    from bb_domains.api_json.planner import World

    service = InProcessService(seed)
    try:
        return list(Explorer(World.read(service), service.session, seed).explore(n))
    finally:
        service.close()


@cache
def _attempts(seed: int) -> tuple[Mapping[str, Sequence[Attempt]], Mapping[str, Sequence[Attempt]]]:
    """Attempts at each tool to learn from, and held-out ones."""
    from bb_domains.observations import attempts_of
    from bb_domains.vocabulary import vocabulary_of
    from bem_kernel.learning.action_traces import by_action

    traces = explored(2 * seed, TRAIN_TRACES)
    vocabulary = vocabulary_of(traces)
    attempts = by_action(attempts_of(traces, vocabulary))
    held_out = by_action(attempts_of(explored(2 * seed + 1, HELD_OUT_TRACES), vocabulary))
    assert sum(map(len, held_out.values())) >= HELD_OUT
    assert min(map(len, attempts.values())) >= ATTEMPTS[-1]
    return attempts, held_out


@cache
def curve(seed: int) -> tuple[Point, ...]:
    """The points of one explorer, from few attempts to many."""
    attempts, held_out = _attempts(seed)
    return tuple(_point(n, attempts, held_out) for n in ATTEMPTS)


def _point(
    n: int, attempts: Mapping[str, Sequence[Attempt]], held_out: Mapping[str, Sequence[Attempt]]
) -> Point:
    import numpy as np

    # Of each tool: calls granted, of these admitted and guessed, unsafe, unsafe guesses.
    counts = np.array([_counts(attempts[tool][:n], held_out[tool]) for tool in attempts])
    granted, admitted, guessed, unsafe, wrong = counts.sum(axis=0).tolist()
    worst = float((counts[:, 1] / counts[:, 0]).min())
    calls = sum(map(len, held_out.values()))
    return Point(n, calls, unsafe, admitted / granted, worst, guessed / granted, wrong)


def _counts(attempts: Sequence[Attempt], held_out: Sequence[Attempt]) -> NDArray[np.int64]:
    import numpy as np

    from bem_kernel.learning.action_model import learn_action, states_of
    from bem_kernel.learning.explanation import explain_failures
    from bem_kernel.learning.version_space import truth

    model = learn_action(attempts)
    states = states_of([each.before for each in held_out], model.facts)
    ok = np.array([each.ok for each in held_out])
    sure = model.pre.surely(states)
    guess = truth(explain_failures(model.pre).clauses, states).all(axis=1)
    parts = (ok, sure & ok, guess & ok, sure & ~ok, guess & ~ok)
    return np.array([part.sum() for part in parts], dtype=np.int64)


def _seeds(context: Context) -> range:
    return range(context.seed, context.seed + (MORE_SEEDS if context.full else SEEDS))


def _at_coverage(context: Context) -> list[Point]:
    return [p for seed in _seeds(context) for p in curve(seed) if p.attempts == COVERAGE]


@row("proof.actions_unsafe", peer_name="1, more than none", unit="calls", target=2.0, better="less")
def unsafe(context: Context) -> Measured:
    """Calls admitted and refused, whatever the number of attempts; holds for none only."""
    wrong = [sum(point.unsafe for point in curve(seed)) for seed in _seeds(context)]
    return Measured(wrong, [1] * len(wrong))


@row("proof.actions_admitted", peer_name="limit", unit="of what is admissible", target=1.0)
def admitted(context: Context) -> Measured:
    """Share of the admissible calls that is admitted after 50 attempts at each tool."""
    points = _at_coverage(context)
    return Measured([point.admitted for point in points], [0.9] * len(points))


@row("proof.actions_worst_tool", peer_name="limit", unit="of what is admissible", target=1.0)
def worst_tool(context: Context) -> Measured:
    """The same of the tool with the least, after 50 successes of each."""
    shares = [_after_successes(seed) for seed in _seeds(context)]
    return Measured(shares, [0.9] * len(shares))


def _after_successes(seed: int) -> float:
    attempts, held_out = _attempts(seed)
    shares = []
    for tool, group in attempts.items():
        until = [i for i, each in enumerate(group, 1) if each.ok][COVERAGE - 1]
        granted, admitted, *_ = _counts(group[:until], held_out[tool]).tolist()
        shares.append(admitted / granted)
    return min(shares)


@row("proof.actions_asked", peer_name="limit", unit="of what is admissible", target=1.0)
def asked(context: Context) -> Measured:
    """Share admitted after scripted traces with each tool 50 times, and questions."""
    shares = []
    for seed in _seeds(context):
        unsafe_, *counts = _scripted(2 * seed)
        assert unsafe_ == 0, f"{unsafe_} unsafe calls"
        shares.append(counts[1] / counts[0])
    return Measured(shares, [0.9] * len(shares))


def _scripted(seed: int) -> tuple[int, int, int]:
    """Unsafe calls; calls granted; of these admitted."""
    from bb_domains.api_json.exploration import Explorer
    from bb_domains.api_json.in_process import InProcessService
    from bb_domains.api_json.planner import World
    from bb_domains.api_json.traces import TraceMaker
    from bb_domains.api_json.trials import Trials
    from bb_domains.observations import attempts_of, possible
    from bb_domains.vocabulary import vocabulary_of
    from bem_kernel.learning.action_traces import by_action
    from bem_kernel.learning.refinement import refine

    service = InProcessService(seed)
    traces = list(TraceMaker(service.session(), service, seed).make("train", SCRIPTED_TRACES))
    vocabulary = vocabulary_of(traces)
    attempts = by_action(attempts_of(traces, vocabulary))
    assert min(map(len, attempts.values())) >= COVERAGE
    held_out = by_action(attempts_of(explored(seed + 1, HELD_OUT_TRACES), vocabulary))
    trials = Trials(Explorer(World.read(service), service.session, seed), vocabulary)
    totals = [0, 0, 0]
    for tool, group in attempts.items():
        limits = possible(tool, vocabulary)
        first = group[:COVERAGE]
        found = refine(first, trials, possible=limits, max_questions=QUESTIONS, n_random=10)
        granted, admitted_, _, unsafe_, _ = _counts(found.attempts, held_out[tool]).tolist()
        totals = [a + b for a, b in zip(totals, (unsafe_, granted, admitted_), strict=True)]
    service.close()
    return totals[0], totals[1], totals[2]


@row(
    "proof.actions_guessed",
    peer_name="fewest preconditions that explain the failures, for orientation",
    unit="unsafe calls",
    target=0.0,
    better="less",
)
def guessed(context: Context) -> Measured:
    """What guessing costs in safety."""
    points = _at_coverage(context)
    return Measured([p.unsafe for p in points], [p.guessed_unsafe for p in points])


def table(points: Sequence[Point]) -> str:
    """The curve as a table in Markdown."""
    lines = [
        "| attempts at each | admitted | of the worst tool | unsafe | guessed | guessed, unsafe |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {p.attempts} | {p.admitted:.1%} | {p.worst:.1%} | {p.unsafe} | {p.guessed:.1%} "
        f"| {p.guessed_unsafe} |"
        for p in points
    ]
    return "\n".join(lines) + "\n"


def mean_curve(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Point by point: means of shares, sums of calls."""
    means = []
    for points in zip(*curves, strict=True):
        n = len(points)
        means.append(
            Point(
                points[0].attempts,
                sum(p.calls for p in points),
                sum(p.unsafe for p in points),
                sum(p.admitted for p in points) / n,
                sum(p.worst for p in points) / n,
                sum(p.guessed for p in points) / n,
                sum(p.guessed_unsafe for p in points),
            )
        )
    return means


def main() -> None:
    """Draw the curve over several explorers."""
    from benchmarks.action_curve import drawing

    folder = Path(sys.argv[1])
    points = mean_curve([curve(seed) for seed in range(MORE_SEEDS)])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "action-models.svg").write_text(drawing(points))
    print(table(points), f"{points[0].calls} calls", sep="\n")


if __name__ == "__main__":
    main()
