"""Which state bit is which fluent of which handle slot.

First the fluents in declared order, f(o, c) of slots i, j at base + i*slots(c) + j; then bound(o)
of every object slot, which says that a step has bound a handle there; last BAD.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from bb_domains.fluents import Atom
from bb_domains.schema import PlanSchema
from bem_kernel.experts.template import Address

BOUND = "bound"
BAD = "BAD"


@dataclass(frozen=True)
class Layout:
    """State bits of a domain.

    Attributes:
        slots: handle slots per object type, in declared order.
        fluents: object types per fluent, in declared order.
    """

    slots: Mapping[str, int]
    fluents: Mapping[str, tuple[str, ...]]

    @cached_property
    def _fluent_base(self) -> dict[str, int]:
        sizes = [prod(self.slots[t] for t in types) for types in self.fluents.values()]
        starts = itertools.accumulate([0, *sizes])
        return dict(zip(self.fluents, starts, strict=False))

    def first_bit(self, fluent: str) -> int:
        """The bit of a fluent for the slots 0."""
        return self._fluent_base[fluent]

    @cached_property
    def bound_base(self) -> int:
        """Number of fluent bits; the bound bits follow."""
        return sum(prod(self.slots[t] for t in types) for types in self.fluents.values())

    @cached_property
    def ordinal_base(self) -> dict[str, int]:
        """Position of each object type's slot 0 among all slots."""
        starts = itertools.accumulate([0, *self.slots.values()])
        return dict(zip(self.slots, starts, strict=False))

    @property
    def n_objects(self) -> int:
        """Number of handle slots of all types."""
        return sum(self.slots.values())

    @property
    def bad(self) -> int:
        """The BAD bit."""
        return self.bound_base + self.n_objects

    @property
    def n_bits(self) -> int:
        """Number of state bits, BAD included."""
        return self.bad + 1

    def address(self, atom: Atom) -> Address:
        """The bit of a fluent as an affine expression in its parameters' slots."""
        types = self.fluents[atom.fluent]
        sizes = [self.slots[t] for t in types]
        strides = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
        terms: dict[str, int] = {}
        for param, stride in zip(atom.params, strides, strict=True):
            terms[param] = terms.get(param, 0) + stride
        return Address(self._fluent_base[atom.fluent], tuple(terms.items()))

    def bit(self, atom: Atom, values: Mapping[str, int]) -> int:
        """The bit of a fluent for concrete slots."""
        address = self.address(atom)
        return address.base + sum(stride * values[name] for name, stride in address.terms)

    def ordinal(self, kind: str, slot: int) -> int:
        """Position of a slot among all handle slots."""
        return self.ordinal_base[kind] + slot

    def bound_bit(self, kind: str, slot: int) -> int:
        """The bit that says a handle is bound to this slot."""
        return self.bound_base + self.ordinal(kind, slot)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """One readable name per bit: `refunded(order0)`, `bound(order0)`, `BAD`."""
        names: list[str] = []
        for fluent, types in self.fluents.items():
            for slots in itertools.product(*(range(self.slots[t]) for t in types)):
                inside = ",".join(f"{t}{s}" for t, s in zip(types, slots, strict=True))
                names.append(f"{fluent}({inside})" if types else fluent)
        names += [f"{BOUND}({kind}{s})" for kind, n in self.slots.items() for s in range(n)]
        return (*names, BAD)


def layout_of(schema: PlanSchema) -> Layout:
    """Return the state bits of a domain."""
    slots = {kind: declared.slots for kind, declared in schema.objects.items()}
    return Layout(slots, schema.fluents)
