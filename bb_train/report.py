"""The evaluation as a table, as JSON, and as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bb_train.evaluate import METHOD_TITLES, SPLIT_TITLES, CellScores
from bb_train.metrics import Cell, summarise
from bb_train.statistics import Estimate, mean_estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

_COLOURS = {"base": "#8a8a8a", "lora": "#d08a2e", "rail": "#2f6fb0", "full": "#6a9a58"}


@dataclass(frozen=True)
class Row:
    """One line of the table: a method with or without masks on a split, over all seeds.

    Attributes:
        cell: metrics over the examples of all seeds together.
        exact_by_seed: exact match of each seed's model, in the order of the seeds.
        exact_over_seeds: their mean with a t interval; unbounded for one seed.
    """

    method: str
    masked: bool
    split: str
    cell: Cell
    exact_by_seed: tuple[float, ...]
    exact_over_seeds: Estimate


@dataclass(frozen=True)
class Training:
    """What one trained method cost."""

    method: str
    seed: int
    seconds: float
    steps: int
    trainable_parameters: int
    run: str


def rows_of(cells: Sequence[CellScores]) -> list[Row]:
    """Group cells over seeds, in the order in which methods, masks and splits first appear."""
    groups: dict[tuple[str, bool, str], list[CellScores]] = {}
    for cell in cells:
        groups.setdefault((cell.method, cell.masked, cell.split), []).append(cell)
    rows = []
    for (method, masked, split), group in groups.items():
        by_seed = tuple(summarise(cell.scores).exact.mean for cell in group)
        pooled = summarise([score for cell in group for score in cell.scores])
        rows.append(Row(method, masked, split, pooled, by_seed, mean_estimate(by_seed)))
    return rows


def to_json(rows: Sequence[Row], trainings: Sequence[Training]) -> dict[str, Any]:
    """Rows and trainings as plain JSON values; an unbounded interval is null."""
    document = {"rows": [asdict(row) for row in rows], "trainings": [asdict(t) for t in trainings]}
    for row in document["rows"]:
        row["exact_by_seed"] = list(row["exact_by_seed"])
        for estimate in (row["exact_over_seeds"], row["cell"]["ged"]):
            if estimate["n"] == 1:
                estimate["low"] = estimate["high"] = None
    return document


def results_table(rows: Sequence[Row]) -> Table:
    """The metrics, one line per split, method and mask."""
    from rich.table import Table

    seeds = max(len(row.exact_by_seed) for row in rows)
    title = f"Plans against their references ({_sample(rows)}; exact match with 95% interval)"
    table = Table(title=title)
    for heading in ("split", "method", "masks", "exact match", "GED", "syntax", "admissible"):
        table.add_column(heading, justify="left" if heading in ("split", "method") else "right")
    table.add_column("finished", justify="right")
    table.add_column("tokens/s", justify="right")
    if seeds > 1:
        table.add_column("exact over seeds", justify="right")
    last = None
    for row in sorted(rows, key=lambda row: list(SPLIT_TITLES).index(row.split)):
        if last not in (None, row.split):
            table.add_section()
        last = row.split
        table.add_row(*_line(row, seeds))
    return table


def trainings_table(trainings: Sequence[Training]) -> Table:
    """What was trained, for how long."""
    from rich.table import Table

    table = Table(title="Training")
    for heading in ("method", "seed", "trained parameters", "steps", "time"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for training in trainings:
        table.add_row(
            METHOD_TITLES[training.method],
            str(training.seed),
            f"{training.trainable_parameters:,}",
            str(training.steps),
            f"{training.seconds:.0f} s",
        )
    return table


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the picture: exact match per split, one bar per method and mask, 95% intervals."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 11, "hatch.linewidth": 0.6}):
        figure = Figure(figsize=(9.5, 4.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        _draw_bars(axes, rows)
        axes.set_ylabel("plans equal to the reference (%)")
        axes.set_ylim(0, 105)
        figure.suptitle(
            "Which requests get exactly the right plan?", x=0.07, ha="left", weight="bold"
        )
        note = f"{_sample(rows)}; 95% intervals over examples"
        axes.set_title(note, loc="left", fontsize=9, color="#555555")
        figure.savefig(path, dpi=140)


def _draw_bars(axes: Axes, rows: Sequence[Row]) -> None:
    splits = [split for split in SPLIT_TITLES if any(row.split == split for row in rows)]
    kinds = list(dict.fromkeys((row.method, row.masked) for row in rows))
    width = 0.84 / len(kinds)
    for k, (method, masked) in enumerate(kinds):
        chosen = {r.split: r.cell.exact for r in rows if (r.method, r.masked) == (method, masked)}
        xs = [i + (k - (len(kinds) - 1) / 2) * width for i in range(len(splits))]
        means = [100 * chosen[split].mean for split in splits]
        low = [100 * (chosen[split].mean - chosen[split].low) for split in splits]
        high = [100 * (chosen[split].high - chosen[split].mean) for split in splits]
        axes.bar(
            xs,
            means,
            width * 0.92,
            yerr=(low, high),
            color=_COLOURS[method] if masked else "white",
            edgecolor=_COLOURS[method],
            hatch=None if masked else "////",
            error_kw={"elinewidth": 1, "ecolor": "#333333", "capsize": 2},
            label=f"{METHOD_TITLES[method]}, {'masked' if masked else 'no mask'}",
        )
        for x, mean, up in zip(xs, means, high, strict=True):
            axes.text(x, mean + up + 1.5, f"{mean:.0f}", ha="center", fontsize=8.5)
    axes.set_xticks(range(len(splits)), [SPLIT_TITLES[split] for split in splits])
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.1))


def _line(row: Row, seeds: int) -> list[str]:
    cell = row.cell
    exact = f"{_percent(cell.exact)} [{100 * cell.exact.low:.0f}, {100 * cell.exact.high:.0f}]"
    line = [
        SPLIT_TITLES[row.split],
        METHOD_TITLES[row.method],
        "yes" if row.masked else "no",
        exact,
        f"{cell.ged.mean:.2f}",
        *(_percent(share) for share in (cell.syntax, cell.admissible, cell.finished)),
        f"{cell.tokens_per_s:.0f}",
    ]
    if seeds > 1:
        over = row.exact_over_seeds
        spread = "" if over.n == 1 else f" ± {100 * (over.high - over.mean):.1f}"
        line.append(f"{_percent(over)}{spread} ({over.n})")
    return line


def _percent(share: Estimate) -> str:
    return f"{100 * share.mean:.1f}%"


def _sample(rows: Sequence[Row]) -> str:
    seeds = max(len(row.exact_by_seed) for row in rows)
    per_seed = {row.cell.n // len(row.exact_by_seed) for row in rows}
    n = "/".join(str(size) for size in sorted(per_seed))
    return f"n = {n} requests a split, {seeds} training seed{'s' if seeds > 1 else ''}"
