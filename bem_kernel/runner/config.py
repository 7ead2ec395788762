"""How a machine observes, chooses and learns.

Source: BEM core spec 6, 7.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bem_kernel.errors import RunnerError
from bem_kernel.runner.learning import Learning
from bem_kernel.runner.observation import Tap
from bem_kernel.runner.query import QueryRule

MAX_CANDIDATES = 1 << 16


@dataclass(frozen=True)
class RunnerConfig:
    """The runner's settings; the memory's are `MachineConfig`.

    Attributes:
        observation: O, what the policy sees; nothing at all makes it a plain bandit.
        query: F_obs.
        candidates: k, experts that compete in a step.
        each_lane: whether every lane observes and chooses for itself, or lane 0 for all.
        learning: estimator and rate.
        trace_rows: rows that the trace in memory holds; a step takes one, or one per lane.
        key: of all random numbers, 64 bits; the same key makes the same run.

    Raises:
        RunnerError: a number is out of range.
    """

    observation: tuple[Tap, ...] = ()
    query: QueryRule = field(default_factory=QueryRule)
    candidates: int = 8
    each_lane: bool = False
    learning: Learning = field(default_factory=Learning)
    trace_rows: int = 4096
    key: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= MAX_CANDIDATES:
            raise _refused(f"{self.candidates} candidates", f"use 1 to {MAX_CANDIDATES}")
        if self.trace_rows < 1:
            raise _refused(f"{self.trace_rows} trace rows", "use 1 or more")
        if not 0 <= self.key < 1 << 64:
            raise _refused(f"the key is {self.key}", "use 64 bits")


def _refused(what: str, fix: str) -> RunnerError:
    return RunnerError(what, where="runner configuration", fix=fix)
