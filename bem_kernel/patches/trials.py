"""Counterfactual replay: what would have been earned, had one choice or one output been another.

A trial goes back to the state before a step, lets another expert run there, or the same one with
an output inverted, and goes on for a few steps as the machine would have. Random numbers depend on
the number of the step alone, so the two courses differ in nothing else.

Source: BEM core spec 8.2 ("other credit assignment mechanisms").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import KernelError
from bem_kernel.experts.expert import Expert, transform
from bem_kernel.lanes import Bits, Word, lane_mask, pack_bits, unpack_bits
from bem_kernel.patches.replay import CompiledFromOutside, Moment, Playback
from bem_kernel.runner.layout import HEAD, STEP, TAIL

MOST_LANES = 16
"""Lanes tried one by one, where what one does may change what another earns."""

Batch = Sequence[tuple[Expert, Word | None]]


@dataclass(frozen=True, eq=False)
class Trials:
    """Inverting the outputs of one expert in one step.

    Attributes:
        identifier: of the expert.
        bits: (rows, N) bool, the state before, a row for each lane tried.
        gains: (rows, outputs) int64, reward gained by inverting an output in that lane.
    """

    identifier: int
    bits: Bits
    gains: NDArray[np.int64]


class Laboratory:
    """Where steps of a playback are tried anew; the playback's machine is used up.

    Args:
        playback: of a run.
        horizon: steps whose rewards count, the one that is tried included.
    """

    def __init__(self, playback: Playback, horizon: int = 1) -> None:
        self._playback = playback
        self._horizon = horizon
        world = playback.world
        self._lanewise = (
            world
            if isinstance(world, CompiledFromOutside) and horizon == 1 and world.is_separable
            else None
        )
        config = playback.machine.memory.config
        self._active = lane_mask(config.lanes)

    def batch(self, moment: Moment) -> list[tuple[int, Word]]:
        """Who ran in which lanes: identifiers with masks."""
        words: dict[int, Word] = {}
        for choice in moment.choices:
            mask = words.setdefault(choice.expert, np.zeros_like(self._active))
            if choice.lane is None:
                mask |= self._active
            else:
                mask[choice.lane >> 6] |= np.uint64(1 << (choice.lane & 63))
        return list(words.items())

    def invert_outputs(self, moment: Moment, identifier: int) -> Trials:
        """Try each output of an expert in each lane where the step chose it and it applies.

        Where lanes are separate all are tried at once, else `MOST_LANES` of them one by one.
        """
        chosen = self.batch(moment)
        others = [(self._expert(word), mask) for word, mask in chosen if word != identifier]
        expert, own = self._expert(identifier), dict(chosen)[identifier]
        together = self._lanewise is not None and not expert.uses_shared
        lanes = self._lanes(moment, expert, own)
        if not together and len(lanes) > MOST_LANES:
            lanes = lanes[np.arange(MOST_LANES) * len(lanes) // MOST_LANES]
        actual = self._earned(moment, [*others, (expert, own)])
        n_outputs = expert.circuit.n_outputs
        gains = np.zeros((len(lanes), n_outputs), dtype=np.int64)
        groups = [np.arange(len(lanes))] if together else [np.array([i]) for i in range(len(lanes))]
        for output in range(n_outputs):
            inverted = replace(expert, circuit=with_inverted(expert.circuit, output))
            for rows in groups:
                tried = _mask(lanes[rows], len(own))
                course = [*others, (expert, own & ~tried), (inverted, tried)]
                gain = self._earned(moment, course) - actual
                gains[rows, output] = gain[lanes[rows]] if together else gain.sum()
        bits = unpack_bits(moment.planes, int(self._playback.machine.memory.config.lanes))
        return Trials(identifier, bits[lanes], gains)

    def swap_experts(self, moment: Moment) -> dict[int, int]:
        """The reward gained by each other candidate, had it run wherever one was chosen.

        Returns:
            Gain by identifier; nothing for experts that would have stopped the machine.
        """
        found: dict[int, int] = {}
        chosen = self.batch(moment)
        actual = int(self._earned(moment, [(self._expert(w), m) for w, m in chosen]).sum())
        for identifier in self._candidates(moment):
            expert = self._expert(identifier)
            try:
                earned = int(self._earned(moment, [(expert, self._active)]).sum())
            except KernelError:  # an address out of range
                continue
            if len(chosen) > 1 or identifier != chosen[0][0]:
                found[identifier] = earned - actual
        return found

    def _candidates(self, moment: Moment) -> Iterator[int]:
        machine = self._playback.machine
        seen = dict.fromkeys(choice.observation for choice in moment.choices)
        yield from dict.fromkeys(word for each in seen for word in machine.candidates(each))

    def _expert(self, identifier: int) -> Expert:
        return self._playback.machine.table.expert(identifier)

    def _lanes(self, moment: Moment, expert: Expert, mask: Word) -> NDArray[np.intp]:
        """The lanes of a mask in which an expert applies."""
        if expert.condition is not None:
            bit: Word = moment.planes[expert.condition.bit]
            mask = mask & (bit if expert.condition.value else ~bit)
        lanes = self._playback.machine.memory.config.lanes
        return np.flatnonzero(unpack_bits(mask[None], lanes)[:, 0])

    def _earned(self, moment: Moment, batch: Batch) -> NDArray[np.int64]:
        """Rewards from a step on: by lane where lanes are separate, else one number.

        Raises:
            ExpertError: an expert computes an address that does not exist.
        """
        machine, world = self._playback.machine, self._playback.world
        memory, clock = machine.memory, machine.arrays.clock
        running = [(expert, mask) for expert, mask in batch if mask is None or mask.any()]
        planes, shared = transform(running, moment.planes, moment.shared)
        memory.planes[:], memory.shared_bits[:] = planes, shared
        clock[STEP], clock[TAIL] = moment.step, clock[HEAD]
        rewards = np.atleast_1d(np.asarray(world.reward(memory, moment.step), dtype=np.int64))
        if self._lanewise is not None:
            return self._lanewise.lane_rewards(memory)
        total = rewards.sum()
        for _ in range(self._horizon - 1):
            total += self._go_on()
        return np.array([total])

    def _go_on(self) -> int:
        """One more step as the machine would take it, with the weights that it has learned."""
        from bem_kernel.runner.fast_path import act

        machine, world = self._playback.machine, self._playback.world
        clock = machine.arrays.clock
        clock[STEP] += 1
        step = int(clock[STEP])
        world.prepare(machine.memory, step)
        if int(act(machine.arrays.machine())) != 0:
            return 0  # the machine stops here: there is nothing more to earn
        return int(np.sum(world.reward(machine.memory, step)))


def with_inverted(circuit: Circuit, output: int) -> Circuit:
    """A circuit with one output the other way round."""
    outputs = list(circuit.outputs)
    gate = Gate(Op.NOT, outputs[output])
    outputs[output] = circuit.n_slots
    return Circuit(circuit.n_inputs, (*circuit.gates, gate), tuple(outputs))


def _mask(lanes: NDArray[np.intp], words: int) -> Word:
    bits = np.zeros((64 * words, 1), dtype=np.bool_)
    bits[lanes] = True
    mask: Word = pack_bits(bits)[0]
    return mask
