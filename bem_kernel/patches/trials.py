"""Counterfactual replay: what would have been earned, had one choice or one output been another.

A trial goes back to the state before a step, lets another expert run there, or the same one with
an output inverted, and goes on for a few steps as the machine would have. Random numbers depend on
the number of the step alone, so the two courses differ in nothing else.

Source: BEM core spec 8.2 ("other credit assignment mechanisms").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import KernelError
from bem_kernel.experts.expert import Expert, transform
from bem_kernel.lanes import Bits, Word, lane_mask, unpack_bits
from bem_kernel.patches.replay import CompiledFromOutside, Moment, Playback
from bem_kernel.runner.layout import HEAD, STEP, TAIL

MOST_LANES = 16
"""Lanes tried one by one, where what one does may change what another earns."""

MOST_SWAPS = 64
"""Candidates tried in one step."""

Batch = Sequence[tuple[Expert, Word | None]]


@dataclass(frozen=True, eq=False)
class Trials:
    """Inverting the outputs of one expert in one step.

    Attributes:
        lanes: (rows,) the lanes tried.
        bits: (rows, N) bool, the state before.
        gains: (rows, outputs) int64, reward gained by inverting an output in that lane.
    """

    lanes: NDArray[np.intp]
    bits: Bits
    gains: NDArray[np.int64]


class Laboratory:
    """Where steps of a playback are tried anew; the playback's machine is used up.

    Attributes:
        playback: of a run.
        horizon: steps whose rewards count, the one that is tried included.
    """

    def __init__(self, playback: Playback, horizon: int = 1) -> None:
        self.playback = playback
        self.horizon = horizon
        world = playback.world
        self._lanewise = (
            world
            if isinstance(world, CompiledFromOutside) and horizon == 1 and world.is_separable
            else None
        )
        self._active = lane_mask(playback.machine.memory.config.lanes)
        self._experts: dict[tuple[int, int | None], Expert] = {}
        self._batches: dict[int, dict[int, Word]] = {}
        self._tried: dict[int, dict[int, Trials]] = {}

    def batch(self, moment: Moment) -> dict[int, Word]:
        """Who ran in which lanes: masks by identifier."""
        if moment.step not in self._batches:
            masks: dict[int, Word] = {}
            for choice in moment.choices:
                mask = masks.setdefault(choice.expert, np.zeros_like(self._active))
                if choice.lane is None:
                    mask |= self._active
                else:
                    mask[choice.lane >> 6] |= np.uint64(1 << (choice.lane & 63))
            self._batches[moment.step] = masks
        return self._batches[moment.step]

    def invert_outputs(self, moment: Moment) -> dict[int, Trials]:
        """Try each output of each expert that ran, in each lane where it ran and applies.

        Where lanes are separate all are tried at once, else `MOST_LANES` of them one by one.

        Returns:
            By identifier.
        """
        if moment.step not in self._tried:
            chosen = self.batch(moment)
            alone = not any(self._expert(word).uses_shared for word in chosen)
            trial = self._invert_together if self._lanewise and alone else self._invert_each
            self._tried[moment.step] = trial(moment, chosen)
        return self._tried[moment.step]

    def swap_experts(self, moment: Moment) -> dict[int, int]:
        """The reward gained by each other candidate, had it run in the lanes that it was one for.

        Where a reward is shared by lanes that chose for themselves, it runs in all of them.

        Returns:
            Gain by identifier, of up to `MOST_SWAPS` of them; none for experts that would have
            stopped the machine.
        """
        chosen = self.batch(moment)
        actual = self._earned(moment, [(self._expert(w), mask) for w, mask in chosen.items()])
        machine, found = self.playback.machine, dict[int, int]()
        wanted: dict[int, list[int]] = {}
        for choice in moment.choices:
            for word in machine.candidates(choice.observation):
                wanted.setdefault(word, []).append(0 if choice.lane is None else choice.lane)
        for word in list(wanted)[:MOST_SWAPS]:
            try:
                gain = self._earned(moment, [(self._expert(word), self._active)]) - actual
            except KernelError:  # an address out of range
                continue
            own = self._lanewise and moment.choices[0].lane is not None
            found[word] = int((gain[wanted[word]] if own else gain).sum())
        if len(chosen) == 1:
            found.pop(next(iter(chosen)), None)
        return found

    def _invert_together(self, moment: Moment, chosen: Mapping[int, Word]) -> dict[int, Trials]:
        """One run for each output, in which every lane has it inverted."""
        actual = self._earned(moment, [(self._expert(w), mask) for w, mask in chosen.items()])
        found = {}
        for word, mask in chosen.items():
            lanes = self._lanes(moment, self._expert(word), mask)
            found[word] = self._no_trials(moment, word, lanes)
        for output in range(max(trials.gains.shape[1] for trials in found.values())):
            course = [
                (self._expert(word, output), mask)
                for word, mask in chosen.items()
                if output < found[word].gains.shape[1]
            ]
            gain = self._earned(moment, course) - actual
            for trials in found.values():
                if output < trials.gains.shape[1]:
                    trials.gains[:, output] = gain[trials.lanes]
        return found

    def _invert_each(self, moment: Moment, chosen: Mapping[int, Word]) -> dict[int, Trials]:
        """One run for each output of each expert in each lane."""
        course = [(self._expert(word), mask) for word, mask in chosen.items()]
        actual = int(self._earned(moment, course).sum())
        found = {}
        for word, mask in chosen.items():
            others = [(self._expert(other), m) for other, m in chosen.items() if other != word]
            lanes = self._lanes(moment, self._expert(word), mask)
            if len(lanes) > MOST_LANES:
                lanes = lanes[np.arange(MOST_LANES) * len(lanes) // MOST_LANES]
            found[word] = self._no_trials(moment, word, lanes)
            for row, lane in enumerate(lanes):
                one = _mask(lane, len(mask))
                for output in range(found[word].gains.shape[1]):
                    own = [(self._expert(word), mask & ~one), (self._expert(word, output), one)]
                    gain = self._gained(moment, [*others, *own], actual)
                    found[word].gains[row, output] = gain
        return found

    def _gained(self, moment: Moment, batch: Batch, actual: int) -> int:
        """What another course earns more; one that stops the machine loses all there is to lose."""
        try:
            return int(self._earned(moment, batch).sum()) - actual
        except KernelError:  # the world's expert computes an address that does not exist
            limits = self.playback.limits
            return self.horizon * (limits.least - limits.greatest)

    def _no_trials(self, moment: Moment, word: int, lanes: NDArray[np.intp]) -> Trials:
        bits = unpack_bits(moment.planes, self.playback.machine.memory.config.lanes)[lanes]
        n_outputs = self._expert(word).circuit.n_outputs
        return Trials(lanes, bits, np.zeros((len(lanes), n_outputs), dtype=np.int64))

    def _expert(self, word: int, inverted: int | None = None) -> Expert:
        """An expert of the machine, or the same with an output inverted."""
        if (word, inverted) not in self._experts:
            if inverted is None:
                expert = self.playback.machine.table.expert(word)
            else:
                plain = self._expert(word)
                expert = replace(plain, circuit=with_inverted(plain.circuit, inverted))
            self._experts[word, inverted] = expert
        return self._experts[word, inverted]

    def _lanes(self, moment: Moment, expert: Expert, mask: Word) -> NDArray[np.intp]:
        """The lanes of a mask in which an expert applies."""
        if expert.condition is not None:
            bit: Word = moment.planes[expert.condition.bit]
            mask = mask & (bit if expert.condition.value else ~bit)
        lanes = self.playback.machine.memory.config.lanes
        return np.flatnonzero(unpack_bits(mask[None], lanes)[:, 0])

    def _earned(self, moment: Moment, batch: Batch) -> NDArray[np.int64]:
        """Rewards from a step on: by lane where lanes are separate, else one number.

        Raises:
            ExpertError: an expert computes an address that does not exist.
        """
        machine, world = self.playback.machine, self.playback.world
        memory, clock = machine.memory, machine.arrays.clock
        running = [(expert, mask) for expert, mask in batch if mask is None or mask.any()]
        planes, shared = transform(running, moment.planes, moment.shared)
        memory.planes[:], memory.shared_bits[:] = planes, shared
        clock[STEP], clock[TAIL] = moment.step, clock[HEAD]
        rewards = np.atleast_1d(np.asarray(world.reward(memory, moment.step), dtype=np.int64))
        if self._lanewise is not None:
            return self._lanewise.lane_rewards(memory)
        total = rewards.sum()
        for _ in range(self.horizon - 1):
            total += self._go_on()
        return np.array([total])

    def _go_on(self) -> int:
        """One more step as the machine would take it, with the weights that it has learned."""
        from bem_kernel.runner.fast_path import act

        machine, world = self.playback.machine, self.playback.world
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


def _mask(lane: int, words: int) -> Word:
    mask = np.zeros(words, dtype=np.uint64)
    mask[lane >> 6] = np.uint64(1 << (lane & 63))
    return mask
