"""Candidate invariants of two machines running side by side, found at a small width.

Every candidate is one of a few kinds, each meaningful at every width: under a pair of control
states (the guard), bits of the two rows are constant, equal or opposite, in place or one place
apart, or the rows differ by one as numbers; addresses are equal; a profile (control states, the
lowest bits of both rows, and whether any above are set) does not occur. Those that hold in all
reachable pairs of states of a small width are stated again at the width of the proof, where
induction decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.learning.sequential import Sequential

Kind = Literal["never", "first", "second", "equal", "opposite", "plus one", "minus one", "latch"]
Part = Literal["all", "bit 0", "bit 1", "rest"]

_MOST_PROFILE_BITS = 13
_PARTS: tuple[Part, ...] = ("bit 0", "bit 1", "rest")
_Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Candidate:
    """A statement about a pair of states, at any width.

    Attributes:
        kind: `never`: the profile numbered `shift` does not occur; `first`, `second`: bits of that
            machine's row are `value`; `equal`, `opposite`: bit i of the first row and bit
            i + shift of the second; `plus one`, `minus one`: the first row is the second by so
            much; `latch`: both machines remember the same address.
        guard: values of the flags of the first and of the second machine; None: always.
        part: which bits of a row.
        value: see `first`.
        shift: see `equal` and `never`.
        low: for `never`, how many bits of each row the profile tells apart; empty: it has only
            the flags.
    """

    kind: Kind
    guard: tuple[int, int] | None = None
    part: Part = "all"
    value: bool = False
    shift: int = 0
    low: tuple[int, ...] = ()


def candidates_from(
    pairs: NDArray[np.uint64], first: Sequential, second: Sequential, low: tuple[int, ...]
) -> list[Candidate]:
    """The candidates that hold in all pairs.

    Args:
        pairs: (n,) uint64, all reachable pairs of states of a small width.
        first: a machine of that width.
        second: another.
        low: of the profiles, see `Candidate`.
    """
    n_bits = first.n_state + second.n_state
    bits = (pairs[:, None] >> np.arange(n_bits, dtype=np.uint64) & np.uint64(1)) != 0
    one, other = bits[:, : first.n_state], bits[:, first.n_state :]
    flags = _number(one[:, list(first.flags)]), _number(other[:, list(second.flags)])
    x, y = one[:, list(first.word)], other[:, list(second.word)]
    found: list[Candidate] = []
    for guard in sorted(set(zip(flags[0].tolist(), flags[1].tolist(), strict=True))):
        here = (flags[0] == guard[0]) & (flags[1] == guard[1])
        found += _of_rows(guard, x[here], y[here])
    profile = [one[:, [i]] for i in first.flags] + [other[:, [i]] for i in second.flags]
    for row, count in zip((x, y), low, strict=False):
        profile += [row[:, :count], row[:, count:].any(axis=1, keepdims=True)]
    columns = np.concatenate([one[:, :0], *profile], axis=1)
    if columns.shape[1] <= _MOST_PROFILE_BITS:
        absent = set(range(1 << columns.shape[1])) - set(_number(columns).tolist())
        found += [Candidate("never", shift=number, low=low) for number in sorted(absent)]
    if first.latch and (one[:, list(first.latch)] == other[:, list(second.latch)]).all():
        found.append(Candidate("latch"))
    return found


def _number(bits: _Bits) -> NDArray[np.int64]:
    weights = np.int64(1) << np.arange(bits.shape[1], dtype=np.int64)
    values: NDArray[np.int64] = (bits * weights).sum(axis=1)
    return values


def _of_rows(guard: tuple[int, int], x: _Bits, y: _Bits) -> Iterator[Candidate]:
    """What holds of two rows of bits, (n, width) each, under a guard."""
    for part in _PARTS:
        places = _places(part, x.shape[1])
        for value in (False, True):
            if (x[:, places] == value).all():
                yield Candidate("first", guard, part, value)
            if (y[:, places] == value).all():
                yield Candidate("second", guard, part, value)
        for shift in (-1, 0, 1):
            here = [i for i in places if 0 <= i + shift < y.shape[1]]
            equal = x[:, here] == y[:, [i + shift for i in here]]
            if here and equal.all():
                yield Candidate("equal", guard, part, shift=shift)
            if here and not equal.any():
                yield Candidate("opposite", guard, part, shift=shift)
    difference = _number(x) - _number(y)
    if (difference == 1).all():
        yield Candidate("plus one", guard)
    if (difference == -1).all():
        yield Candidate("minus one", guard)


def _places(part: Part, width: int) -> list[int]:
    if part == "all":
        return list(range(width))
    if part == "rest":
        return list(range(2, width))
    return [i for i in range(width) if part == f"bit {i}"]


class Statements:
    """Candidates as circuits on given slots of a pair of states.

    Args:
        builder: of the circuit.
        first: the machine of the width of the proof; `slots[0]` are its state's.
        second: another, at `slots[1]`.
    """

    def __init__(
        self,
        builder: CircuitBuilder,
        first: Sequential,
        second: Sequential,
        slots: tuple[list[int], list[int]],
    ) -> None:
        self._builder = builder
        self._x = [slots[0][i] for i in first.word]
        self._y = [slots[1][i] for i in second.word]
        self._flags = [slots[0][i] for i in first.flags], [slots[1][i] for i in second.flags]
        self._latches = [slots[0][i] for i in first.latch], [slots[1][i] for i in second.latch]

    def state(self, candidate: Candidate) -> list[int]:
        """Slots that are all 1 where the candidate holds."""
        builder = self._builder
        if candidate.kind == "latch":
            pairs = zip(*self._latches, strict=True)
            return [builder.not_(builder.xor(a, b)) for a, b in pairs]
        if candidate.kind == "never":
            return [builder.not_(self._matches(self._profile(candidate.low), candidate.shift))]
        assert candidate.guard is not None
        flags, (p, q) = self._flags, candidate.guard
        absent = builder.not_(builder.and_(self._matches(flags[0], p), self._matches(flags[1], q)))
        return [builder.or_(absent, slot) for slot in self._relation(candidate)]

    def _profile(self, low: tuple[int, ...]) -> list[int]:
        slots = [*self._flags[0], *self._flags[1]]
        for row, count in zip((self._x, self._y), low, strict=False):
            above = self._builder.const(False)
            for bit in row[count:]:
                above = self._builder.or_(above, bit)
            slots += [*row[:count], above]
        return slots

    def _matches(self, slots: list[int], value: int) -> int:
        builder, met = self._builder, self._builder.const(True)
        for i, slot in enumerate(slots):
            met = builder.and_(met, slot if value >> i & 1 else builder.not_(slot))
        return met

    def _relation(self, candidate: Candidate) -> list[int]:
        builder, x, y = self._builder, self._x, self._y
        places = _places(candidate.part, len(x))
        match candidate.kind:
            case "first" | "second":
                row = x if candidate.kind == "first" else y
                return [row[i] if candidate.value else builder.not_(row[i]) for i in places]
            case "equal" | "opposite":
                shift = candidate.shift
                differ = [
                    builder.xor(x[i], y[i + shift]) for i in places if 0 <= i + shift < len(y)
                ]
                return differ if candidate.kind == "opposite" else [builder.not_(d) for d in differ]
            case "plus one":
                return self._successor(x, y)
            case _:
                return self._successor(y, x)

    def _successor(self, larger: list[int], smaller: list[int]) -> list[int]:
        """Say that larger = smaller + 1, without wrapping."""
        builder, carry, slots = self._builder, self._builder.const(True), list[int]()
        for a, b in zip(larger, smaller, strict=True):
            slots.append(builder.not_(builder.xor(a, builder.xor(b, carry))))
            carry = builder.and_(carry, b)
        return [*slots, builder.not_(carry)]
