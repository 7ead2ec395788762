"""Graph edit distance between plan graphs, by depth-first branch and bound.

Costs are 1 for inserting or deleting a node or an edge and 1 for changing a label. A node's label
is its tool and its arguments with the step of each reference blanked, so that renaming steps costs
nothing; who refers to whom, and where, is in the labels of the data edges. A node that is inserted
or deleted takes its edges with it, at 1 each.

The search maps the nodes of the first graph one by one and prunes by two bounds: the multiset
difference of the labels still to be mapped, and of the labels of the edges still to be mapped,
the latter kept apart for each mapped pair of nodes. It is limited by a count of steps, never by
a clock, so the result is the same on every machine.

Source: Abu-Aisheh, Raveaux, Ramel, Martineau: An exact graph edit distance algorithm for solving
pattern recognition problems, 2015 (depth-first branch and bound); the bounds are label-multiset
bounds as in Riesen, Fankhauser, Bunke 2007.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bb_core.plan import substitute

if TYPE_CHECKING:
    import networkx as nx

# Direction (0 incoming, 1 outgoing) and label of an edge, seen from one of its ends.
_Kind = tuple[int, Hashable]

# Two graphs of up to this many nodes are searched to the end: at most 5,376 partial mappings.
EXACT_NODES = 6
# Beyond, about 0.1 s for two unrelated plans of 10 steps; related ones need 10 to 50.
MAX_EXPANSIONS = 2_000


@dataclass(frozen=True)
class EditDistance:
    """Result of a search.

    Attributes:
        cost: cost of the best edit path found, an upper bound of the distance.
        exact: whether the search has shown that there is no cheaper one.
        expansions: partial mappings looked at.
    """

    cost: int
    exact: bool
    expansions: int


def graph_edit_distance(g1: nx.DiGraph, g2: nx.DiGraph) -> float:
    """Return the edit distance of two plan graphs.

    Exact for any two graphs of at most 6 nodes each, and for larger ones whenever the search
    finishes within 2,000 steps (plans that resemble each other do); otherwise the cost of the
    best edit path found, an upper bound. `search_edit_distance` tells the two apart.

    Args:
        g1: a graph from `plan_graph`, nodes with `tool` and `args`, edges with `kind` and `uses`.
        g2: another.
    """
    return float(search_edit_distance(g1, g2).cost)


def search_edit_distance(
    g1: nx.DiGraph, g2: nx.DiGraph, max_expansions: int = MAX_EXPANSIONS
) -> EditDistance:
    """Search for the cheapest edit path between two plan graphs.

    Args:
        g1: a graph from `plan_graph`.
        g2: another.
        max_expansions: partial mappings to look at before the best found so far is returned;
            without effect on graphs of at most 6 nodes.
    """
    first, second = _labelled(g1), _labelled(g2)
    small = max(len(first.nodes), len(second.nodes)) <= EXACT_NODES
    search = _Search(first, second, None if small else max_expansions)
    search.run()
    return EditDistance(search.best, not search.stopped, search.expansions)


@dataclass(frozen=True)
class _Labelled:
    """A graph with its labels.

    Attributes:
        nodes: label of each node.
        edges: label of each edge, by its two ends.
        neighbours: for each node and each (direction, label), the bit set of its neighbours.
    """

    nodes: tuple[Hashable, ...]
    edges: Mapping[tuple[int, int], Hashable]
    neighbours: tuple[Mapping[_Kind, int], ...]


def _labelled(graph: nx.DiGraph) -> _Labelled:
    """Number the nodes in their given order and make labels comparable."""
    index = {name: i for i, name in enumerate(graph)}
    blank = dict.fromkeys(index, "_")
    nodes = tuple(
        (data["tool"], json.dumps(substitute(data["args"], blank), sort_keys=True))
        for _, data in graph.nodes(data=True)
    )
    edges: dict[tuple[int, int], Hashable] = {
        (index[u], index[v]): (data["kind"], tuple(data["uses"]))
        for u, v, data in graph.edges(data=True)
    }
    return _Labelled(nodes, edges, _neighbours(len(nodes), edges))


def _neighbours(
    n_nodes: int, edges: Mapping[tuple[int, int], Hashable]
) -> tuple[dict[_Kind, int], ...]:
    """Return for each node and each (direction, label) the bit set of its neighbours."""
    sets: tuple[dict[_Kind, int], ...] = tuple({} for _ in range(n_nodes))
    for (u, v), label in edges.items():
        sets[u][1, label] = sets[u].get((1, label), 0) | 1 << v
        sets[v][0, label] = sets[v].get((0, label), 0) | 1 << u
    return sets


class _Search:
    """Depth-first branch and bound over the images of the first graph's nodes.

    Sets of nodes are bit sets: bit i is node i.

    Args:
        first: the graph whose nodes are mapped in order.
        second: the graph they are mapped into; -1 stands for deletion.
        max_expansions: when to stop; None searches to the end.
    """

    def __init__(self, first: _Labelled, second: _Labelled, max_expansions: int | None) -> None:
        self.first, self.second = first, second
        self.max_expansions = max_expansions
        self.expansions = 0
        self.stopped = False
        # Deleting everything and inserting everything is always possible.
        self.best = sum(len(g.nodes) + len(g.edges) for g in (first, second))
        self._image: list[int] = []
        self._inner_bounds: dict[tuple[int, int], int] = {}

    def run(self) -> None:
        """Search until the best cost is proved or the limit is reached."""
        self._extend(0, (1 << len(self.second.nodes)) - 1)

    def _extend(self, cost: int, free: int) -> None:
        """Map the next node in every way that could still beat the best, cheapest first."""
        node = len(self._image)
        if node == len(self.first.nodes):
            self.best = min(self.best, cost + self._insertions(free))
            return
        self.expansions += 1
        options = []
        for target in (*_members(free), -1):
            step_cost = cost + self._step_cost(node, target)
            left = free & ~(1 << target) if target >= 0 else free
            self._image.append(target)
            options.append((step_cost + self._bound(left), step_cost, target, left))
            self._image.pop()
        options.sort(key=lambda option: (option[0], option[2] < 0, option[2]))
        for bound, step_cost, target, left in options:
            if bound >= self.best:
                return
            if self.expansions == self.max_expansions:
                self.stopped = True
                return
            self._image.append(target)
            self._extend(step_cost, left)
            self._image.pop()

    def _step_cost(self, node: int, target: int) -> int:
        """Return the cost of mapping `node`, its edges to already mapped nodes included."""
        edges1, edges2 = self.first.edges, self.second.edges
        changed = target < 0 or self.first.nodes[node] != self.second.nodes[target]
        cost = int(changed)
        for other, image in enumerate(self._image):
            cost += edges1.get((other, node)) != edges2.get((image, target))
            cost += edges1.get((node, other)) != edges2.get((target, image))
        return cost

    def _insertions(self, free: int) -> int:
        """Return the cost of inserting the nodes nobody was mapped to, with their edges."""
        return free.bit_count() + sum(free >> u & 1 or free >> v & 1 for u, v in self.second.edges)

    def _bound(self, free: int) -> int:
        """Return a lower bound for what mapping the remaining nodes will cost."""
        rest = (1 << len(self.first.nodes)) - (1 << len(self._image))
        key = (rest, free)
        if key not in self._inner_bounds:
            self._inner_bounds[key] = _difference(
                Counter(self.first.nodes[i] for i in _members(rest)),
                Counter(self.second.nodes[i] for i in _members(free)),
            ) + _difference(_edges_within(self.first, rest), _edges_within(self.second, free))
        total = self._inner_bounds[key]
        for node, target in enumerate(self._image):
            mine = self.first.neighbours[node]
            theirs = self.second.neighbours[target] if target >= 0 else {}
            total += _neighbour_difference(mine, rest, theirs, free)
        return total


def _members(nodes: int) -> Iterator[int]:
    """Yield the members of a bit set in ascending order."""
    while nodes:
        yield (nodes & -nodes).bit_length() - 1
        nodes &= nodes - 1


def _edges_within(graph: _Labelled, nodes: int) -> Counter[Hashable]:
    """Return the labels of the edges with both ends among `nodes`."""
    return Counter(
        label for (u, v), label in graph.edges.items() if nodes >> u & 1 and nodes >> v & 1
    )


def _difference(first: Counter[Hashable], second: Counter[Hashable]) -> int:
    """Return the least number of changes, insertions and deletions between two multisets."""
    return max(first.total(), second.total()) - (first & second).total()


def _neighbour_difference(
    mine: Mapping[_Kind, int], rest: int, theirs: Mapping[_Kind, int], free: int
) -> int:
    """Return `_difference` of the labels of the edges from two nodes into `rest` and `free`.

    Incoming and outgoing edges are counted apart, because one never becomes the other.
    """
    totals = [[0, 0], [0, 0]]
    common = 0
    for kind, neighbours in mine.items():
        count = (neighbours & rest).bit_count()
        if count:
            totals[kind[0]][0] += count
            common += min(count, (theirs.get(kind, 0) & free).bit_count())
    for kind, neighbours in theirs.items():
        totals[kind[0]][1] += (neighbours & free).bit_count()
    return max(totals[0]) + max(totals[1]) - common
