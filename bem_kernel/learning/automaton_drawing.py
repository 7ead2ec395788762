"""Automata as pictures: states in a row, moves as arcs, forward ones above and backward ones below.

The first state has an arrow, accepting states a double line. Moves from one state to another share
an arc and a label.
"""

from __future__ import annotations

from bem_kernel.circuits.svg import FONT_PX, document, element, group, text, text_width
from bem_kernel.errors import LearningError
from bem_kernel.learning.automaton import Automaton

MAX_STATES = 64

_STYLE = (
    ".move{fill:none;stroke:#475569;stroke-width:1.4}.back{stroke:#b45309}.tip{fill:#475569}"
    ".back-tip{fill:#b45309}.state{fill:#f8fafc;stroke:#0f172a;stroke-width:1.5}"
    ".accept{fill:#dcfce7;stroke:#15803d}.inner{fill:none;stroke:#15803d}"
    ".trap{fill:#fee2e2;stroke:#b91c1c}text{fill:#0f172a}"
)
_RADIUS, _MARGIN, _TIP, _LOOP = 18, 24, 6, 26


def draw_automaton(automaton: Automaton, trap: int | None = None) -> str:
    """Draw an automaton.

    Args:
        automaton: at most 64 states.
        trap: a state that stands for what does not fit, drawn in red.

    Returns:
        An SVG document.

    Raises:
        LearningError: too many states to be seen.
    """
    n = len(automaton)
    if n > MAX_STATES:
        raise LearningError(
            f"{n} states", where="automaton_drawing", fix=f"draw at most {MAX_STATES}"
        )
    labels = _labels(automaton)
    widest = max(text_width(label) for label in labels.values())
    pitch = max(4 * _RADIUS, widest + 2 * _RADIUS + 12)
    furthest = max((abs(s - t) for s, t in labels), default=0)
    rise = _LOOP + FONT_PX * 2 + 22 * furthest
    middle = _MARGIN + rise + _RADIUS
    places = [_MARGIN + 2 * _RADIUS + _TIP + pitch * state for state in range(n)]
    elements = [_entry(places[0], middle)]
    for (start, end), label in labels.items():
        if start == end:
            elements += _loop(places[start], middle, label)
        else:
            elements += _arc(places[start], places[end], middle, (end - start, label))
    for state in range(n):
        elements.append(_state(automaton, state, (places[state], middle), state == trap))
    width = places[-1] + _RADIUS + max(_MARGIN, widest // 2 + _MARGIN)
    return document(width, 2 * middle, _STYLE, elements)


def _labels(automaton: Automaton) -> dict[tuple[int, int], str]:
    """The symbols of the moves between each two states."""
    names: dict[tuple[int, int], list[str]] = {}
    for state, row in enumerate(automaton.moves):
        for symbol, end in zip(automaton.alphabet.symbols, row, strict=True):
            names.setdefault((state, end), []).append(symbol)
    return {key: ", ".join(symbols) for key, symbols in names.items()}


def _entry(x: int, y: int) -> str:
    start = x - _RADIUS - _MARGIN
    line = element("path", d=f"M{start} {y}H{x - _RADIUS - _TIP}", class_="move")
    return line + _tip(x - _RADIUS, y, (1, 0), "tip")


def _tip(x: int, y: int, toward: tuple[int, int], kind: str) -> str:
    """An arrow's head that ends at a point, along an axis."""
    dx, dy = toward
    back_x, back_y = x - _TIP * dx, y - _TIP * dy
    side_x, side_y = 4 * dy, 4 * dx
    d = f"M{x} {y}L{back_x + side_x} {back_y + side_y}L{back_x - side_x} {back_y - side_y}Z"
    return element("path", d=d, class_=kind)


def _loop(x: int, y: int, label: str) -> list[str]:
    top = y - _RADIUS
    d = f"M{x - 8} {top + 2}C{x - 20} {top - _LOOP} {x + 20} {top - _LOOP} {x + 8} {top - 4}"
    return [
        element("path", d=d, class_="move"),
        _tip(x + 8, top + 2, (0, 1), "tip"),
        text(x, top - _LOOP - 2, label, text_anchor="middle"),
    ]


def _arc(start: int, end: int, y: int, move: tuple[int, str]) -> list[str]:
    distance, label = move
    side = -1 if distance > 0 else 1  # forward above, backward below
    height = 14 + 22 * abs(distance)
    near = y + side * _RADIUS
    far = near + side * height
    shift = -10 * side
    one, other = start + shift, end - shift
    kind, tip = ("move", "tip") if distance > 0 else ("move back", "back-tip")
    d = f"M{one} {near}C{one} {far} {other} {far} {other} {near + side * _TIP}"
    peak = near + side * (height * 3 // 4)
    return [
        element("path", d=d, class_=kind),
        _tip(other, near, (0, -side), tip),
        text((one + other) // 2, peak + side * 9, label, text_anchor="middle"),
    ]


def _state(automaton: Automaton, state: int, place: tuple[int, int], is_trap: bool) -> str:
    x, y = place
    accept = automaton.accept[state]
    kind = "state trap" if is_trap else "state accept" if accept else "state"
    parts = [element("circle", cx=x, cy=y, r=_RADIUS, class_=kind)]
    if accept:
        parts.append(element("circle", cx=x, cy=y, r=_RADIUS - 3, class_="inner"))
    parts.append(text(x, y, "!" if is_trap else str(state), text_anchor="middle"))
    title = "no longer fits" if is_trap else "accepts" if accept else "refuses"
    return group(parts, f"state {state}: {title}")
