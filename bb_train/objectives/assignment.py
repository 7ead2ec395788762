"""Which node of one graph stands for which of another: a small quadratic assignment, in bounds.

Where few enough injections of nodes into slots exist, all are tried, and the best is the best.
Beyond, from three starts (the best assignment by node costs alone, the same with the degrees of
nodes taken into account, and the given order, in which plans are nearly canonical) the best
exchange of two images is made until none helps. What that finds is a valid edit path still, and
its cost an upper bound of the least.

Sources: Kuhn 1955, in the O(n³) form with potentials; Riesen & Bunke 2009 for graph edit distance
by assignment.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bb_train.objectives.errors import ShapeError

Matrix = NDArray[np.float64]
_TRIED = 10_000  # ways that are all tried: some milliseconds


def hungarian(cost: Matrix) -> NDArray[np.int64]:
    """The permutation p with the least Σ cost[i, p[i]], for a finite square matrix."""
    size = len(cost)
    row_price, column_price = np.zeros(size + 1), np.zeros(size + 1)
    owner = np.full(size + 1, -1)  # row that a column is given to; column `size` is the way in
    for row in range(size):
        owner[size] = row
        column = size
        least, before = np.full(size, np.inf), np.full(size, size)
        done = np.zeros(size + 1, bool)
        while owner[column] >= 0:
            done[column] = True
            here = owner[column]
            slack = cost[here] - row_price[here] - column_price[:size]
            closer = ~done[:size] & (slack < least)
            least[closer], before[closer] = slack[closer], column
            column = int(np.where(done[:size], np.inf, least).argmin())
            step = least[column]
            reached = np.flatnonzero(done)
            row_price[owner[reached]] += step
            column_price[reached] -= step
            least[~done[:size]] -= step
        while column != size:
            owner[column] = owner[before[column]]
            column = int(before[column])
    answer = np.empty(size, np.int64)
    answer[owner[:size]] = np.arange(size)
    return answer


def match(
    nodes: Matrix, absent: Matrix, present: Matrix, edges: NDArray[np.bool_], real: int
) -> NDArray[np.int64]:
    """A permutation p with a small `Σ nodes[i, p[i]] + Σ edge cost(i, j; p[i], p[j])`.

    Args:
        nodes: (K, K) cost of slot i standing for node u.
        absent: (K, K) cost of the pair (i, j) where the graph has no edge: the chance of one.
        present: (K, K) cost of the pair where it has one.
        edges: (K, K) bool, edges of the graph.
        real: nodes from this one on are alike and have no edges.

    Returns:
        (K,) int64. Deterministic; the least of all where K! / (K − real)! is at most 10,000, and
        else found in at most K² exchanges from each start.

    Raises:
        ShapeError: not four square matrices of one size, or costs that are not finite.
    """
    shapes = {a.shape for a in (nodes, absent, present, edges)}
    costs = (nodes, absent, present)
    if (
        len(shapes) != 1
        or len(set(nodes.shape)) != 1
        or not all(np.isfinite(c).all() for c in costs)
    ):
        raise ShapeError(
            f"costs of shapes {sorted(shapes)}", where="assignment",
            fix="give finite square matrices of one size",
        )  # fmt: skip
    size = len(nodes)
    work = _Work(
        nodes=nodes[:, :real] - (nodes[:, real:].mean(1, keepdims=True) if real < size else 0.0),
        gain=present - absent,
        edges=tuple(np.nonzero(edges)),
    )
    if math.perm(size, real) <= _TRIED:
        tried = _injections(size, real)
        slots = tried[_costs(work, tried).argmin()]
    else:
        turns = (hungarian(nodes), hungarian(nodes + _degrees(absent, edges)), np.arange(size))
        found = [_exchange(work, np.argsort(turn)) for turn in turns]
        slots = min(found, key=lambda pair: pair[0])[1][:real]
    answer = np.full(size, -1)
    answer[slots] = np.arange(real)
    answer[answer < 0] = np.arange(real, size)
    return answer


@dataclass(frozen=True)
class _Work:
    """The problem in terms of which slot each real node has.

    Attributes:
        nodes: (K, real) cost of a slot standing for a node rather than for none.
        gain: (K, K) cost of a pair of slots having an edge rather than none.
        edges: the two ends of each edge, (E,) each.
    """

    nodes: Matrix
    gain: Matrix
    edges: tuple[NDArray[np.int64], ...]


@lru_cache(maxsize=64)
def _injections(size: int, real: int) -> NDArray[np.int64]:
    """(n, real) every way to give `real` nodes distinct slots, the given order first."""
    slots = np.array(list(itertools.permutations(range(size), real)), np.int64)
    slots.flags.writeable = False
    return slots


def _degrees(absent: Matrix, edges: NDArray[np.bool_]) -> Matrix:
    """(K, K) how far the expected degrees of slot i are from those of node u, in and out."""
    sides = [np.abs(absent.sum(k)[:, None] - edges.sum(k)[None]) for k in (0, 1)]
    return sides[0] + sides[1]


def _exchange(work: _Work, start: NDArray[np.int64]) -> tuple[float, NDArray[np.int64]]:
    """Exchange the slots of two nodes while that helps; returns the cost and the slots.

    Args:
        work: the problem.
        start: (K,) slot of each node, those that are alike included.
    """
    size, real = len(start), work.nodes.shape[1]
    left, right = (side[np.triu_indices(size, 1)[0] < real] for side in np.triu_indices(size, 1))
    turn = np.arange(len(left))
    best, cost = start, float(_costs(work, start[None])[0])
    for _ in range(size * size):
        tried = np.repeat(best[None], len(left), axis=0)
        tried[turn, left], tried[turn, right] = best[right], best[left]
        found = _costs(work, tried)
        if not len(found) or found.min() >= cost - 1e-9 * (1 + abs(cost)):
            break
        best, cost = tried[found.argmin()], float(found.min())
    return cost, best


def _costs(work: _Work, slots: NDArray[np.int64]) -> Matrix:
    """(n,) cost of (n, ≥ real) slots of the nodes, up to what no choice changes."""
    real = work.nodes.shape[1]
    own: Matrix = work.nodes[slots[:, :real], np.arange(real)].sum(1)
    ends = [slots[:, side] for side in work.edges]
    return own + work.gain[ends[0], ends[1]].sum(1)
