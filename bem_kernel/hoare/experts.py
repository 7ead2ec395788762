"""What an expert does to one lane, as slots.

Source: BEM core spec 5.1, 6.5; `experts.expert.transform` is what runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Place, Space
from bem_kernel.hoare.words import WIDTH, Word, WordBuilder

_Words = Mapping[int, Word]


class BitLayout(Protocol):
    """Where the bits of state and shared memory lie among words."""

    @property
    def n_bits(self) -> int:
        """State bits."""
        ...

    @property
    def n_shared_bits(self) -> int:
        """Bits of shared memory M."""
        ...

    def plane(self, bit: int) -> int:
        """The word whose bit 0 is a state bit."""
        ...

    def shared_bit(self, bit: int) -> tuple[int, int]:
        """The word of a bit of M, and which of its bits it is."""
        ...


def expert_effect(
    builder: WordBuilder, layout: BitLayout, expert: Expert, words: _Words
) -> tuple[dict[int, Word], int]:
    """The words that an expert changes, and the slot that says whether it traps.

    Reads see the words before; of two writes to a bit the later one counts.
    """
    active = builder.one
    if expert.condition is not None:
        active = words[layout.plane(expert.condition.bit)][0]
        active = active if expert.condition.value else builder.not_(active)
    fault = builder.zero
    inputs = [words[layout.plane(bit)][0] for bit in expert.reads]
    for place in expert.gathers:
        where, outside = _bits_of(builder, layout, place, words)
        fault = builder.or_(fault, outside)
        inputs.append(
            builder.any(builder.and_(here, words[p][bit]) for (p, bit), here in where.items())
        )
    outputs = builder.embed(expert.circuit, inputs)
    after: dict[int, Word] = {}
    for bit, value in zip(expert.writes, outputs, strict=False):
        _write(builder, words, after, (layout.plane(bit), 0), (active, value))
    for scatter, value in zip(expert.scatters, outputs[len(expert.writes) :], strict=False):
        where, outside = _bits_of(builder, layout, scatter.place, words)
        fault = builder.or_(fault, outside)
        enabled = active
        if scatter.enable is not None:
            enabled = builder.and_(active, outputs[scatter.enable])
        for at, here in where.items():
            _write(builder, words, after, at, (builder.and_(here, enabled), value))
    return after, fault


def _write(
    builder: WordBuilder,
    words: _Words,
    after: dict[int, Word],
    at: tuple[int, int],
    write: tuple[int, int],
) -> None:
    """Put a value into one bit where it is enabled."""
    (place, bit), (enabled, value) = at, write
    before = after.get(place, words[place])
    (slot,) = builder.choose(enabled, (before[bit],), (value,))
    after[place] = (*before[:bit], slot, *before[bit + 1 :])


def _bits_of(
    builder: WordBuilder, layout: BitLayout, place: Place, words: _Words
) -> tuple[dict[tuple[int, int], int], int]:
    """The bits that a place can mean, each with the slot that says when; and whether it is none."""
    state = place.space is Space.STATE
    if not place.terms:
        at = (layout.plane(place.base), 0) if state else layout.shared_bit(place.base)
        return {at: builder.one}, builder.zero
    address = builder.constant(place.base)
    for field, stride in place.terms:
        bits = [layout.shared_bit(field.offset + k) for k in range(field.width)]
        value = (*(words[p][bit] for p, bit in bits), builder.zero)
        product = builder.multiply(builder.constant(stride), value, WIDTH)
        address = builder.add(address, product)
    found: dict[tuple[int, int], int] = {}
    count = layout.n_bits if state else layout.n_shared_bits
    for bit in range(count):
        here = builder.equals(address, bit)
        if here != builder.zero:
            found[(layout.plane(bit), 0) if state else layout.shared_bit(bit)] = here
    return found, builder.not_(builder.any(found.values()))
