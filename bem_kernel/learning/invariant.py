"""Candidate invariants of two machines running side by side, found at a small width.

Every candidate is one of a few kinds, each meaningful at every width: under a pair of control
states (the guard), bits of the two rows are constant, equal or opposite, in place or one place
apart, or the rows differ by one or two as numbers, or the first is no larger; addresses are equal,
and rows are zeros before the first; a profile (control states, the lowest bits of both rows, and
whether any above are set) does not occur. Where a guard leaves the rows unrelated, it is split by
whether one of them is zero, since a learned counter may count otherwise there. Those that hold in
all reachable pairs of states of a small width are stated again at the width of the proof, where
induction decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.learning.sequential import Sequential

Kind = Literal["never", "first", "second", "equal", "opposite", "plus", "most", "latch", "idle"]
Zone = tuple[Literal["first", "second"], bool]
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
            i + shift of the second; `plus`: the first row is the second plus `shift`, as numbers;
            `most`: it is at most the second, or less where `shift` is -1; `latch`: both machines
            remember the same address; `idle`: while the first has none, both rows are zeros.
        guard: values of the flags of the first and of the second machine; None: always.
        zone: a row, and whether it is above zero, as a further condition; None: there is none.
        part: which bits of a row.
        value: see `first`.
        shift: see the kinds.
        low: for `never`, how many bits of each row the profile tells apart; empty: it has only
            the flags.
    """

    kind: Kind
    guard: tuple[int, int] | None = None
    zone: Zone | None = None
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
        found += _under(guard, x[here], y[here])
    profile = [one[:, [i]] for i in first.flags] + [other[:, [i]] for i in second.flags]
    for row, count in zip((x, y), low, strict=False):
        profile += [row[:, :count], row[:, count:].any(axis=1, keepdims=True)]
    columns = np.concatenate([one[:, :0], *profile], axis=1)
    if columns.shape[1] <= _MOST_PROFILE_BITS:
        absent = set(range(1 << columns.shape[1])) - set(_number(columns).tolist())
        found += [Candidate("never", shift=number, low=low) for number in sorted(absent)]
    if first.latch and (one[:, list(first.latch)] == other[:, list(second.latch)]).all():
        found.append(Candidate("latch"))
        idle = ~one[:, first.latch[-1]]
        if not (x[idle].any() or y[idle].any()):
            found.append(Candidate("idle"))
    return found


def _number(bits: _Bits) -> NDArray[np.int64]:
    weights = np.int64(1) << np.arange(bits.shape[1], dtype=np.int64)
    values: NDArray[np.int64] = (bits * weights).sum(axis=1)
    return values


_ABSENT = (Candidate("first", part="bit 0"), Candidate("first", part="bit 0", value=True))


def _under(guard: tuple[int, int], x: _Bits, y: _Bits) -> list[Candidate]:
    """What holds of two rows of bits, (n, width) each, under a guard."""
    found = list(_of_rows(x, y))
    if not any(c.kind == "plus" or c.part == "rest" for c in found):
        for which, row in _rows(x, y):
            above = row.any(axis=1)
            for value, here in ((True, above), (False, ~above)):
                inside = _of_rows(x[here], y[here]) if here.any() else _ABSENT
                found += [replace(c, zone=(which, value)) for c in inside]
    return [replace(candidate, guard=guard) for candidate in found]


def _of_rows(x: _Bits, y: _Bits) -> Iterator[Candidate]:
    for part in _PARTS:
        for kind, row in _rows(x, y):
            bits = row[:, _places(part, row.shape[1])]
            if bits.shape[1]:
                values = [value for value in (False, True) if (bits == value).all()]
                yield from (Candidate(kind, part=part, value=value) for value in values)
        for shift in (-1, 0, 1):
            here = [i for i in _places(part, x.shape[1]) if 0 <= i + shift < y.shape[1]]
            equal = x[:, here] == y[:, [i + shift for i in here]]
            if here and equal.all():
                yield Candidate("equal", part=part, shift=shift)
            if here and not equal.any():
                yield Candidate("opposite", part=part, shift=shift)
    if x.shape[1] == y.shape[1] > 0:
        difference = _number(x) - _number(y)
        for shift in (-2, -1, 1, 2):
            if (difference == shift).all():
                yield Candidate("plus", shift=shift)
        for shift in (-1, 0):
            if (difference <= shift).all() and (difference < shift).any():
                yield Candidate("most", shift=shift)


def _rows(
    x: _Bits, y: _Bits
) -> tuple[tuple[Literal["first"], _Bits], tuple[Literal["second"], _Bits]]:
    return ("first", x), ("second", y)


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
        if candidate.kind == "idle":
            present = self._latches[0][-1]
            return [builder.or_(present, builder.not_(bit)) for bit in (*self._x, *self._y)]
        if candidate.kind == "never":
            return [builder.not_(self._matches(self._profile(candidate.low), candidate.shift))]
        assert candidate.guard is not None
        flags, (p, q) = self._flags, candidate.guard
        here = builder.and_(self._matches(flags[0], p), self._matches(flags[1], q))
        if candidate.zone is not None:
            which, above = candidate.zone
            some = self._some(self._x if which == "first" else self._y)
            here = builder.and_(here, some if above else builder.not_(some))
        absent = builder.not_(here)
        return [builder.or_(absent, slot) for slot in self._relation(candidate)]

    def _some(self, slots: list[int]) -> int:
        found = self._builder.const(False)
        for slot in slots:
            found = self._builder.or_(found, slot)
        return found

    def _profile(self, low: tuple[int, ...]) -> list[int]:
        slots = [*self._flags[0], *self._flags[1]]
        for row, count in zip((self._x, self._y), low, strict=False):
            slots += [*row[:count], self._some(row[count:])]
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
                places = _places(candidate.part, len(row))
                return [row[i] if candidate.value else builder.not_(row[i]) for i in places]
            case "equal" | "opposite":
                shift = candidate.shift
                differ = [
                    builder.xor(x[i], y[i + shift]) for i in places if 0 <= i + shift < len(y)
                ]
                return differ if candidate.kind == "opposite" else [builder.not_(d) for d in differ]
            case "most":
                return [self._at_most(x, y, candidate.shift == 0)]
            case _:
                shift = candidate.shift
                return self._sum(x, y, shift) if shift > 0 else self._sum(y, x, -shift)

    def _at_most(self, x: list[int], y: list[int], or_equal: bool) -> int:
        builder, found = self._builder, self._builder.const(or_equal)
        for a, b in zip(x, y, strict=True):
            found = builder.mux(builder.xor(a, b), found, b)
        return found

    def _sum(self, larger: list[int], smaller: list[int], by: int) -> list[int]:
        """Say that larger = smaller + by, without wrapping."""
        builder, carry, slots = self._builder, self._builder.const(False), list[int]()
        for i, (a, b) in enumerate(zip(larger, smaller, strict=True)):
            half = builder.xor(b, carry)
            if by >> i & 1:
                slots.append(builder.xor(a, half))
                carry = builder.or_(carry, b)
            else:
                slots.append(builder.not_(builder.xor(a, half)))
                carry = builder.and_(carry, b)
        return [*slots, builder.not_(carry)]
