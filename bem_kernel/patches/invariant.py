"""The invariants that a machine keeps: where they lie in memory, and whether they hold now.

They are a record in a protected region of PROOF, so they are in every image. That each expert
keeps them is proved when they are added, and of each expert when it comes; see `obligations`.

Source: BEM core spec 9.4 ("BAD state is unreachable"); BEM use 2.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from bb_core.canonical import canonical_json
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import PatchError
from bem_kernel.lanes import lane_mask
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.patches.patch import Invariant
from bem_kernel.patches.record import InvariantModel, invariant_record, refused_record

_REGION = "patches.invariants"
ROOM_BYTES = 1 << 15


def invariant_bytes(memory: Memory) -> bytes:
    """The record as it lies in memory; empty if there is none."""
    if not memory.has(Segment.PROOF, _REGION):
        return b""
    region: NDArray[np.uint8] = memory.region(Segment.PROOF, _REGION)
    return region.tobytes().rstrip(b"\0")


def read_invariants(memory: Memory) -> tuple[Invariant, ...]:
    """The invariants that a machine keeps.

    Raises:
        PatchError: the record is damaged.
        KernelError: an invariant in it is none.
    """
    found = invariant_bytes(memory)
    try:
        models = TypeAdapter(list[InvariantModel]).validate_json(found or b"[]")
    except ValidationError as error:
        raise refused_record(error, "memory PROOF.patches.invariants") from error
    return tuple(model.invariant() for model in models)


def write_invariants(memory: Memory, invariants: Sequence[Invariant]) -> None:
    """Set the invariants; without a proof that they are kept.

    Raises:
        PatchError: a bit does not exist, or they need too much room.
        SegmentError: PROOF has no room.
    """
    n_bits = memory.config.n_bits
    for invariant in invariants:
        if max(invariant.holds.bits, default=0) >= n_bits:
            raise PatchError(
                f"reads state bit {max(invariant.holds.bits)}, the machine has {n_bits}",
                where=f"invariant {invariant.name}",
                fix=f"use bits 0 to {n_bits - 1}",
            )
    record = canonical_json([invariant_record(each) for each in invariants]) if invariants else b""
    if len(record) > ROOM_BYTES:
        raise PatchError(
            f"{len(record)} bytes of invariants", where="patch", fix=f"use up to {ROOM_BYTES}"
        )
    if not memory.has(Segment.PROOF, _REGION):
        memory.allocate(Segment.PROOF, _REGION, np.uint8, (ROOM_BYTES,), protected=True)
    region = memory.region(Segment.PROOF, _REGION)
    region[:] = np.frombuffer(record.ljust(ROOM_BYTES, b"\0"), dtype=np.uint8)


def check_hold_now(memory: Memory, invariants: Sequence[Invariant]) -> None:
    """Refuse invariants that do not hold in the state as it is.

    Raises:
        PatchError: one does not; the message names it and a lane.
    """
    active = lane_mask(memory.config.lanes)
    for invariant in invariants:
        inputs = memory.planes[list(invariant.holds.bits)]
        words = ~evaluate(invariant.holds.circuit, inputs)[0] & active
        if words.any():
            word = int(np.flatnonzero(words)[0])
            lane = 64 * word + (int(words[word]) & -int(words[word])).bit_length() - 1
            raise PatchError(
                f"does not hold in lane {lane} now",
                where=f"invariant {invariant.name}",
                fix="bring the state in order first, or weaken it",
            )
