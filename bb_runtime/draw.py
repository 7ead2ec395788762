"""Pictures of a plan: in the terminal, as SVG, as PNG.

All three share one layout, an arc diagram: one row per step in the order of the text, and one lane
per step that others depend on, running down to the last step that does.

    ┌──── b  get_order      {"number":1042}
    ├───▶ c  confirm_owner  {"order":"$b.id","email":"ana@example.com"}
    └───▶ d  refund_order   {"order":"$b.id","amount":25.5,"reason":"late"}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bb_core.errors import UsageError
from bb_core.files import write_atomic
from bb_core.plan import Plan, Step, plan_graph

# Box-drawing characters by (up, down, left, right).
_BOX = {
    (0, 0, 0, 0): " ",
    (0, 0, 1, 1): "─",
    (1, 1, 0, 0): "│",
    (0, 1, 0, 1): "┌",
    (1, 0, 0, 1): "└",
    (1, 1, 0, 1): "├",
    (0, 1, 1, 1): "┬",
    (1, 0, 1, 1): "┴",
    (1, 1, 1, 1): "┼",
}
_COLOURS = {
    "ok": "#d5ecd4",
    "failed": "#f3cfcb",
    "in doubt": "#f7e6b5",
    "called": "#f7e6b5",
    "undone": "#dcdcdc",
    "waiting": "#ffffff",
}
_PLAIN = "#e3ecf5"
_ROW_PX, _LANE_PX, _TEXT_PX = 34, 18, 7.3


@dataclass(frozen=True)
class Arc:
    """The lane of one step that others depend on.

    Attributes:
        lane: column, 0 next to the steps.
        source: row of the step depended on.
        targets: rows of the steps that depend on it, ascending.
        is_data: whether at least one of them takes a value from its result.
    """

    lane: int
    source: int
    targets: tuple[int, ...]
    is_data: bool


def plan_arcs(plan: Plan, edges: Iterable[tuple[str, str]] = ()) -> tuple[Arc, ...]:
    """Lay out the dependencies of a plan.

    Args:
        plan: the plan.
        edges: further order edges, from earlier to later step id.

    Returns:
        One arc per step that others depend on; arcs that overlap have different lanes.

    Raises:
        PlanGraphError: an unknown step, or a cycle.
    """
    graph = plan_graph(plan, edges)
    row_of = {step.id: row for row, step in enumerate(plan.steps)}
    spans = []
    for step in plan.steps:
        targets = tuple(sorted(row_of[later] for later in graph.successors(step.id)))
        if targets:
            kinds = {graph.edges[step.id, later]["kind"] for later in graph.successors(step.id)}
            spans.append((row_of[step.id], targets, "data" in kinds))
    arcs: list[Arc] = []
    # Short spans lie inside: they take the lanes next to the steps first.
    for source, targets, is_data in sorted(spans, key=lambda span: (span[1][-1] - span[0], span)):
        low, high = min(source, targets[0]), max(source, targets[-1])
        taken = {
            arc.lane
            for arc in arcs
            if low <= max(arc.source, arc.targets[-1]) and min(arc.source, arc.targets[0]) <= high
        }
        lane = next(lane for lane in range(len(arcs) + 1) if lane not in taken)
        arcs.append(Arc(lane, source, targets, is_data))
    return tuple(sorted(arcs, key=lambda arc: arc.source))


def draw_terminal(
    plan: Plan,
    *,
    edges: Iterable[tuple[str, str]] = (),
    notes: Mapping[str, str] | None = None,
    width: int = 100,
) -> str:
    """Draw a plan in Unicode text.

    Args:
        plan: the plan.
        edges: further order edges.
        notes: by step id, a short remark shown behind the step, e.g. "done" or a result.
        width: columns; longer arguments are cut with an ellipsis.

    Returns:
        Lines joined by newlines, without a trailing one.
    """
    arcs = plan_arcs(plan, edges)
    n_lanes = 1 + max((arc.lane for arc in arcs), default=-1)
    name_width = max((len(step.tool) for step in plan.steps), default=0)
    lines = []
    for row, step in enumerate(plan.steps):
        note = (notes or {}).get(step.id, "")
        head = f"{_gutter(row, arcs, n_lanes)}{step.id}  {step.tool:<{name_width}}  "
        tail = f"  {note}" if note else ""
        room = max(width - len(head) - len(tail), 12)
        lines.append((head + _cut(_arguments(step), room) + tail).rstrip())
    return "\n".join(lines)


def draw_svg(
    plan: Plan,
    *,
    edges: Iterable[tuple[str, str]] = (),
    notes: Mapping[str, str] | None = None,
) -> str:
    """Draw a plan as an SVG document; arcs that carry data are solid, order arcs dashed.

    Args:
        plan: the plan.
        edges: further order edges.
        notes: by step id, how it stands in a run: shown behind the step, and as its colour.
    """
    said = notes or {}
    arcs = plan_arcs(plan, edges)
    left = 24 + _LANE_PX * (1 + max((arc.lane for arc in arcs), default=-1))
    labels = [(step.id, step.tool, _label(step, 90, said)) for step in plan.steps]
    longest = max((len(tool) + len(args) for _, tool, args in labels), default=0)
    width, height = round(left + 60 + _TEXT_PX * (longest + 3)), _ROW_PX * len(labels) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<defs><marker id="head" markerWidth="7" markerHeight="6" refX="6" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="#44607c"/></marker></defs>',
    ]
    parts += [line for arc in arcs for line in _svg_arc(arc, left)]
    for row, (name, tool, args) in enumerate(labels):
        y = _row_y(row)
        parts.append(
            f'<rect x="{left}" y="{y - 11}" width="24" height="22" rx="5" '
            f'fill="{_colour(name, said)}" stroke="#44607c"/>'
            f'<text x="{left + 12}" y="{y + 4}" text-anchor="middle">'
            f"{escape(name)}</text>"
            f'<text x="{left + 34}" y="{y + 4}"><tspan font-weight="bold">{escape(tool)}</tspan>'
            f'<tspan dx="8" fill="#555555">{escape(args)}</tspan></text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def write_picture(
    plan: Plan,
    path: str | Path,
    *,
    edges: Iterable[tuple[str, str]] = (),
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write a picture of a plan; the suffix of the path says which kind, .svg or .png.

    Raises:
        UsageError: another suffix.
        BBError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".svg":
        write_atomic(path, draw_svg(plan, edges=edges, notes=notes))
    elif suffix == ".png":
        write_atomic(path, _png(plan, plan_arcs(plan, edges), notes or {}))
    else:
        raise UsageError(
            f"cannot draw {suffix or 'a file without suffix'}",
            where=str(path),
            fix="use .svg or .png",
        )


def _arguments(step: Step) -> str:
    return json.dumps(dict(step.args), separators=(",", ":"), ensure_ascii=False)


def _label(step: Step, room: int, notes: Mapping[str, str]) -> str:
    note = notes.get(step.id, "")
    return _cut(_arguments(step), room) + (f"  {note}" if note else "")


def _colour(step: str, notes: Mapping[str, str]) -> str:
    return _COLOURS.get(notes.get(step, ""), _PLAIN)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _gutter(row: int, arcs: Iterable[Arc], n_lanes: int) -> str:
    """The lanes at one row, outermost first, then the line that leads to the step."""
    up, down, touches = [False] * n_lanes, [False] * n_lanes, [False] * n_lanes
    is_target = False
    for arc in arcs:
        first, last = min(arc.source, arc.targets[0]), max(arc.source, arc.targets[-1])
        up[arc.lane] |= first < row <= last
        down[arc.lane] |= first <= row < last
        touches[arc.lane] |= row == arc.source or row in arc.targets
        is_target |= row in arc.targets
    outermost = max((lane for lane in range(n_lanes) if touches[lane]), default=-1)
    cells = []
    for lane in range(n_lanes - 1, -1, -1):
        left = lane < outermost
        right = lane < outermost or touches[lane]
        cells.append(_BOX[int(up[lane]), int(down[lane]), int(left), int(right)])
        cells.append("─" if right else " ")
    if not n_lanes:
        return ""
    lead = "─▶ " if is_target else "── " if outermost >= 0 else "   "
    return "".join(cells) + lead


def _row_y(row: int) -> int:
    return _ROW_PX * row + _ROW_PX // 2 + 8


def _svg_arc(arc: Arc, left: int) -> list[str]:
    x = left - 14 - _LANE_PX * arc.lane
    dash = "" if arc.is_data else ' stroke-dasharray="4 3"'
    style = f'fill="none" stroke="#44607c" stroke-width="1.4"{dash}'
    start = _row_y(arc.source) + 4
    return [
        f'<path d="M{left},{start} H{x + 5} Q{x},{start} {x},{start + 5} V{_row_y(row) - 9} '
        f'Q{x},{_row_y(row) - 4} {x + 5},{_row_y(row) - 4} H{left}" {style} '
        'marker-end="url(#head)"/>'
        for row in arc.targets
    ]


def _png(plan: Plan, arcs: Iterable[Arc], notes: Mapping[str, str]) -> bytes:
    """The same layout through matplotlib."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.42 * len(plan.steps) + 0.4), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    left = 0.6 + 0.35 * (1 + max((arc.lane for arc in arcs), default=-1))
    for arc in arcs:
        x, style = left - 0.3 - 0.35 * arc.lane, "-" if arc.is_data else "--"
        for row in arc.targets:
            xs, ys = [left, x, x, left - 0.05], [arc.source + 0.12] * 2 + [row - 0.12] * 2
            axes.plot(xs, ys, style, color="#44607c", linewidth=1.2)
            axes.plot([left - 0.08], [row - 0.12], ">", color="#44607c", markersize=5)
    for row, step in enumerate(plan.steps):
        colour = _colour(step.id, notes)
        box = {"boxstyle": "round", "facecolor": colour, "edgecolor": "#44607c"}
        text: dict[str, Any] = {"va": "center", "family": "monospace", "fontsize": 9}
        axes.text(left + 0.12, row, step.id, ha="center", bbox=box, **text)
        axes.text(left + 0.45, row, f"{step.tool}  {_label(step, 80, notes)}", **text)
    axes.set_xlim(0, 20)
    axes.set_ylim(len(plan.steps) - 0.3, -0.7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
