"""Decision diagrams as pictures: roots at the top, a row for each variable, false and true below.

A dashed line leads to where the variable is 0, a full line to where it is 1. Lines of one kind to
one node come together on their way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bem_kernel.circuits.layered import Layout, Link, place
from bem_kernel.circuits.svg import check_size, document, element, group, labels, text, text_width
from bem_kernel.forms.robdd import Robdd

MAX_NODES = 1000

_STYLE = (
    ".line{fill:none;stroke:#475569;stroke-width:1.5}"
    ".low{stroke-dasharray:5 4;stroke:#b45309}.high{stroke:#1d4ed8}"
    ".node rect{fill:#f8fafc;stroke:#0f172a;stroke-width:1.5}.node:hover rect{fill:#fde68a}"
    ".root rect{fill:#dcfce7;stroke:#15803d}.leaf rect{fill:#e2e8f0;stroke:#0f172a}"
    "text{fill:#0f172a}"
)
_MARGIN, _GAP, _ROW, _HEIGHT, _PAD = 16, 18, 76, 28, 12
_OFFSET = 6  # how far left and right of the middle the two lines of a node start
_FALSE, _TRUE = 0, 1


def draw_robdd(
    diagram: Robdd,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> str:
    """Draw a shared diagram as a graph.

    Args:
        diagram: at most 1000 nodes.
        input_names: one label per variable; None: x0, x1, ….
        output_names: one label per root; None: y0, y1, ….

    Returns:
        An SVG document.

    Raises:
        DrawingError: too many nodes to be seen, or another number of names.
    """
    check_size("node", len(diagram.nodes), MAX_NODES)
    inputs = labels("variable", "x", input_names, diagram.n_inputs)
    outputs = labels("root", "y", output_names, len(diagram.roots))
    nodes, roots = diagram.nodes.tolist(), diagram.roots.tolist()
    shown = ["0", "1", *(inputs[variable] for variable, _, _ in nodes), *outputs]
    layers = _layers(nodes, len(roots))
    links = _links(nodes, roots)
    layout = place(layers, [_width(label) for label in shown], links, _GAP)
    reached = {_FALSE, _TRUE} & {node for link in links for node in (link.source, link.target)}
    elements = _lines(links, len(shown), layout)
    for node, label in enumerate(shown):
        if node > _TRUE or node in reached:
            elements.append(_box(node, label, nodes, layout))
    height = 2 * _MARGIN + _HEIGHT + _ROW * max(layers)
    return document(2 * _MARGIN + layout.width, height, _STYLE, elements)


def _layers(nodes: Sequence[Sequence[int]], n_roots: int) -> list[int]:
    """Rows from the top: roots, the variables in use from the highest down, false and true."""
    variables = sorted({variable for variable, _, _ in nodes}, reverse=True)
    row_of = {variable: 1 + i for i, variable in enumerate(variables)}
    last = 1 + len(variables)
    return [last, last, *(row_of[variable] for variable, _, _ in nodes), *[0] * n_roots]


def _links(nodes: Sequence[Sequence[int]], roots: Sequence[int]) -> list[Link]:
    """From each node to its low and its high child, then from each root's label to its node.

    A bundle is a target and a kind of line: 3 * target + (0 low, 1 high, 2 root).
    """
    links = []
    for i, (_, low, high) in enumerate(nodes):
        links.append(Link(i + 2, low, 3 * low))
        links.append(Link(i + 2, high, 3 * high + 1))
    first = 2 + len(nodes)
    links += [Link(first + j, node, 3 * node + 2) for j, node in enumerate(roots)]
    return links


def _width(label: str) -> int:
    return max(_HEIGHT, text_width(label) + 2 * _PAD)


def _lines(links: Sequence[Link], n_nodes: int, layout: Layout) -> list[str]:
    pieces: dict[int, dict[tuple[int, int], str]] = {}
    bent: set[int] = set()
    for i, (link, path) in enumerate(zip(links, layout.paths, strict=True)):
        drawn = pieces.setdefault(link.bundle, {})
        for one, other in pairwise(path):
            offset = _start(links, i, layout) if one == link.source else 0
            if (one, other) not in drawn:
                drawn[one, other] = _piece(layout, one, other, offset)
            if other >= n_nodes and other not in bent:  # once, or dashes would fill each other
                drawn[one, other] += f"v{_HEIGHT}"
                bent.add(other)
    kinds = ("line low", "line high", "line")
    return [
        element("path", d="".join(drawn.values()), class_=kinds[bundle % 3])
        for bundle, drawn in pieces.items()
    ]


def _start(links: Sequence[Link], i: int, layout: Layout) -> int:
    """How far from the middle line i leaves: of a node's two, the left one further left."""
    if links[i].bundle % 3 == 2:
        return 0
    twin = i ^ 1  # low and high follow each other
    mine, other = (layout.across[layout.paths[k][1]] for k in (i, twin))
    return -_OFFSET if (mine, i) < (other, twin) else _OFFSET


def _piece(layout: Layout, one: int, other: int, offset: int) -> str:
    """The line from the bottom of one row to the top of the next."""
    start_x, end_x = _MARGIN + layout.across[one] + offset, _MARGIN + layout.across[other]
    start_y = _MARGIN + _ROW * layout.layer[one] + _HEIGHT
    end_y = _MARGIN + _ROW * layout.layer[other]
    middle = (start_y + end_y) // 2
    return f"M{start_x} {start_y}C{start_x} {middle} {end_x} {middle} {end_x} {end_y}"


def _box(node: int, label: str, nodes: Sequence[Sequence[int]], layout: Layout) -> str:
    width = _width(label)
    x, y = _MARGIN + layout.across[node], _MARGIN + _ROW * layout.layer[node]
    inner = _TRUE < node < 2 + len(nodes)
    kind = "node" if inner else "root" if node > _TRUE else "leaf"
    shapes = [
        element(
            "rect",
            x=x - width // 2,
            y=y,
            width=width,
            height=_HEIGHT,
            rx=0 if kind == "leaf" else _HEIGHT // 2,
        ),
        text(x, y + _HEIGHT // 2, label, text_anchor="middle"),
    ]
    if not inner:
        return element("g", "".join(shapes), class_=kind)
    _, low, high = nodes[node - 2]
    return group(shapes, f"node {node}: {label} ? {high} : {low}", class_=kind)
