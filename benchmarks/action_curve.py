"""The picture of a learning curve: shares over the number of attempts, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING

from bem_kernel.circuits.svg import document, element, text

if TYPE_CHECKING:
    from benchmarks.proof_actions import Point

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 64, 200, 24, 48
STYLE = (
    "line{stroke:#ddd}polyline{fill:none;stroke-width:2}"
    ".a{stroke:#0a7;fill:#0a7}.w{stroke:#07a;fill:#07a}.g{stroke:#c60;fill:#c60}"
    "polyline.a,polyline.w,polyline.g{fill:none}text.a,text.w,text.g{stroke:none}"
    "line.limit{stroke:#888;stroke-dasharray:4 3}"
)


def drawing(points: Sequence[Point]) -> str:
    """What is admitted, by the careful model and by the guess, as SVG."""
    most = points[-1].attempts
    elements = [*_grid([point.attempts for point in points], most)]
    curves = (
        ("a", "admitted", [point.admitted for point in points]),
        ("w", "of the worst tool", [point.worst for point in points]),
        ("g", "guessed", [point.guessed for point in points]),
    )
    for kind, _, shares in curves:
        places = [(_x(p.attempts, most), _y(s)) for p, s in zip(points, shares, strict=True)]
        line = " ".join(f"{x},{y}" for x, y in places)
        elements.append(element("polyline", points=line, class_=kind))
        elements += [element("circle", cx=x, cy=y, r=3, class_=kind) for x, y in places]
    elements += _legend([(kind, name) for kind, name, _ in curves], points)
    return document(WIDTH, HEIGHT, STYLE, elements)


def _grid(attempts: Sequence[int], most: int) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    elements = []
    for percent in range(0, 101, 10):
        y, kind = _y(percent / 100), "limit" if percent == 90 else "grid"
        elements.append(element("line", x1=LEFT, x2=right, y1=y, y2=y, class_=kind))
        elements.append(text(LEFT - 8, y, f"{percent}%", text_anchor="end"))
    for n in attempts:
        x = _x(n, most)
        elements.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom))
        elements.append(text(x, bottom + 16, str(n), text_anchor="middle"))
    middle = (LEFT + right) // 2
    elements.append(text(middle, bottom + 36, "attempts at each tool", text_anchor="middle"))
    return elements


def _legend(names: Sequence[tuple[str, str]], points: Sequence[Point]) -> list[str]:
    x = WIDTH - RIGHT + 12
    lines = [text(x, TOP + 20 * i + 8, name, class_=kind) for i, (kind, name) in enumerate(names)]
    wrong, guesses = sum(p.unsafe for p in points), sum(p.guessed_unsafe for p in points)
    calls = f"in {len(points)} × {points[0].calls:,} calls"
    notes = (f"unsafe: {wrong}", f"guessed unsafe: {guesses:,}", calls)
    lines += [text(x, TOP + 20 * (i + 4), note) for i, note in enumerate(notes)]
    return lines


def _x(attempts: int, most: int) -> int:
    return LEFT + round((WIDTH - RIGHT - LEFT) * log(attempts) / log(most))


def _y(share: float) -> int:
    return TOP + round((HEIGHT - BOTTOM - TOP) * (1 - share))
