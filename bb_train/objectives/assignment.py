"""Which node of one graph stands for which of another: a small quadratic assignment, in bounds.

The best assignment by node costs alone (Hungarian method) and the given order are the starts;
from each, the best exchange of two images is made until none helps. Plans are written in an order
that is nearly canonical and most labels differ, so this finds the optimum almost always; whatever
it finds is a valid edit path, and its cost an upper bound of the least.

Sources: Kuhn 1955, in the O(n³) form with potentials; Riesen & Bunke 2009 for graph edit distance
by assignment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bb_train.objectives.errors import ShapeError

Matrix = NDArray[np.float64]


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
    nodes: Matrix, absent: Matrix, present: Matrix, edges: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """A permutation p with a small `Σ nodes[i, p[i]] + Σ edge cost(i, j; p[i], p[j])`.

    Args:
        nodes: (K, K) cost of node i standing for node u.
        absent: (K, K) cost of the pair (i, j) where the other graph has no edge.
        present: (K, K) cost of the pair where it has one.
        edges: (K, K) bool, edges of the other graph.

    Returns:
        (K,) int64. Deterministic; at most K² exchanges from each start.

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
    starts = [hungarian(nodes), np.arange(len(nodes))]
    found = [_exchange(nodes, absent, present, edges, start) for start in starts]
    return min(found, key=lambda pair: pair[0])[1]


def _exchange(
    nodes: Matrix,
    absent: Matrix,
    present: Matrix,
    edges: NDArray[np.bool_],
    start: NDArray[np.int64],
) -> tuple[float, NDArray[np.int64]]:
    """Improve a permutation by exchanges of two; returns its cost and the permutation."""
    size = len(start)
    gain = present - absent
    left, right = np.triu_indices(size, 1)
    turn = np.arange(len(left))
    best, cost = start, _costs(nodes, gain, edges, start[None])[0]
    for _ in range(size * size):
        tried = np.repeat(best[None], len(left), axis=0)
        tried[turn, left], tried[turn, right] = best[right], best[left]
        found = _costs(nodes, gain, edges, tried)
        if not len(found) or found.min() >= cost - 1e-9 * (1 + abs(cost)):
            break
        best, cost = tried[found.argmin()], found.min()
    return float(cost), best


def _costs(
    nodes: Matrix, gain: Matrix, edges: NDArray[np.bool_], images: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n,) cost of each of (n, K) permutations, up to what no permutation changes."""
    own = np.take_along_axis(nodes[None], images[:, :, None], axis=2)[..., 0].sum(1)
    moved = edges[images[:, :, None], images[:, None, :]]
    return own + np.where(moved, gain, 0.0).sum((1, 2))
