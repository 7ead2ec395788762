"""What must hold before a kernel runs an expert: kernels check computed addresses only.

Experts come from callers, patches and memory images; each is checked once, when it enters a table.

Source: BEM core spec 2.3.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.errors import ExpertError
from bem_kernel.experts.descriptor import (
    FIRST_GATE,
    FIRST_PLACE,
    FIRST_TERM,
    IDENTIFIER,
    Encoded,
    decode_expert,
    encode_expert,
)
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Field, Place, Space


def check_fits(expert: Expert, n_bits: int, n_shared_bits: int) -> None:
    """Refuse an expert whose fixed bits or fields lie outside a machine.

    Args:
        expert: any.
        n_bits: N.
        n_shared_bits: K.

    Raises:
        ExpertError: it reads or writes a bit that does not exist.
    """
    where = f"expert {expert.name}"
    if expert.n_bits > n_bits:
        raise ExpertError(
            f"needs {expert.n_bits} state bits, the machine has {n_bits}",
            where=where,
            fix="use a machine with a larger n_bits",
        )
    places = (*expert.gathers, *(scatter.place for scatter in expert.scatters))
    end = max((_shared_end(place) for place in places), default=0)
    if end > n_shared_bits:
        raise ExpertError(
            f"needs {end} bits of shared memory, the machine has {n_shared_bits}",
            where=where,
            fix="use a machine with a larger n_shared_bits",
        )


def _shared_end(place: Place) -> int:
    """One more than the last bit of M that finding a place, or the place itself, needs."""
    if place.terms:
        return max(_field_end(field) for field, _ in place.terms)
    return place.base + 1 if place.space is Space.SHARED else 0


def _field_end(field: Field) -> int:
    return field.offset + field.width


def checked_expert(encoded: Encoded, n_bits: int, n_shared_bits: int) -> Expert:
    """The expert of arrays that come from outside.

    Raises:
        ExpertError, CircuitError: they are none that `encode_expert` makes, or the expert does not
            fit the machine.
    """
    expert = decode_expert(encoded)
    check_fits(expert, n_bits, n_shared_bits)
    again = encode_expert(expert)
    own = [FIRST_GATE, FIRST_PLACE, FIRST_TERM, IDENTIFIER]  # columns that the table sets
    again.descriptor[own] = encoded.descriptor[own]
    same = (
        np.array_equal(encoded.descriptor, again.descriptor)
        and np.array_equal(encoded.gates, again.gates)
        and np.array_equal(encoded.places, again.places)
        and np.array_equal(encoded.terms, again.terms)
        and np.array_equal(encoded.name, again.name)
    )
    if not same:
        raise damaged(f"expert {expert.name!r} is not in the form in which it was stored")
    return expert


def damaged(what: str) -> ExpertError:
    """The error for a table in memory that this package has not made."""
    return ExpertError(what, where="expert table", fix="load another image of the memory")
