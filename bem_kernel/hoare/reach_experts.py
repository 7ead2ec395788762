"""The experts of a machine as a transition system: what no sequence of their steps may reach.

The state is that of one lane, with shared memory M. In each step one expert runs, whichever the
policy may choose, or none. An address that does not exist stops the machine, so such a step is not
allowed. Where other lanes run too, or for a claim that is to hold whatever M is, M is free: in
each step it may be anything.

Source: BEM core spec 5.1, 6.5, 9.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import HoareError
from bem_kernel.experts.check import check_fits
from bem_kernel.experts.expert import Expert, transform
from bem_kernel.hoare.experts import expert_effect
from bem_kernel.hoare.transition import ANY_STATE, Path, TransitionSystem, states_of
from bem_kernel.hoare.words import WIDTH, Word, WordBuilder
from bem_kernel.lanes import WORD_BITS, Planes, pack_bits, unpack_bits
from bem_kernel.lanes import Word as LaneWord


class Claim(NamedTuple):
    """A condition on the state bits of a lane.

    Attributes:
        bits: state bits, the circuit's inputs.
        holds: one output.
    """

    bits: tuple[int, ...]
    holds: Circuit


@dataclass(frozen=True)
class Start:
    """Where runs begin: in the state of any lane.

    Attributes:
        planes: (N, words) uint64.
        lanes: in use.
        shared: (K / 64,) uint64, M; None: it may be anything, in each step.
    """

    planes: Planes
    lanes: int
    shared: LaneWord | None


class ExpertStep(NamedTuple):
    """A step of a run.

    Attributes:
        expert: position of the expert that ran; None: none did.
        state: (N,) bool, before the step.
        shared: (K,) bool, M before the step; empty where it may be anything and nothing reads it.
    """

    expert: int | None
    state: NDArray[np.bool_]
    shared: NDArray[np.bool_]


@dataclass(frozen=True)
class _Bits:
    """State bit b is the one bit of word b; the words of M come after them."""

    n_bits: int
    n_shared_bits: int

    def plane(self, bit: int) -> int:
        """The word of a state bit."""
        return bit

    def shared_bit(self, bit: int) -> tuple[int, int]:
        """The word of a bit of M, and which of its bits it is."""
        return self.n_bits + bit // WIDTH, bit % WIDTH


@dataclass(frozen=True)
class ExpertSystem:
    """A machine's experts, their transition system, and what is bad.

    Attributes:
        experts: that may run.
        system: the state bits, then those of M unless they are free; free inputs are the number
            of the expert that runs, then the bits of M if they are free.
        bad: what must not be.
        n_shared: bits of M.
    """

    experts: tuple[Expert, ...]
    system: TransitionSystem
    n_bits: int
    n_shared: int
    bad: Claim

    def steps(self, path: Path) -> tuple[ExpertStep, ...]:
        """A path, replayed by the experts themselves.

        Returns:
            Its steps; in the state before the last one BAD holds.

        Raises:
            HoareError: the experts do something else, which is a defect of the model.
        """
        found = []
        states = states_of(self.system, path)
        n_choice = self.system.n_free - (0 if self._shared_is_state else self.n_shared)
        for state, inputs in zip(states, path.inputs, strict=True):
            number = sum(1 << i for i, bit in enumerate(inputs[:n_choice].tolist()) if bit)
            shared = state[self.n_bits :] if self._shared_is_state else inputs[n_choice:]
            chosen = number if number < len(self.experts) else None
            found.append(ExpertStep(chosen, state[: self.n_bits], shared))
        for before, after in pairwise(found):
            self._check_step(before, after)
        if not _holds(self.bad, found[-1].state):
            raise _differs("BAD does not hold in the last state")
        return tuple(found)

    @property
    def _shared_is_state(self) -> bool:
        return self.system.n_state > self.n_bits

    def _check_step(self, before: ExpertStep, after: ExpertStep) -> None:
        state, shared = pack_bits(before.state[None, :]), _words(before.shared)
        if before.expert is not None:
            lane = np.ones(1, dtype=np.uint64)
            batch = [(self.experts[before.expert], lane)]
            state, shared = transform(batch, state, shared)
        same = np.array_equal(unpack_bits(state, 1)[0], after.state)
        if self._shared_is_state:
            same = same and np.array_equal(shared, _words(after.shared))
        if not same:
            raise _differs("an expert does something else")


def expert_system(
    experts: Sequence[Expert],
    start: Start,
    bad: Claim,
    *,
    n_shared_bits: int,
    assumed: Sequence[Claim] = (),
) -> ExpertSystem:
    """The transition system of some experts.

    Args:
        experts: that may run.
        start: where runs begin.
        bad: what must not be reached.
        n_shared_bits: K.
        assumed: what is known to hold in every state that is reached, such as kept invariants.

    Raises:
        ExpertError: an expert does not fit.
        HoareError: a claim names a bit that does not exist, or there is too much of everything.
    """
    n_bits = len(start.planes)
    _check_fits(experts, (bad, *assumed), n_bits, n_shared_bits)
    builder, layout = WordBuilder(), _Bits(n_bits, n_shared_bits)
    state, shared = builder.fresh(n_bits), builder.fresh(n_shared_bits)
    choice = builder.fresh(len(experts).bit_length())
    words: dict[int, Word] = {bit: (slot,) for bit, slot in enumerate(state)}
    for at in range(0, n_shared_bits, WIDTH):
        words[n_bits + at // WIDTH] = shared[at : at + WIDTH]
    first, also, initial = _beginning(start, n_shared_bits)
    after, fault = _after_one(builder, layout, experts, choice, words)
    known = [_claimed(builder, claim, state) for claim in assumed]
    allowed = builder.and_(builder.not_(fault), builder.all(known))
    exact = start.shared is not None
    following = [slot for place in sorted(after) for slot in after[place]]
    outputs = [*following[: len(first)], allowed, _claimed(builder, bad, state)]
    inputs = (*state, *shared, *choice) if exact else (*state, *choice, *shared)
    circuit = builder.circuit(outputs, inputs)
    system = TransitionSystem(first, circuit, also, initial)
    return ExpertSystem(tuple(experts), system, n_bits, n_shared_bits, bad)


def _after_one(
    builder: WordBuilder,
    layout: _Bits,
    experts: Sequence[Expert],
    choice: Word,
    words: Mapping[int, Word],
) -> tuple[dict[int, Word], int]:
    """The words after the expert whose number is chosen has run, and whether it faults."""
    after, fault = dict(words), builder.zero
    for number, expert in enumerate(experts):
        runs = builder.equals(choice, number)
        changed, faulty = expert_effect(builder, layout, expert, words)
        fault = builder.or_(fault, builder.and_(runs, faulty))
        for place, word in changed.items():
            after[place] = builder.choose(runs, after[place], word)
    return after, fault


def _claimed(builder: WordBuilder, claim: Claim, state: Word) -> int:
    return builder.embed(claim.holds, [state[bit] for bit in claim.bits])[0]


def _beginning(
    start: Start, n_shared_bits: int
) -> tuple[tuple[bool | None, ...], tuple[int, ...], Circuit]:
    """The value of each bit in all lanes, the bits in which they differ, and their states."""
    rows = np.unique(unpack_bits(start.planes, start.lanes), axis=0)
    same = (rows == rows[0]).all(axis=0)
    first: list[bool | None] = [bool(v) if s else None for v, s in zip(rows[0], same, strict=True)]
    if start.shared is not None:
        bits = unpack_bits(start.shared[:, None], WORD_BITS).T.ravel()
        first += [bool(bit) for bit in bits[:n_shared_bits]]
    also = tuple(np.flatnonzero(~same).tolist())
    if not also:
        return tuple(first), (), ANY_STATE
    builder = CircuitBuilder(len(also))
    found = builder.const(False)
    for row in rows[:, list(also)].tolist():
        lane = builder.const(True)
        for i, value in enumerate(row):
            lane = builder.and_(lane, i if value else builder.not_(i))
        found = builder.or_(found, lane)
    return tuple(first), also, builder.build([found])


def _check_fits(
    experts: Sequence[Expert], claims: Sequence[Claim], n_bits: int, n_shared_bits: int
) -> None:
    for expert in experts:
        check_fits(expert, n_bits, n_shared_bits)
    last = max((bit for claim in claims for bit in claim.bits), default=0)
    if last >= n_bits:
        raise HoareError(
            f"a claim about state bit {last}", where="reach", fix=f"use bits 0 to {n_bits - 1}"
        )


def _holds(claim: Claim, state: NDArray[np.bool_]) -> bool:
    row = state[list(claim.bits)][None, :]
    return bool(unpack_bits(evaluate(claim.holds, pack_bits(row)), 1)[0, 0])


def _words(bits: NDArray[np.bool_]) -> LaneWord:
    """(K,) bool as (K / 64,) uint64."""
    words: LaneWord = np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)
    return words


def _differs(what: str) -> HoareError:
    return HoareError(
        f"the experts do not follow the path: {what}",
        where="reach",
        fix="report the machine: model and experts differ",
    )
