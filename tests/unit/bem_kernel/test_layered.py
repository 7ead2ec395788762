"""Layered layouts: few crossings, order and distance kept, bends shared."""

from __future__ import annotations

from itertools import combinations, pairwise
from random import Random

import pytest

from bem_kernel.circuits.layered import Layout, Link, place


def links(*pairs: tuple[int, int]) -> list[Link]:
    return [Link(a, b, a) for a, b in pairs]


def count_crossings(layout: Layout) -> int:
    """By the definition: pairs of edges between two layers whose ends are in opposite order."""
    edges = {edge for path in layout.paths for edge in pairwise(path)}
    return sum(
        layout.layer[a] == layout.layer[c]
        and (layout.across[a] - layout.across[c]) * (layout.across[b] - layout.across[d]) < 0
        for (a, b), (c, d) in combinations(edges, 2)
    )


def test_crossed_pairs_are_uncrossed() -> None:
    layout = place([0, 0, 1, 1], [10] * 4, links((0, 3), (1, 2)), gap=5)
    assert layout.crossings == count_crossings(layout) == 0


def test_what_must_cross_is_counted() -> None:
    both = links((0, 2), (0, 3), (1, 2), (1, 3))
    layout = place([0, 0, 1, 1], [10] * 4, both, gap=5)
    assert layout.crossings == count_crossings(layout) == 1


def test_links_of_a_bundle_share_their_bends() -> None:
    layers = [0, 3, 3, 4]
    shared = place(layers, [10] * 4, links((0, 1), (0, 2), (0, 3)), gap=5)
    assert len(shared.layer) == 4 + 3  # two bends to layer 3, one more to layer 4
    apart = [Link(0, 1, 1), Link(0, 2, 2), Link(0, 3, 3)]
    assert len(place(layers, [10] * 4, apart, gap=5).layer) == 4 + 2 + 2 + 3
    merging = [Link(0, 2, 9), Link(1, 2, 9)]
    assert place([0, 1, 3], [10] * 3, merging, gap=5).paths == ((0, 3, 4, 2), (1, 4, 2))


def test_a_lone_chain_is_straight() -> None:
    chain = place([0, 1, 2, 5], [10, 30, 10, 20], links((0, 1), (1, 2), (2, 3)), gap=5)
    assert len(set(chain.across)) == 1
    assert chain.width == 30


@pytest.mark.parametrize("seed", range(12))
def test_layouts_keep_their_distance_and_count_right(seed: int) -> None:
    rng = Random(seed)
    layers = [rng.randrange(6) for _ in range(24)]
    extents = [rng.randrange(4, 40) for _ in layers]
    pairs = {(rng.randrange(24), rng.randrange(24)) for _ in range(40)}
    drawn = [Link(a, b, a) for a, b in sorted(pairs) if layers[a] < layers[b]]
    layout = place(layers, extents, drawn, gap=7)
    assert layout.crossings == count_crossings(layout)
    assert place(layers, extents, drawn, gap=7) == layout
    sizes = extents + [0] * (len(layout.layer) - len(layers))
    for one, other in combinations(range(len(layout.layer)), 2):
        if layout.layer[one] == layout.layer[other]:
            apart = abs(layout.across[one] - layout.across[other])
            assert apart >= (sizes[one] + sizes[other]) // 2 + 7
    assert min(x - size // 2 for x, size in zip(layout.across, sizes, strict=True)) == 0
    for link, path in zip(drawn, layout.paths, strict=True):
        assert (path[0], path[-1]) == (link.source, link.target)
        assert [layout.layer[v] for v in path] == list(
            range(layers[link.source], layers[link.target] + 1)
        )


def test_sorting_beats_the_order_given() -> None:
    rng = Random(3)
    layers = [i // 10 for i in range(40)]
    pairs = [
        (a, b)
        for a in range(30)
        for b in rng.sample(range(a // 10 * 10 + 10, a // 10 * 10 + 20), 2)
    ]
    layout = place(layers, [10] * 40, links(*pairs), gap=5)
    given = Layout(layout.layer, tuple(i % 10 for i in range(40)), layout.paths, 0, 0)
    assert 3 * layout.crossings < 2 * count_crossings(given)


def test_nothing_at_all() -> None:
    assert place([], [], [], gap=5) == Layout((), (), (), 0, 0)
