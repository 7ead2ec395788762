"""Corrections: what to change about an expert, on which side of which bit.

A correction flips ANF coefficients of an expert's outputs: everywhere, or otherwise in the lanes
where a state bit is 0 than where it is 1. It may multiply bits that the expert does not read yet.
What it does not touch is its scope: old and new have to agree there, which is proved.

Source: BEM core spec 8.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.composition import cofactor, support
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.lanes import Bits
from bem_kernel.patches.flips import Flips, Limits, Product, best_flips
from bem_kernel.patches.fold import without_condition
from bem_kernel.patches.patch import Scope

_NAME_ROOM = 48  # bytes of a parent's name in its children's; a bit and a value follow


@dataclass(frozen=True)
class Reach:
    """How far a search for corrections goes.

    Attributes:
        bits: most state bits to consider beside those that the expert reads.
        splits: most bits to split on that are tried.
        flips: limits of the search for coefficients.
    """

    bits: int = 8
    splits: int = 8
    flips: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Correction:
    """A change of one expert.

    Attributes:
        reads: state bits that products are of: the expert's own, then others.
        bit: whose value decides between two cases; None: there is one case.
        flips: by case, the one for 0 first, then by output; inputs of products are in `reads`.
    """

    reads: tuple[int, ...]
    bit: int | None
    flips: tuple[tuple[Flips, ...], ...]

    @property
    def gain(self) -> int:
        """On the rows that it was found from."""
        return sum(flip.gain for flips in self.flips for flip in flips)

    @property
    def size(self) -> int:
        """Coefficients flipped."""
        return sum(len(flip.products) for flips in self.flips for flip in flips)

    def __str__(self) -> str:
        count = f"{self.size} coefficient{'' if self.size == 1 else 's'} flipped"
        return count if self.bit is None else f"by s[{self.bit}], {count}"


def corrections(
    expert: Expert, bits: Bits, gains: NDArray[np.int64], reach: Reach
) -> tuple[Correction, ...]:
    """Corrections of an expert, the one that gains most first; of equals, the smaller one.

    One without a bit is among them only if no split gains as much: a split leaves it to the policy
    and to later patches to treat the two cases differently.

    Args:
        expert: the parent.
        bits: (rows, N) bool, states in which it ran.
        gains: (rows, outputs) int64, reward gained by inverting an output.
        reach: how far to go.
    """
    ranked = _ranked(bits, gains)
    others = [bit for bit in ranked if bit not in expert.reads][: reach.bits]
    reads = (*expert.reads, *others)
    inputs = bits[:, list(reads)]
    found = []
    for bit in [bit for bit in ranked if bit in reads][: reach.splits]:
        ones = bits[:, bit]
        cases = [_flips(inputs[rows], gains[rows], reach.flips) for rows in (~ones, ones)]
        found.append(Correction(reads, bit, tuple(cases)))
    undivided = Correction(reads, None, (_flips(inputs, gains, reach.flips),))
    if undivided.gain > max((each.gain for each in found), default=0):
        found.append(undivided)
    return tuple(
        sorted(
            (each for each in found if each.gain > 0),
            key=lambda each: (-each.gain, each.size, each.bit not in expert.reads),
        )
    )


def whole(expert: Expert, correction: Correction) -> Expert:
    """The expert as corrected, in one circuit, under its own condition."""
    cases = [_wide(expert, correction, value) for value in range(len(correction.flips))]
    if correction.bit is None:
        return _narrowed(cases[0])
    builder = CircuitBuilder(cases[0].circuit.n_inputs)
    low, high = (builder.embed(case.circuit, range(builder.n_inputs)) for case in cases)
    decides = correction.reads.index(correction.bit)
    outputs = [builder.mux(decides, a, b) for a, b in zip(low, high, strict=True)]
    return _narrowed(replace(cases[0], circuit=builder.build(outputs)))


def children(expert: Expert, correction: Correction) -> tuple[Expert, Expert]:
    """The two cases of a correction that has a bit, each with its condition.

    A parent's own condition is folded into their circuits.
    """
    return _case(expert, correction, 0), _case(expert, correction, 1)


def unchanged(correction: Correction) -> Scope:
    """The lanes in which no flip of a correction acts: where old and new have to agree."""
    extra = () if correction.bit is None else (correction.bit,)
    bits = tuple(dict.fromkeys((*extra, *correction.reads)))
    builder = CircuitBuilder(len(bits))
    places = [bits.index(bit) for bit in correction.reads]
    acting = builder.const(False)
    for value, flips in enumerate(correction.flips):
        case = builder.const(True)
        if correction.bit is not None:
            case = 0 if value else builder.not_(0)
        for flip in flips:
            inverted = builder.const(False)
            for product in flip.products:
                inverted = builder.xor(inverted, _product(builder, product, places))
            acting = builder.or_(acting, builder.and_(case, inverted))
    circuit = builder.build([builder.not_(acting)])
    used = support(circuit)
    return Scope(tuple(bits[i] for i in used), _with_inputs(circuit, used))


def _ranked(bits: Bits, gains: NDArray[np.int64]) -> list[int]:
    """State bits that vary, those first whose two cases gain most by inverting whole outputs."""
    ones = bits.astype(np.int64).T @ gains
    worth = (np.maximum(ones, 0) + np.maximum(gains.sum(axis=0) - ones, 0)).sum(axis=1)
    varying: Bits = np.any(bits, axis=0) & ~np.all(bits, axis=0)
    return [int(bit) for bit in np.argsort(-worth, kind="stable") if varying[bit]]


def _flips(inputs: Bits, gains: NDArray[np.int64], limits: Limits) -> tuple[Flips, ...]:
    return tuple(best_flips(inputs, column, limits) for column in gains.T)


def _case(expert: Expert, correction: Correction, value: int) -> Expert:
    """One case, with its condition."""
    assert correction.bit is not None
    wide = _wide(expert, correction, value)
    held = {i: bool(value) for i, bit in enumerate(correction.reads) if bit == correction.bit}
    child = without_condition(replace(wide, circuit=cofactor(wide.circuit, held)))
    short = expert.name.encode()[:_NAME_ROOM].decode(errors="ignore")
    condition = Condition(correction.bit, bool(value))
    name = f"{short}/{correction.bit}={value}"
    return _narrowed(replace(child, name=name, condition=condition))


def _wide(expert: Expert, correction: Correction, value: int) -> Expert:
    """The expert with the reads of a correction, and the flips of one of its cases."""
    n_own, n_all, n_gathers = len(expert.reads), len(correction.reads), len(expert.gathers)
    builder = CircuitBuilder(n_all + n_gathers)
    outputs = builder.embed(expert.circuit, [*range(n_own), *range(n_all, n_all + n_gathers)])
    for output, flip in enumerate(correction.flips[value]):
        for product in flip.products:
            outputs[output] = builder.xor(outputs[output], _product(builder, product, range(n_all)))
    return replace(expert, reads=correction.reads, circuit=builder.build(outputs))


def _narrowed(expert: Expert) -> Expert:
    """An expert without the fixed reads that its circuit ignores."""
    n_reads = len(expert.reads)
    used = [i for i in support(expert.circuit) if i < n_reads]
    inputs = (*used, *range(n_reads, expert.circuit.n_inputs))
    reads = tuple(expert.reads[i] for i in used)
    return replace(expert, reads=reads, circuit=_with_inputs(expert.circuit, inputs))


def _with_inputs(circuit: Circuit, inputs: Sequence[int]) -> Circuit:
    """A circuit of some of its inputs, which are all that it depends on."""
    builder = CircuitBuilder(len(inputs))
    place = {i: position for position, i in enumerate(inputs)}
    slots = [place[i] if i in place else builder.const(False) for i in range(circuit.n_inputs)]
    return builder.build(builder.embed(circuit, slots))


def _product(builder: CircuitBuilder, product: Product, places: Sequence[int]) -> int:
    """A product of inputs that lie in given places."""
    slot = builder.const(True)
    for i in product:
        slot = builder.and_(slot, places[i] if i >= 0 else builder.not_(places[~i]))
    return slot
