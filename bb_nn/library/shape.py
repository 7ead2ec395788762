"""The size of a rail's program library, as its configuration gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bb_nn.errors import LibraryError


@dataclass(frozen=True)
class LibraryShape:
    """The field `library` of `DualRailConfig`.

    Attributes:
        skills: K, of a library that is made here.
        rank: of the skills' adapters.
        state: bits of a lane.
        perception: bits that the rail perceives at each token.
        candidates: nearest skills that the choice is among; 0 for all.
        horizon: tokens that gradients go back through a lane's state.
    """

    skills: int = 32
    rank: int = 4
    state: int = 8
    perception: int = 8
    candidates: int = 0
    horizon: int = 1

    def __post_init__(self) -> None:
        least = {"skills": 1, "rank": 1, "state": 3, "perception": 1}
        for name, value in asdict(self).items():
            if not isinstance(value, int) or value < least.get(name, 0):
                raise LibraryError(
                    f"{name} is {value}", where="rail configuration: library",
                    fix=f"use a number from {least.get(name, 0)}",
                )  # fmt: skip

    @classmethod
    def from_config(cls, data: Mapping[str, Any]) -> LibraryShape:
        """The shape that a mapping states; what it leaves out is default.

        Raises:
            LibraryError: an unknown key, or a value out of range.
        """
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise LibraryError(
                f"unknown key {unknown[0]!r}", where="rail configuration: library",
                fix=f"use {', '.join(cls.__dataclass_fields__)}",
            )  # fmt: skip
        return cls(**data)
