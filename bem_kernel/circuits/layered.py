"""Layered drawings of acyclic graphs: who stands where, and where long links bend.

Every node has a layer and every link leads to a higher one. A link over several layers gets a bend
in each layer between. Then the order within layers is chosen for few crossings, by sweeps that sort
each layer by the mean place of its neighbours and by swapping neighbours; then places, by sweeps
that solve each layer for the places nearest to its neighbours that keep order and distance.

Source: Sugiyama, Tagawa and Toda 1981 (the method); Gansner et al. 1993 (weights of bends, swaps);
Ayer et al. 1955 (pool adjacent violators, which solves a layer).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_ORDER_SWEEPS = 16
_SWAP_PASSES = 6
_PLACE_SWEEPS = 40
_MOST_SWAPPED = 1200  # nodes and bends; above this, swapping neighbours takes seconds
_SCALE = 1 << 10  # places are integers: means are taken in 1/1024
_STRAIGHT = (1, 2, 8)  # weight of an edge with 0, 1 or 2 bends at its ends


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two nodes.

    Links of one bundle share their bends; they have one source in common, or one target.
    """

    source: int
    target: int
    bundle: int


@dataclass(frozen=True)
class Layout:
    """Where nodes and bends are.

    Attributes:
        layer: the layer of each node, then of each bend.
        across: the centre of each node and bend within its layer, from 0 up.
        paths: for each link the nodes and bends it passes, its ends included.
        width: the extent of the widest layer.
        crossings: how many edges cross.
    """

    layer: tuple[int, ...]
    across: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]
    width: int
    crossings: int


@dataclass
class _Graph:
    """Nodes and bends while they are being placed."""

    layer: list[int]
    extent: list[int]
    n_nodes: int
    before: list[list[int]]
    after: list[list[int]]

    def weight(self, one: int, other: int) -> int:
        """How much an edge wants to be straight."""
        return _STRAIGHT[(one >= self.n_nodes) + (other >= self.n_nodes)]


def place(layer: Sequence[int], extent: Sequence[int], links: Sequence[Link], gap: int) -> Layout:
    """Lay out a graph.

    Args:
        layer: the layer of each node, from 0.
        extent: the size of each node across its layer.
        links: each from a lower layer to a higher one.
        gap: the least distance between neighbours, and between bends.

    Returns:
        The places; equal arguments give equal ones.
    """
    graph, paths = _with_bends(layer, extent, links)
    order = _ordered(graph)
    across = _placed(graph, order, gap)
    lowest = min((x - e // 2 for x, e in zip(across, graph.extent, strict=True)), default=0)
    across = [x - lowest for x in across]
    width = max((x + e // 2 for x, e in zip(across, graph.extent, strict=True)), default=0)
    return Layout(tuple(graph.layer), tuple(across), paths, width, _crossings(graph, order))


def _with_bends(
    layer: Sequence[int], extent: Sequence[int], links: Sequence[Link]
) -> tuple[_Graph, tuple[tuple[int, ...], ...]]:
    layers, extents = list(layer), list(extent)
    bend_of: dict[tuple[int, int], int] = {}
    edges: dict[tuple[int, int], None] = {}
    paths = []
    for link in links:
        path = [link.source]
        for at in range(layers[link.source] + 1, layers[link.target]):
            if (link.bundle, at) not in bend_of:
                bend_of[link.bundle, at] = len(layers)
                layers.append(at)
                extents.append(0)
            path.append(bend_of[link.bundle, at])
        path.append(link.target)
        edges.update(dict.fromkeys(pairwise(path)))
        paths.append(tuple(path))
    before: list[list[int]] = [[] for _ in layers]
    after: list[list[int]] = [[] for _ in layers]
    for one, other in edges:
        after[one].append(other)
        before[other].append(one)
    return _Graph(layers, extents, len(layer), before, after), tuple(paths)


def _ordered(graph: _Graph) -> list[list[int]]:
    """The nodes of each layer in an order of few crossings."""
    order: list[list[int]] = [[] for _ in range(max(graph.layer, default=-1) + 1)]
    for node, at in enumerate(graph.layer):
        order[at].append(node)
    best, fewest = [list(row) for row in order], _crossings(graph, order)
    for sweep in range(_ORDER_SWEEPS):
        downward = sweep % 2 == 0
        rows = order[1:] if downward else order[-2::-1]
        for row in rows:
            _sort_row(graph.before if downward else graph.after, order, graph.layer, row)
        found = _crossings(graph, order)
        if found < fewest:
            best, fewest = [list(row) for row in order], found
    if len(graph.layer) <= _MOST_SWAPPED:
        _swap_neighbours(graph, best)
    return best


def _sort_row(
    neighbours: list[list[int]], order: list[list[int]], layer: list[int], row: list[int]
) -> None:
    """Sort one layer by the mean place of its neighbours; who has none keeps its place."""
    place_of: dict[int, int] = {}
    for node in row:
        for other in neighbours[node]:
            if other not in place_of:
                place_of.update({v: i for i, v in enumerate(order[layer[other]])})
    keys = {
        node: _mean([place_of[v] for v in neighbours[node]]) if neighbours[node] else i * _SCALE
        for i, node in enumerate(row)
    }
    row.sort(key=lambda node: keys[node])


def _mean(values: Sequence[int]) -> int:
    return _SCALE * sum(values) // len(values)


def _crossings(graph: _Graph, order: list[list[int]]) -> int:
    """Pairs of edges that cross, counted as inversions between neighbouring layers."""
    total = 0
    for row, following in pairwise(order):
        place_of = {v: i for i, v in enumerate(following)}
        seen: list[int] = []
        for node in row:
            ends = sorted(place_of[v] for v in graph.after[node])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _swap_neighbours(graph: _Graph, order: list[list[int]]) -> None:
    """Swap neighbours in a layer as long as that removes crossings."""
    place_of = {v: i for row in order for i, v in enumerate(row)}
    for _ in range(_SWAP_PASSES):
        swapped = False
        for row in order:
            for i in range(len(row) - 1):
                left, right = row[i], row[i + 1]
                if _saved(graph, place_of, left, right) > 0:
                    row[i], row[i + 1] = right, left
                    place_of[left], place_of[right] = i + 1, i
                    swapped = True
        if not swapped:
            break


def _saved(graph: _Graph, place_of: dict[int, int], left: int, right: int) -> int:
    """How many crossings fewer there are with two neighbours swapped."""
    saved = 0
    for side in (graph.before, graph.after):
        ends, others = [place_of[v] for v in side[left]], [place_of[v] for v in side[right]]
        saved += sum((a > b) - (a < b) for a in ends for b in others)
    return saved


def _placed(graph: _Graph, order: list[list[int]], gap: int) -> list[int]:
    across = [0] * len(graph.layer)
    for row in order:
        starts = _starts(graph, row, gap)
        for node, start in zip(row, starts, strict=True):
            across[node] = start - starts[-1] // 2
    for sweep in range(_PLACE_SWEEPS):
        downward = sweep % 2 == 0
        sides = [graph.before if downward else graph.after]
        if sweep >= _PLACE_SWEEPS - 2:
            sides = [graph.before, graph.after]
        for row in order if downward else order[::-1]:
            _place_row(graph, row, sides, across, gap)
    return across


def _starts(graph: _Graph, row: Sequence[int], gap: int) -> list[int]:
    """The centres of a layer when all are as close as they may be."""
    starts = [0][: len(row)]
    for one, other in pairwise(row):
        starts.append(starts[-1] + (graph.extent[one] + graph.extent[other]) // 2 + gap)
    return starts


def _place_row(
    graph: _Graph,
    row: Sequence[int],
    sides: Sequence[list[list[int]]],
    across: list[int],
    gap: int,
) -> None:
    """Move a layer to the places nearest to its neighbours that keep order and distance.

    With the least distances taken off, that is weighted isotonic regression.
    """
    starts = _starts(graph, row, gap)
    blocks: list[tuple[int, int, int]] = []  # (weight, weighted sum, how many nodes)
    for node, start in zip(row, starts, strict=True):
        pulls = [(graph.weight(node, v), across[v]) for side in sides for v in side[node]]
        pulls = pulls or [(1, across[node])]
        weight = sum(w for w, _ in pulls)
        total, count = sum(w * (x - start) for w, x in pulls), 1
        while blocks and blocks[-1][1] * weight > total * blocks[-1][0]:
            more_weight, more, more_count = blocks.pop()
            weight, total, count = weight + more_weight, total + more, count + more_count
        blocks.append((weight, total, count))
    position = 0
    for weight, total, count in blocks:
        for _ in range(count):
            across[row[position]] = total // weight + starts[position]
            position += 1
