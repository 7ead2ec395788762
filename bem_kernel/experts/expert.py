"""Experts: Boolean step functions (s, M) -> (s', M') on the lanes' state and shared memory.

An expert reads x = R(s, M), computes y = C(x), and writes y back. Most experts read and write
fixed state bits (`reads`, `writes`); `gathers` and `scatters` add bits of shared memory, addresses
computed from it, and write masks. A condition confines an expert to the lanes in which one state
bit has one value. `transform` runs a batch of experts; `step` is the short form for experts that
leave shared memory alone.

Source: BEM core spec 2.3, 5.1, 6.5, 8.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.expression import atoms, compile_expressions
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import ExpertError
from bem_kernel.experts.place import Place, Scatter, Space, locate
from bem_kernel.lanes import WORD_BITS, Planes, Word, check_planes


@dataclass(frozen=True, slots=True)
class Condition:
    """The lanes in which an expert applies: those where a state bit has a value.

    Source: BEM core spec 8.3, gating conditions.
    """

    bit: int
    value: bool


@dataclass(frozen=True)
class Expert:
    """A total function on state and shared memory, the same in every lane.

    The circuit's inputs are the bits of `reads`, then those of `gathers`. Its outputs go to
    `writes`, then to `scatters`; outputs beyond these exist to enable scatters. A bit that two
    scatters of one lane write takes the later one.

    Attributes:
        name: for messages and listings.
        reads: state bits, the first inputs.
        circuit: what is computed.
        writes: state bits, each at most once, of the first outputs.
        gathers: the other inputs: bits of shared memory, or bits at computed addresses.
        scatters: the destinations of the outputs that follow.
        condition: where the expert applies; None: in every lane.

    Raises:
        ExpertError: a count does not match the circuit, or a bit is negative or written twice.
    """

    name: str
    reads: tuple[int, ...]
    circuit: Circuit
    writes: tuple[int, ...]
    gathers: tuple[Place, ...] = ()
    scatters: tuple[Scatter, ...] = ()
    condition: Condition | None = None

    def __post_init__(self) -> None:
        where = f"expert {self.name}"
        _check_count(where, "reads", self.n_reads, self.circuit.n_inputs)
        _check_outputs(where, self)
        bits = (*self.reads, *self.writes, *([self.condition.bit] if self.condition else ()))
        if min(bits, default=0) < 0:
            raise ExpertError("a state bit is negative", where=where, fix="use bits from 0 up")
        if len(set(self.writes)) != len(self.writes):
            raise ExpertError(
                "a state bit is written twice", where=where, fix="write each bit once"
            )

    @property
    def n_reads(self) -> int:
        """Number of bits read, from wherever: the circuit's inputs."""
        return len(self.reads) + len(self.gathers)

    @property
    def n_writes(self) -> int:
        """Number of destinations; circuit outputs beyond these enable scatters."""
        return len(self.writes) + len(self.scatters)

    @property
    def n_bits(self) -> int:
        """The smallest number of state bits this expert can run on, whatever M holds."""
        condition = () if self.condition is None else (self.condition.bit,)
        return 1 + max((*self.reads, *self.writes, *condition, *self._fixed()), default=-1)

    def _fixed(self) -> list[int]:
        places = (*self.gathers, *(scatter.place for scatter in self.scatters))
        return [p.base for p in places if p.space is Space.STATE and not p.terms]

    @property
    def uses_shared(self) -> bool:
        """Whether shared memory is read or written, be it for an address."""
        places = (*self.gathers, *(scatter.place for scatter in self.scatters))
        return any(place.space is Space.SHARED or place.terms for place in places)

    @cached_property
    def _reads_index(self) -> NDArray[np.intp]:
        return np.array(self.reads, dtype=np.intp)

    @cached_property
    def _writes_index(self) -> NDArray[np.intp]:
        return np.array(self.writes, dtype=np.intp)


def _check_count(where: str, what: str, have: int, need: int) -> None:
    if have != need:
        raise ExpertError(
            f"{what} names {have} bits, the circuit has {need}",
            where=where,
            fix=f"give one bit per {'input' if what == 'reads' else 'output'}",
        )


def _check_outputs(where: str, expert: Expert) -> None:
    n_outputs = expert.circuit.n_outputs
    enables = {scatter.enable for scatter in expert.scatters if scatter.enable is not None}
    if any(not 0 <= enable < n_outputs for enable in enables):
        raise ExpertError(
            f"a scatter is enabled by output {max(enables)}, the circuit has {n_outputs}",
            where=where,
            fix="name an output of the circuit",
        )
    extra = {output for output in enables if output >= expert.n_writes}
    _check_count(where, "writes", expert.n_writes + len(extra), n_outputs)


def expert_from_expressions(
    name: str, assignments: Mapping[str, str], bit_of: Mapping[str, int]
) -> Expert:
    """An expert from text: target bit <- expression over the state before the step.

    Args:
        name: the expert's name.
        assignments: expression per target atom, all evaluated on the old state.
        bit_of: state bit of every atom.

    Raises:
        ExpressionError: an expression does not parse or names an unknown atom.
        ExpertError: a target is not in `bit_of`.
    """
    for target in assignments:
        if target not in bit_of:
            raise ExpertError(
                f"unknown target {target!r}", where=f"expert {name}", fix="declare its bit first"
            )
    used = dict.fromkeys(atom for text in assignments.values() for atom in atoms(text))
    known = [atom for atom in used if atom in bit_of]
    circuit = compile_expressions(list(assignments.values()), known)
    return Expert(
        name,
        tuple(bit_of[atom] for atom in known),
        circuit,
        tuple(bit_of[target] for target in assignments),
    )


def step(expert: Expert, state: Planes, mask: Word | None = None) -> Planes:
    """Apply an expert that leaves shared memory alone, once in every lane.

    Args:
        expert: the step function.
        state: (N, words) uint64; not changed.
        mask: (words,) uint64, the lanes that step; the others keep their state. None: all lanes.

    Returns:
        (N, words) uint64, the next state.

    Raises:
        ShapeError: `state` is not (N, words) uint64.
        ExpertError: the expert needs more bits than the state has, uses shared memory, or `mask`
            has another width.
    """
    return step_batch([(expert, mask)], state)


def step_batch(batch: Sequence[tuple[Expert, Word | None]], state: Planes) -> Planes:
    """`transform` for experts that leave shared memory alone.

    Args:
        batch: experts with their lane masks, (words,) uint64 each; no lane may be in two masks.
            A mask of None means all lanes.
        state: (N, words) uint64; not changed.

    Returns:
        (N, words) uint64, the next state; lanes in no mask keep theirs.

    Raises:
        ShapeError: `state` is not (N, words) uint64.
        ExpertError: two masks share a lane, a mask has another width, or an expert does not fit
            or uses shared memory.

    Source: BEM core spec 6.5, BEM_EXPERT_BATCH.
    """
    for expert, _ in batch:
        if expert.uses_shared:
            raise ExpertError(
                "uses shared memory", where=f"expert {expert.name}", fix="call expert.transform"
            )
    return transform(batch, state, _NO_SHARED)[0]


_NO_SHARED: Word = np.zeros(0, dtype=np.uint64)


def transform(
    batch: Sequence[tuple[Expert, Word | None]], state: Planes, shared: Word
) -> tuple[Planes, Word]:
    """Apply several experts at once, each in its own lanes: (s, M) -> (s', M').

    All reads see state and shared memory as they were before the batch. Of the lanes that write
    one bit of shared memory the lowest wins, whichever experts they run, so the result does not
    depend on how lanes are grouped into experts.

    Args:
        batch: experts with their lane masks, (words,) uint64 each; no lane may be in two masks.
            A mask of None means all lanes, padding included: mask the padding where an expert
            writes shared memory.
        state: (N, words) uint64; not changed.
        shared: (K / 64,) uint64, shared memory M; not changed.

    Returns:
        The next state and the next shared memory; lanes in no mask keep their state.

    Raises:
        ShapeError: `state` is not (N, words) uint64.
        ExpertError: two masks share a lane, a mask has another width, an expert does not fit, or
            an address is out of range.

    Source: BEM core spec 5.1, 6.5, BEM_EXPERT_BATCH.
    """
    check_planes(state, where="expert.transform")
    if any(mask is not None for _, mask in batch) or len(batch) > 1:
        _check_masks(batch, state.shape[1])
    after, proposals = state.copy(), dict[int, tuple[int, bool]]()
    for expert, mask in batch:
        if expert.n_bits > state.shape[0]:
            raise ExpertError(
                f"needs {expert.n_bits} state bits, the state has {state.shape[0]}",
                where=f"expert {expert.name}",
                fix="use a larger state",
            )
        _apply(expert, mask, (state, shared), after, proposals)
    return after, _commit(shared, proposals)


def _apply(
    expert: Expert,
    mask: Word | None,
    before: tuple[Planes, Word],
    after: Planes,
    proposals: dict[int, tuple[int, bool]],
) -> None:
    """Run one expert on what was `before`; write state to `after`, and propose bits of M.

    A proposal is (lane, value) by bit; the one of the lowest lane is kept.
    """
    state, shared = before
    active = _active_lanes(expert, mask, state)
    inputs = state[expert._reads_index]
    if expert.gathers:
        inputs = np.concatenate([inputs, _gather(expert, state, shared)])
    outputs = evaluate(expert.circuit, inputs)
    index, n_writes = expert._writes_index, len(expert.writes)
    written = outputs[:n_writes]
    if active is not None:
        written = (after[index] & ~active) | (written & active)
    after[index] = written
    for scatter, value in zip(expert.scatters, outputs[n_writes:], strict=False):
        bit = locate(scatter.place, len(state), shared, f"expert {expert.name}")
        lanes = np.invert(np.zeros_like(value)) if active is None else active
        if scatter.enable is not None:
            lanes = lanes & outputs[scatter.enable]
        if scatter.place.space is Space.STATE:
            after[bit] = (after[bit] & ~lanes) | (value & lanes)
        elif (lane := _lowest_lane(lanes)) is not None:
            word, j = divmod(lane, WORD_BITS)
            if bit not in proposals or lane <= proposals[bit][0]:  # of one lane, the later write
                proposals[bit] = (lane, bool(int(value[word]) >> j & 1))


def _active_lanes(expert: Expert, mask: Word | None, state: Planes) -> Word | None:
    """The lanes in which an expert applies, None for all."""
    if expert.condition is None:
        return mask
    bit: Word = state[expert.condition.bit]
    lanes: Word = bit if expert.condition.value else ~bit
    return lanes if mask is None else lanes & mask


def _gather(expert: Expert, state: Planes, shared: Word) -> Planes:
    """(len(gathers), words) uint64, the inputs that are not fixed state bits."""
    rows = np.empty((len(expert.gathers), state.shape[1]), dtype=np.uint64)
    full = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    for row, place in zip(rows, expert.gathers, strict=True):
        bit = locate(place, len(state), shared, f"expert {expert.name}")
        if place.space is Space.STATE:
            row[:] = state[bit]
        else:
            word, j = divmod(bit, WORD_BITS)
            row[:] = full if int(shared[word]) >> j & 1 else 0
    return rows


def _lowest_lane(lanes: Word) -> int | None:
    """The first lane set in a word, None if there is none."""
    words = np.flatnonzero(lanes)
    if not len(words):
        return None
    first = int(lanes[words[0]])
    return WORD_BITS * int(words[0]) + (first & -first).bit_length() - 1


def _commit(shared: Word, proposals: Mapping[int, tuple[int, bool]]) -> Word:
    after = shared.copy()
    for bit, (_, value) in proposals.items():
        word, j = divmod(bit, WORD_BITS)
        one = np.uint64(1 << j)
        after[word] = after[word] | one if value else after[word] & ~one
    return after


def _check_masks(batch: Sequence[tuple[Expert, Word | None]], words: int) -> None:
    taken = np.zeros(words, dtype=np.uint64)
    for position, (expert, mask) in enumerate(batch):
        lanes = np.invert(np.zeros(words, dtype=np.uint64)) if mask is None else mask
        if lanes.shape != (words,) or lanes.dtype != np.uint64:
            raise ExpertError(
                f"mask is {lanes.dtype} of shape {lanes.shape}, the state has {words} words",
                where=f"expert {expert.name}",
                fix="give (words,) uint64",
            )
        if position and (taken & lanes).any():
            raise ExpertError(
                "a lane is in the masks of two experts",
                where=f"expert {expert.name}",
                fix="make the masks disjoint",
            )
        taken |= lanes
