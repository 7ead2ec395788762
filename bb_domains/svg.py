"""A picture of a domain's graph as SVG, laid out in layers without any other program.

Tools and fluents stand in columns: a node stands right of what it needs, as far as there is no
circle. Within a column nodes are ordered by the mean position of their neighbours to the left
(the barycentre heuristic of Sugiyama, Tagawa, Toda 1981), one sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from bb_domains.graph import DomainGraph, Edge

_CHAR, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 7.4, 30, 70, 16, 20
_COLOURS = {
    "needs": "#57606a",
    "asks": "#8c959f",
    "forbids": "#b42318",
    "sets": "#1a7f37",
    "clears": "#b42318",
}
_DASHES = {"asks": "2 4", "forbids": "6 4", "clears": "6 4"}


@dataclass(frozen=True)
class _Box:
    """A placed node: left, top and width in pixels."""

    x: float
    y: float
    width: float


def svg_text(graph: DomainGraph) -> str:
    """Return the graph as an SVG document."""
    boxes = _place(graph)
    width = max(box.x + box.width for box in boxes.values()) + _MARGIN
    height = max(box.y for box in boxes.values()) + _HEIGHT + 3 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="monospace" font-size="12">',
        f"<title>{escape(graph.domain)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        *(_edge(boxes, edge) for edge in graph.edges),
        *(_node(boxes[name], name, is_tool=True) for name in graph.tools),
        *(_node(boxes[name], name, is_tool=False) for name in graph.fluents),
        _legend(height - _MARGIN),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _columns(graph: DomainGraph) -> dict[str, int]:
    """Column of every node: longest chain of "needs" and "sets" edges before it.

    Edges that would close a circle do not count; they are those to a node whose column was fixed
    in an earlier round.
    """
    forward = [edge for edge in graph.edges if edge.kind in ("needs", "sets")]
    waiting = dict.fromkeys((*graph.tools, *graph.fluents), 0)
    columns: dict[str, int] = {}
    while waiting:
        ready = [
            name
            for name in waiting
            if not any(e.target == name and e.source in waiting for e in forward)
        ] or [next(iter(waiting))]
        for name in ready:
            columns[name] = waiting.pop(name)
        for edge in forward:
            if edge.source in ready and edge.target in waiting:
                waiting[edge.target] = max(waiting[edge.target], columns[edge.source] + 1)
    return columns


def _place(graph: DomainGraph) -> dict[str, _Box]:
    columns = _columns(graph)
    boxes: dict[str, _Box] = {}
    rows: dict[str, float] = {}
    x = float(_MARGIN)
    for column in range(max(columns.values()) + 1):
        names = [name for name in columns if columns[name] == column]
        names.sort(key=lambda name: _barycentre(graph, name, rows))
        width = max((len(name) for name in names), default=0) * _CHAR + 20
        for row, name in enumerate(names):
            rows[name] = row
            own = len(name) * _CHAR + 20
            y = _MARGIN + row * (_HEIGHT + _GAP_Y)
            boxes[name] = _Box(x + (width - own) / 2, y, own)
        x += width + _GAP_X
    return boxes


def _barycentre(graph: DomainGraph, name: str, rows: dict[str, float]) -> float:
    before = [rows[e.source] for e in graph.edges if e.target == name and e.source in rows]
    before += [rows[e.target] for e in graph.edges if e.source == name and e.target in rows]
    return sum(before) / len(before) if before else 0.0


def _edge(boxes: dict[str, _Box], edge: Edge) -> str:
    source, target = boxes[edge.source], boxes[edge.target]
    y1, y2 = source.y + _HEIGHT / 2, target.y + _HEIGHT / 2
    if source.x < target.x:
        x1, x2 = source.x + source.width, target.x
    else:  # a little lower, so that it does not hide an edge the other way
        x1, x2 = source.x, target.x + target.width
        y1, y2 = y1 + 8, y2 + 8
    bend = (x2 - x1) / 2
    dash = f' stroke-dasharray="{_DASHES[edge.kind]}"' if edge.kind in _DASHES else ""
    label = escape(f"{edge.source} → {edge.target}: {edge.kind}")
    return (
        f'<path d="M{x1:.1f} {y1:.1f} C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} '
        f'{x2:.1f} {y2:.1f}" fill="none" stroke="{_COLOURS[edge.kind]}"{dash}>'
        f"<title>{label}</title></path>"
        f'<circle cx="{x2:.1f}" cy="{y2:.1f}" r="3" fill="{_COLOURS[edge.kind]}"/>'
    )


def _node(box: _Box, name: str, *, is_tool: bool) -> str:
    radius, fill = (3, "#ddf4ff") if is_tool else (_HEIGHT / 2, "#fff8c5")
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{_HEIGHT}" '
        f'rx="{radius}" fill="{fill}" stroke="#57606a"/>'
        f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + _HEIGHT / 2 + 4:.1f}" '
        f'text-anchor="middle">{escape(name)}</text>'
    )


def _legend(y: float) -> str:
    parts = []
    for i, (kind, colour) in enumerate(_COLOURS.items()):
        x = _MARGIN + i * 110
        dash = f' stroke-dasharray="{_DASHES[kind]}"' if kind in _DASHES else ""
        parts.append(
            f'<path d="M{x} {y:.0f} h30" stroke="{colour}"{dash}/>'
            f'<text x="{x + 36}" y="{y + 4:.0f}">{kind}</text>'
        )
    return "".join(parts)
