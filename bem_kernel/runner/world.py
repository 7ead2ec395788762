"""Worlds: what a machine acts in, and what it is rewarded for.

A `CompiledWorld` lives in the machine: random input bits, an expert that works out what follows
from an action, and rewards read off the result, so that whole episodes run in one kernel. An
`Environment` is any Python object, asked once before and once after each step.

Source: BEM core spec 7.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bem_kernel.memory.memory import Memory
from bem_kernel.runner.reward import RewardRange, RewardTerm


@dataclass(frozen=True)
class CompiledWorld:
    """A world that the fast path's kernel plays itself.

    In each step `noise` gets fresh random bits in every lane, the machine acts, `expert` runs, and
    the rewards are read off.

    Attributes:
        rewards: what is rewarded; their range follows from the weights.
        noise: state bits.
        expert: identifier of an expert in the table, best added with `findable=False`; None: what
            the machine did is rewarded as it stands.
    """

    rewards: tuple[RewardTerm, ...]
    noise: tuple[int, ...] = ()
    expert: int | None = None


class Environment(Protocol):
    """A world in Python."""

    @property
    def limits(self) -> RewardRange:
        """The rewards that it may give; the same throughout a run."""

    def prepare(self, memory: Memory, step: int) -> None:
        """Set state and shared memory for a step; what the machine then observes.

        Args:
            memory: of the machine; its planes and shared bits may be written.
            step: number of the step, counted from the machine's beginning.
        """

    def reward(self, memory: Memory, step: int) -> int | Sequence[int]:
        """The reward of what the machine has done: one, or one per lane where each lane chooses."""


World = CompiledWorld | Environment
