"""A screen as SVG: what it shows and where, with the names that plans use."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from bb_domains.phone.elements import Book
from bb_domains.phone.tree import Node, Point

WIDTH = 360  # of the picture, in its own units

_FILL = {"EditText": "#ffffff", "Switch": "#dff0d8"}
_STYLE = (
    "text{font:11px sans-serif;fill:#222}"
    ".name{font-size:8px;fill:#0b5cad}"
    "rect{stroke:#999;stroke-width:.6}"
    ".tap{fill:none;stroke:#c00;stroke-width:2}"
)


def svg_text(tree: Node, book: Book, taps: tuple[Point, ...] = ()) -> str:
    """A picture of a screen.

    Args:
        tree: what it shows.
        book: how elements are recognised; their names stand in small print.
        taps: pixels to mark with a circle.
    """
    scale = WIDTH / max(1, tree.bounds.right - tree.bounds.left)
    height = round((tree.bounds.bottom - tree.bounds.top) * scale)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}"><style>{_STYLE}</style>',
        f'<rect width="{WIDTH}" height="{height}" fill="#f4f4f4"/>',
    ]
    for node in tree.walk():
        lines.extend(_node_lines(tree, node, book, scale))
    lines += [
        f'<circle class="tap" cx="{x * scale:.1f}" cy="{y * scale:.1f}" r="9"/>' for x, y in taps
    ]
    return "\n".join([*lines, "</svg>", ""])


def _node_lines(tree: Node, node: Node, book: Book, scale: float) -> Iterator[str]:
    if node.children or node.bounds.is_empty:
        return
    left, top = node.bounds.left * scale, node.bounds.top * scale
    width = (node.bounds.right - node.bounds.left) * scale
    height = (node.bounds.bottom - node.bounds.top) * scale
    if node.clickable:
        fill = _FILL.get(node.kind, "#e3e9f2")
        yield (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="3" fill="{fill}"/>'
        )
    said = node.text or node.desc
    if node.kind == "Switch":
        said = "on" if node.checked else "off"
    yield f'<text x="{left + 4:.1f}" y="{top + height / 2 + 4:.1f}">{escape(said)}</text>'
    name = book.name_of(tree, node)
    if name:
        yield (
            f'<text class="name" x="{left + 4:.1f}" y="{top + height - 3:.1f}">'
            f"{escape(name)}</text>"
        )
