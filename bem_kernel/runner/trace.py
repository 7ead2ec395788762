"""Traces: the steps of an episode, as rows in memory and as entries of the log.

The log holds each row but its slot, which is no reference that lasts. 64-bit numbers have no
canonical JSON, so rows are stored as the hex of little-endian int64.

Source: BEM core spec 7.1, 8.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import RunnerError
from bem_kernel.ledger.chain import read_entries
from bem_kernel.runner.layout import (
    T_FINGERPRINT,
    T_IDENTIFIER,
    T_LANE,
    T_OBSERVATION,
    T_PROBABILITY_Q30,
    T_REWARD,
    T_STEP,
)

TRACE_KIND = "trace"
_LOGGED = (
    T_STEP,
    T_LANE,
    T_OBSERVATION,
    T_IDENTIFIER,
    T_PROBABILITY_Q30,
    T_REWARD,
    T_FINGERPRINT,
)
_COLUMNS = [
    "step",
    "lane",
    "observation",
    "expert",
    "probability_q30",
    "reward",
    "state",
]
_ROW_BYTES = 8 * len(_LOGGED)
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Step:
    """One choice.

    Attributes:
        step: number of the step, from the machine's beginning.
        lane: that chose; None where one expert was chosen for all.
        observation: what it saw, 64 bits.
        expert: identifier of the one chosen.
        probability_q30: with which it was chosen, Q30.
        reward: what followed.
        state: fingerprint of the state before, 64 bits.
    """

    step: int
    lane: int | None
    observation: int
    expert: int
    probability_q30: int
    reward: int
    state: int


def trace_entry(episode: int, first_row: int, rows: NDArray[np.int64]) -> dict[str, Any]:
    """The log entry of some rows of a trace.

    Args:
        episode: to which they belong.
        first_row: number of the first, from the machine's beginning.
        rows: (n, TRACE_COLUMNS) int64, in order.
    """
    data = rows[:, _LOGGED].astype("<i8").tobytes().hex()
    return {
        "kind": TRACE_KIND,
        "episode": episode,
        "first_row": first_row,
        "columns": _COLUMNS,
        "rows": data,
    }


def trace_steps(entry: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps in a log entry of kind "trace"; inverse of `trace_entry`.

    Raises:
        RunnerError: the entry is none that `trace_entry` makes.
    """
    rows = entry.get("rows")
    if entry.get("kind") != TRACE_KIND or entry.get("columns") != _COLUMNS:
        raise _refused(f"of kind {entry.get('kind')!r}")
    try:
        data = bytes.fromhex(rows if isinstance(rows, str) else "?")
    except ValueError as error:
        raise _refused("whose rows are no hex") from error
    if len(data) % _ROW_BYTES:
        raise _refused(f"of {len(data)} bytes")
    table = np.frombuffer(data, dtype="<i8").reshape(-1, len(_LOGGED))
    return tuple(
        Step(step, None if lane < 0 else lane, seen & _MASK, expert, chance, reward, state & _MASK)
        for step, lane, seen, expert, chance, reward, state in table.tolist()
    )


def read_steps(path: str | Path) -> Iterator[Step]:
    """All steps in a log, each checked against the hash chain before it is yielded.

    Raises:
        LedgerError: the log cannot be read or is damaged.
        RunnerError: an entry of kind "trace" is malformed.
    """
    for entry in read_entries(path):
        if entry.get("kind") == TRACE_KIND:
            yield from trace_steps(entry)


def _refused(what: str) -> RunnerError:
    return RunnerError(
        f"an entry {what}", where="trace", fix="read a log that an ExpertMachine has written"
    )
