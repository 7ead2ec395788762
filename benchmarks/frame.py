"""Rows of the benchmark table: how they are declared, measured and judged.

A file `benchmarks/<area>_<question>.py` declares rows with the decorator `row`. Each measures ours
and a peer in interleaved pairs, because machines drift, and is judged by the ratio of the medians,
which is always "how many times better", whether more or less of the unit is better.
"""

from __future__ import annotations

import fnmatch
import importlib
import math
import pkgutil
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bb_core.errors import BBError, UsageError

AREAS = (
    "machine",
    "proof",
    "rails",
    "plans",
    "gate",
    "seal",
    "teach",
    "evolve",
    "suite",
    "snapshot",
    "planner",
    "serve",
)

Better = Literal["more", "less"]


class UnavailableError(BBError):
    """A row cannot be measured here (no GPU, no data); the table says why."""


@dataclass(frozen=True)
class Context:
    """What a row is measured with.

    Attributes:
        full: measure the full sizes rather than a row in seconds.
        data: folder of data files, or None.
        seed: seed of every random choice.
    """

    full: bool = False
    data: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Measured:
    """Paired measurements, in the row's unit; ours[i] and peer[i] were taken together."""

    ours: Sequence[float]
    peer: Sequence[float]


@dataclass(frozen=True)
class Row:
    """A declared row.

    Attributes:
        name: dotted name that starts with an area.
        measure: takes the measurements.
        peer_name: what ours is compared with.
        unit: unit of the measurements.
        target: the least ratio at which the row holds.
        better: whether more or less of the unit is better.
    """

    name: str
    measure: Callable[[Context], Measured]
    peer_name: str
    unit: str
    target: float
    better: Better = "more"


@dataclass(frozen=True)
class Result:
    """A measured row, as it is shown and saved.

    Attributes:
        name: the row's name.
        ours: median of ours.
        peer: median of the peer.
        peer_name: what the peer is.
        unit: unit of both.
        ratio: how many times better ours is; infinite where the worse one divides by zero.
        target: the least ratio at which the row holds.
        holds: whether ratio >= target.
        repetitions: number of pairs.
        spread: interquartile range of the pairs' ratios over their median; 0 for one pair.
        problem: why there are no figures; empty if there are.
        available: False if the row cannot be measured on this machine.
    """

    name: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float
    target: float
    holds: bool
    repetitions: int
    spread: float
    problem: str = ""
    available: bool = True


_ROWS: dict[str, Row] = {}


def row(
    name: str, *, peer_name: str, unit: str, target: float, better: Better = "more"
) -> Callable[[Callable[[Context], Measured]], Callable[[Context], Measured]]:
    """Declare the decorated function as a row; the arguments are the fields of `Row`.

    Raises:
        UsageError: the name has no known area or is taken by another file.
    """
    if name.partition(".")[0] not in AREAS or "." not in name:
        raise UsageError("has no area", where=f"row {name}", fix=f"use {', '.join(AREAS)}")

    def declare(measure: Callable[[Context], Measured]) -> Callable[[Context], Measured]:
        taken = _ROWS.get(name)
        if taken is not None and taken.measure.__module__ != measure.__module__:
            raise UsageError(
                f"is declared in {taken.measure.__module__} too",
                where=f"row {name}",
                fix="rename one",
            )
        _ROWS[name] = Row(name, measure, peer_name, unit, target, better)
        return measure

    return declare


def time_pair(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    repetitions: int = 5,
    work: float | None = None,
) -> Measured:
    """Time two calls in turn, after one unmeasured call of each.

    The order within a pair alternates, so that neither always finds the other's warm cache.

    Args:
        ours: our call.
        peer: the peer's call on the same input.
        repetitions: number of pairs.
        work: units of work a call does, to get units per second; None gives seconds.
    """
    calls = (ours, peer)
    for call in calls:
        call()
    samples: tuple[list[float], list[float]] = ([], [])
    for i in range(repetitions):
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            start_s = time.perf_counter()
            calls[side]()
            took_s = time.perf_counter() - start_s
            samples[side].append(took_s if work is None else work / took_s)
    return Measured(*samples)


def discover(package: str = "benchmarks") -> list[Row]:
    """Import every `<area>_*.py` of a package and return all declared rows, by name."""
    paths = importlib.import_module(package).__path__
    for module in pkgutil.iter_modules(paths):
        area, _, question = module.name.partition("_")
        if area in AREAS and question:
            importlib.import_module(f"{package}.{module.name}")
    return [_ROWS[name] for name in sorted(_ROWS)]


def select(rows: Iterable[Row], patterns: Sequence[str]) -> list[Row]:
    """Return the rows whose names match a pattern such as `machine.*`; all for no pattern.

    Raises:
        UsageError: a pattern matches nothing.
    """
    rows = list(rows)
    names = [entry.name for entry in rows]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(
                f"no row matches {pattern!r}", where="benchmarks", fix=f"use {', '.join(names)}"
            )
    if not patterns:
        return rows
    return [entry for entry in rows if any(fnmatch.fnmatch(entry.name, p) for p in patterns)]


def run_row(entry: Row, context: Context) -> Result:
    """Measure one row; a row that fails or is unavailable says so and never stops the others."""
    try:
        measured = entry.measure(context)
    except UnavailableError as error:
        return _without_figures(entry, str(error), available=False)
    except ModuleNotFoundError as error:
        return _without_figures(entry, f"needs the package {error.name}", available=False)
    except Exception as error:
        return _without_figures(entry, f"{type(error).__name__}: {error}", available=True)
    return judge(entry, measured)


def judge(entry: Row, measured: Measured) -> Result:
    """Turn measurements into the row's result.

    Raises:
        BBError: no measurements, or not as many of the one as of the other.
    """
    pairs = len(measured.ours)
    if not pairs or pairs != len(measured.peer):
        raise BBError(
            f"{pairs} measurements of ours and {len(measured.peer)} of the peer",
            where=f"row {entry.name}",
            fix="measure in pairs",
        )
    ours, peer = statistics.median(measured.ours), statistics.median(measured.peer)
    ratio = times_better(ours, peer, entry.better)
    return Result(
        name=entry.name,
        ours=ours,
        peer=peer,
        peer_name=entry.peer_name,
        unit=entry.unit,
        ratio=ratio,
        target=entry.target,
        holds=ratio >= entry.target,
        repetitions=pairs,
        spread=_spread(
            [
                times_better(a, b, entry.better)
                for a, b in zip(measured.ours, measured.peer, strict=True)
            ]
        ),
    )


def times_better(ours: float, peer: float, better: Better) -> float:
    """Return how many times better ours is; 1 for two zeros."""
    above, below = (ours, peer) if better == "more" else (peer, ours)
    if below == 0:
        return 1.0 if above == 0 else math.inf
    return above / below


def _spread(ratios: Sequence[float]) -> float:
    """Return the interquartile range over the median, 0 where it means nothing."""
    middle = statistics.median(ratios)
    if len(ratios) < 2 or not all(map(math.isfinite, ratios)) or middle == 0:
        return 0.0
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return (high - low) / middle


def _without_figures(entry: Row, problem: str, *, available: bool) -> Result:
    return Result(
        name=entry.name,
        ours=math.nan,
        peer=math.nan,
        peer_name=entry.peer_name,
        unit=entry.unit,
        ratio=math.nan,
        target=entry.target,
        holds=False,
        repetitions=0,
        spread=0.0,
        problem=problem,
        available=available,
    )
