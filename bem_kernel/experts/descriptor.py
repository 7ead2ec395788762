"""How an expert lies in the table: columns of its descriptor, and its rows in the arenas.

A descriptor is a row of 64-bit integers; gates, places and address terms lie in arenas that all
experts share, each expert's in one run. The numbers of the columns are part of the stored form.

Source: BEM core spec 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.engines.packed import pack_gates
from bem_kernel.errors import ExpertError
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.place import Field, Place, Scatter, Space, state_bit

# Columns of a descriptor.
IDENTIFIER: Final = 0
FIRST_GATE: Final = 1
N_GATES: Final = 2
FIRST_PLACE: Final = 3
N_INPUTS: Final = 4
N_READS: Final = 5
"""Inputs that are fixed state bits; they come first."""
N_OUTPUTS: Final = 6
N_WRITES: Final = 7
"""Outputs that go to fixed state bits; they come first."""
N_TARGETS: Final = 8
"""Outputs that go anywhere; the others only enable scatters."""
FIRST_TERM: Final = 9
N_TERMS: Final = 10
CONDITION_BIT: Final = 11
"""-1: the expert applies in every lane."""
CONDITION_VALUE: Final = 12
DESCRIPTOR_COLUMNS: Final = 16

# Columns of a place: one row per input, then one per output.
SPACE: Final = 0
BASE: Final = 1
PLACE_FIRST_TERM: Final = 2
"""Index among the expert's own terms."""
PLACE_N_TERMS: Final = 3
SLOT: Final = 4
"""Outputs: the circuit slot that holds the value."""
ENABLE: Final = 5
"""Outputs: the output that enables the write, -1 for none."""
PLACE_COLUMNS: Final = 6

# Columns of an address term.
STRIDE: Final = 0
OFFSET: Final = 1
WIDTH: Final = 2
TERM_COLUMNS: Final = 3

SPACE_STATE: Final = 0
SPACE_SHARED: Final = 1
"""The values of `place.Space`, for kernels."""

NAME_BYTES: Final = 64
"""Longest name that the table keeps, in UTF-8."""


@dataclass(frozen=True)
class Encoded:
    """An expert as arrays.

    Attributes:
        descriptor: (DESCRIPTOR_COLUMNS,) int64, with the first indices and identifier still 0.
        gates: (G, 3) int32.
        places: (inputs + outputs, PLACE_COLUMNS) int64.
        terms: (T, TERM_COLUMNS) int64.
        name: (NAME_BYTES,) uint8, padded with zeros.
    """

    descriptor: NDArray[np.int64]
    gates: NDArray[np.int32]
    places: NDArray[np.int64]
    terms: NDArray[np.int64]
    name: NDArray[np.uint8]


def encode_expert(expert: Expert) -> Encoded:
    """The arrays of an expert.

    Raises:
        ExpertError: its name is longer than 64 bytes of UTF-8 or ends with NUL.
    """
    terms: list[tuple[int, int, int]] = []
    places = [
        _place_row(place, terms, 0, -1)
        for place in (*map(state_bit, expert.reads), *expert.gathers)
    ]
    targets = (*(Scatter(state_bit(bit)) for bit in expert.writes), *expert.scatters)
    outputs = expert.circuit.outputs
    for target, slot in zip(targets, outputs, strict=False):
        enable = -1 if target.enable is None else target.enable
        places.append(_place_row(target.place, terms, slot, enable))
    places += [(SPACE_STATE, 0, 0, 0, slot, -1) for slot in outputs[len(targets) :]]
    row = np.zeros(DESCRIPTOR_COLUMNS, dtype=np.int64)
    condition = expert.condition
    for column, value in (
        (N_GATES, len(expert.circuit.gates)),
        (N_INPUTS, expert.circuit.n_inputs),
        (N_READS, len(expert.reads)),
        (N_OUTPUTS, len(outputs)),
        (N_WRITES, len(expert.writes)),
        (N_TARGETS, len(targets)),
        (N_TERMS, len(terms)),
        (CONDITION_BIT, -1 if condition is None else condition.bit),
        (CONDITION_VALUE, 0 if condition is None else int(condition.value)),
    ):
        row[column] = value
    return Encoded(
        row,
        pack_gates(expert.circuit),
        np.array(places, dtype=np.int64).reshape(-1, PLACE_COLUMNS),
        np.array(terms, dtype=np.int64).reshape(-1, TERM_COLUMNS),
        _encode_name(expert.name),
    )


def _place_row(
    place: Place, terms: list[tuple[int, int, int]], slot: int, enable: int
) -> tuple[int, int, int, int, int, int]:
    first = len(terms)
    terms += [(stride, field.offset, field.width) for field, stride in place.terms]
    return (int(place.space), place.base, first, len(place.terms), slot, enable)


def _encode_name(name: str) -> NDArray[np.uint8]:
    octets = name.encode()
    if len(octets) > NAME_BYTES or name.endswith("\0"):
        raise ExpertError(
            f"a name of {len(octets)} bytes",
            where=f"expert {name!r}",
            fix=f"use at most {NAME_BYTES} bytes, the last not NUL",
        )
    return np.frombuffer(octets.ljust(NAME_BYTES, b"\0"), dtype=np.uint8)


def decode_expert(encoded: Encoded) -> Expert:
    """The expert of these arrays; inverse of `encode_expert`.

    Raises:
        ExpertError: a place, a count, the condition or the name is none that `encode_expert` makes.
        CircuitError: the gates are no circuit.
    """
    row = [int(value) for value in encoded.descriptor]
    places = encoded.places.tolist()
    reads, outputs = places[: row[N_INPUTS]], places[row[N_INPUTS] :]
    targets = outputs[: row[N_TARGETS]]
    name = encoded.name.tobytes().rstrip(b"\0").decode(errors="replace")
    try:
        gates = tuple(Gate(Op(op), a, b) for op, a, b in encoded.gates.tolist())
        gathers = [_decode_place(r, encoded.terms) for r in reads[row[N_READS] :]]
        scatters = [_decode_scatter(r, encoded.terms) for r in targets[row[N_WRITES] :]]
    except ValueError as error:
        raise ExpertError(
            f"damaged descriptor: {error}",
            where=f"expert {name!r}",
            fix="restore the table from an image",
        ) from error
    return Expert(
        name,
        tuple(r[BASE] for r in reads[: row[N_READS]]),
        Circuit(row[N_INPUTS], gates, tuple(r[SLOT] for r in outputs)),
        tuple(r[BASE] for r in targets[: row[N_WRITES]]),
        tuple(gathers),
        tuple(scatters),
        None
        if row[CONDITION_BIT] < 0
        else Condition(row[CONDITION_BIT], bool(row[CONDITION_VALUE])),
    )


def _decode_place(row: list[int], terms: NDArray[np.int64]) -> Place:
    first, count = row[PLACE_FIRST_TERM], row[PLACE_N_TERMS]
    if not 0 <= first <= first + count <= len(terms):
        raise ValueError(f"terms {first} to {first + count}, the expert has {len(terms)}")
    own = terms[first : first + count].tolist()
    return Place(
        Space(row[SPACE]),
        row[BASE],
        tuple((Field(offset, width), stride) for stride, offset, width in own),
    )


def _decode_scatter(row: list[int], terms: NDArray[np.int64]) -> Scatter:
    enable = row[ENABLE]
    return Scatter(_decode_place(row, terms), None if enable < 0 else enable)
