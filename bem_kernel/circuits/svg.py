"""SVG documents from integers: a list of elements, escaped text, one style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from bem_kernel.errors import DrawingError

FONT_PX = 12
FONT = "'DejaVu Sans Mono',Menlo,Consolas,monospace"


def labels(kind: str, letter: str, given: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """One label per thing of a kind: those given, or a letter and a number.

    Raises:
        DrawingError: there are not as many as things.
    """
    if given is None:
        return tuple(f"{letter}{i}" for i in range(count))
    if len(given) != count:
        raise DrawingError(
            f"{len(given)} names for {count} {kind}s", where="drawing", fix=f"name each {kind}"
        )
    return tuple(given)


def check_size(kind: str, count: int, most: int) -> None:
    """Refuse to draw what nobody could see.

    Raises:
        DrawingError: there are more than `most`.
    """
    if count > most:
        raise DrawingError(f"{count} {kind}s", where="drawing", fix=f"draw at most {most}")


def text_width(text: str) -> int:
    """Width of a text in px, all characters being 0.61 of the font size wide, rounded up."""
    return -(-len(text) * FONT_PX * 61 // 100)


def element(name: str, content: str | None = None, **attributes: int | str) -> str:
    """One element; a trailing `_` of an attribute's name is dropped, other `_` are `-`.

    Args:
        name: of the element.
        content: what is inside, already escaped; None for an empty element.
        attributes: their values are escaped.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(str(value))}"
        for key, value in attributes.items()
    )
    return f"<{name}{given}/>" if content is None else f"<{name}{given}>{content}</{name}>"


def text(x: int, y: int, content: str, **attributes: int | str) -> str:
    """A text with its middle at height y; `text_anchor` says what x is, its start if absent."""
    return element("text", _escaped(content), x=x, y=y, dy=".35em", **attributes)


def group(elements: Sequence[str], title: str, **attributes: int | str) -> str:
    """Elements with a text that shows when the pointer rests on them."""
    return element("g", element("title", _escaped(title)) + "".join(elements), **attributes)


def document(width: int, height: int, style: str, elements: Sequence[str]) -> str:
    """A whole file: white ground, style sheet, elements; a px is a unit."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family={quoteattr(FONT)} font-size="{FONT_PX}">'
    )
    ground = element("rect", width=width, height=height, fill="#fff")
    return "\n".join([head, element("style", style), ground, *elements, "</svg>", ""])


def _escaped(content: str) -> str:
    """Text as XML may hold it; what cannot be printed becomes a replacement character."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in content))
