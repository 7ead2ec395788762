"""State over time as a picture: a named row for each bit, a column for each step.

Up to 64 lanes, every lane has a strip of its own within a row, lane 0 at the top. Beyond, a strip
stands for some words of lanes and is the darker the more of them are 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.svg import check_size, document, element, group, labels, text, text_width
from bem_kernel.errors import ShapeError
from bem_kernel.lanes import WORD_BITS, lane_mask, unpack_bits, words_for

MAX_STEPS = 2000
MAX_BITS = 512

History = NDArray[np.uint64]
"""(steps, bits, words) uint64: the planes of a state after each step."""

_SHADES = (
    "#dbeafe", "#bfdbfe", "#93c5fd", "#7ab3fb", "#60a5fa", "#4b93f0", "#3b82f6", "#1d4ed8",
)  # fmt: skip
_STYLE = "".join(f".s{i + 1}{{fill:{color}}}" for i, color in enumerate(_SHADES)) + (
    ".band{fill:#f1f5f9}.tick{stroke:#cbd5e1;stroke-width:1}text{fill:#0f172a}"
    ".axis text{fill:#64748b}.step{fill:#fff;fill-opacity:0}.step:hover{stroke:#b45309}"
)
_MARGIN, _LABEL_GAP, _HEADER, _ROW_GAP = 16, 10, 22, 4
_PICTURE_WIDTH, _WIDEST_STEP, _NARROWEST_STEP = 1200, 24, 2
_ROW_HEIGHT, _MOST_STRIPS = 18, 32
_TICK_SPACE = 48
_NAMED_STEP, _NAME_LENGTH = 14, 28  # px a step needs for a name below it; characters shown


@dataclass(frozen=True)
class _Sheet:
    """Sizes in px: where the picture starts, and what a step, a strip and a row measure."""

    left: int
    top: int
    step: int
    strip: int
    row: int


def draw_planes(
    history: History, names: Sequence[str], lanes: int, step_names: Sequence[str] | None = None
) -> str:
    """Draw a history of state planes.

    Args:
        history: (steps, bits, words) uint64; at most 2000 steps and 512 bits.
        names: one per bit.
        lanes: lanes in use; padding is not drawn.
        step_names: one per step, such as the instruction; shown when the pointer rests on a
            column, and below it where columns are wide enough. None: the number of the step.

    Returns:
        An SVG document.

    Raises:
        ShapeError: the history is not such an array, or has fewer lanes.
        DrawingError: it is too large to be seen, or the names do not fit it.
    """
    _check(history, names, lanes, step_names)
    steps, bits, _ = history.shape
    levels = [_levels(history[:, bit], lanes) for bit in range(bits)]
    strips = levels[0].shape[1] if levels else 1
    strip = max(2 if strips <= _MOST_STRIPS else 1, _ROW_HEIGHT // strips)
    left = _MARGIN + max(map(text_width, names), default=0) + _LABEL_GAP
    step = min(_WIDEST_STEP, max(_NARROWEST_STEP, _PICTURE_WIDTH // max(1, steps)))
    sheet = _Sheet(left, _MARGIN + _HEADER, step, strip, strip * strips + _ROW_GAP)
    shown = _shortened(step_names) if step_names and step >= _NAMED_STEP else []
    bottom = sheet.top + bits * sheet.row
    height = bottom + max(map(text_width, shown), default=0) + _MARGIN
    width = left + max(steps * step, text_width(_caption(lanes))) + _MARGIN
    elements = [
        *_rows(sheet, names, steps),
        *_cells(sheet, levels),
        *_axis(sheet, steps, bits),
        *_columns(sheet, steps, bits, step_names),
        *_step_labels(sheet, bottom, shown),
        element("g", text(left, height, _caption(lanes)), class_="axis"),
    ]
    return document(width, height + _MARGIN, _STYLE, elements)


def _check(
    history: History, names: Sequence[str], lanes: int, step_names: Sequence[str] | None
) -> None:
    where = "plane_drawing"
    if history.ndim != 3 or history.dtype != np.uint64:
        raise ShapeError(
            f"expected (steps, bits, words) uint64, got {history.dtype} of shape {history.shape}",
            where=where,
            fix="stack the planes of each step",
        )
    steps, bits, words = history.shape
    check_size("step", steps, MAX_STEPS)
    check_size("bit", bits, MAX_BITS)
    labels("bit", "", names, bits)
    labels("step", "", step_names, steps)
    if lanes < 1 or words_for(lanes) > words:
        raise ShapeError(
            f"{lanes} lanes of {words} words", where=where, fix=f"use 1 to {WORD_BITS * words}"
        )


def _levels(planes: NDArray[np.uint64], lanes: int) -> NDArray[np.int64]:
    """How dark each strip of one bit is: (steps, strips), 0 for no lane to 8 for all lanes."""
    if lanes <= WORD_BITS:
        return unpack_bits(planes[:, :1], lanes).T.astype(np.int64) * len(_SHADES)
    words, together = words_for(lanes), _group_words(lanes)
    used = np.bitwise_count(lane_mask(lanes, words)).astype(np.int64)
    ones = np.bitwise_count(planes[:, :words] & lane_mask(lanes, words)).astype(np.int64)
    starts = np.arange(0, words, together)
    count, most = np.add.reduceat(ones, starts, axis=1), np.add.reduceat(used, starts)
    between = 1 + count * (len(_SHADES) - 1) // most
    return np.where(count == 0, 0, np.where(count == most, len(_SHADES), between))


def _caption(lanes: int) -> str:
    if lanes == 1:
        return "one lane"
    if lanes <= WORD_BITS:
        return f"lanes 0 to {lanes - 1}, a strip each"
    return f"lanes 0 to {lanes - 1}, {_group_words(lanes) * WORD_BITS} to a strip"


def _group_words(lanes: int) -> int:
    """Words of lanes that share a strip."""
    return -(-words_for(lanes) // _MOST_STRIPS)


def _rows(sheet: _Sheet, names: Sequence[str], steps: int) -> list[str]:
    elements = []
    for bit, name in enumerate(names):
        y, height = sheet.top + bit * sheet.row, sheet.row - _ROW_GAP
        band = element("rect", x=sheet.left, y=y, width=steps * sheet.step, height=height)
        label = text(sheet.left - _LABEL_GAP, y + height // 2, name, text_anchor="end")
        elements.append(element("g", band, class_="band") + label)
    return elements


def _cells(sheet: _Sheet, levels: Sequence[NDArray[np.int64]]) -> list[str]:
    """One path per shade; runs of equal cells in a strip are one rectangle."""
    pieces: list[list[str]] = [[] for _ in _SHADES]
    for bit, rows in enumerate(levels):
        for strip, row in enumerate(rows.T):
            y = sheet.top + bit * sheet.row + strip * sheet.strip
            bounds = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
            for start, end in pairwise(bounds):
                if start < end and row[start]:
                    x, width = sheet.left + start * sheet.step, (end - start) * sheet.step
                    piece = f"M{x} {y}h{width}v{sheet.strip}h-{width}z"
                    pieces[int(row[start]) - 1].append(piece)
    return [
        element("path", d="".join(drawn), class_=f"s{i + 1}")
        for i, drawn in enumerate(pieces)
        if drawn
    ]


def _axis(sheet: _Sheet, steps: int, bits: int) -> list[str]:
    """Numbers of steps above the rows, and a thin line down from each."""
    every = next((n for n in (1, 2, 5, 10, 20, 50, 100, 200) if n * sheet.step >= _TICK_SPACE), 500)
    elements = []
    for step in range(0, steps, every):
        x = sheet.left + step * sheet.step
        bottom = sheet.top + bits * sheet.row - _ROW_GAP
        line = element("line", x1=x, y1=sheet.top - 4, x2=x, y2=bottom, class_="tick")
        elements.append(line + text(x, sheet.top - 12, str(step), text_anchor="middle"))
    return [element("g", "".join(elements), class_="axis")]


def _shortened(names: Sequence[str]) -> list[str]:
    return [n if len(n) <= _NAME_LENGTH else n[: _NAME_LENGTH - 1] + "…" for n in names]


def _step_labels(sheet: _Sheet, bottom: int, names: Sequence[str]) -> list[str]:
    """Names below their columns, read from the bottom up."""
    elements = []
    for step, name in enumerate(names):
        x = sheet.left + step * sheet.step + sheet.step // 2
        turned = f"rotate(-90 {x} {bottom})"
        elements.append(text(x, bottom, name, text_anchor="end", transform=turned))
    return [element("g", "".join(elements), class_="axis")] if elements else []


def _columns(sheet: _Sheet, steps: int, bits: int, step_names: Sequence[str] | None) -> list[str]:
    """What shows when the pointer rests on a step."""
    elements = []
    for step in range(steps):
        area = element(
            "rect",
            x=sheet.left + step * sheet.step,
            y=sheet.top,
            width=sheet.step,
            height=max(1, bits * sheet.row - _ROW_GAP),
            class_="step",
        )
        name = f": {step_names[step]}" if step_names is not None else ""
        elements.append(group([area], f"step {step}{name}"))
    return elements
