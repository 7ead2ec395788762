"""Transition systems as circuits: what "BAD is unreachable" is asked of.

A state is a row of bits. In each step free inputs choose among the ways to go on: which expert
runs, what a host answers. One circuit computes from state and inputs the next state, whether the
step is allowed, and whether it is bad; a run is bad if all its steps are allowed and the last one
is bad.

Source: BEM core spec 9.4; Biere 2011 (AIGER 1.9: latches, constraints, bad states).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.builder import prune
from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op
from bem_kernel.circuits.composition import support
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import HoareError
from bem_kernel.lanes import pack_bits, unpack_bits

ANY_STATE = Circuit(0, (Gate(Op.CONST1),), (0,))


@dataclass(frozen=True)
class TransitionSystem:
    """States, where runs begin, and their steps.

    Attributes:
        first: for each state bit its value at the beginning, None if it may be either.
        step: inputs are the state and then the free inputs; outputs are the next state, whether
            the step is allowed, and whether it is bad.
        also: state bits that `initial` reads.
        initial: one output; a run begins only where it is 1.

    Raises:
        HoareError: a circuit has not as many inputs and outputs as that takes.
    """

    first: tuple[bool | None, ...]
    step: Circuit
    also: tuple[int, ...] = ()
    initial: Circuit = ANY_STATE

    def __post_init__(self) -> None:
        fits = self.step.n_outputs == self.n_state + 2 and self.step.n_inputs >= self.n_state
        if not fits or (self.initial.n_inputs, self.initial.n_outputs) != (len(self.also), 1):
            raise HoareError(
                f"{self.n_state} state bits, a step of {self.step.n_inputs} inputs and "
                f"{self.step.n_outputs} outputs, a beginning of {self.initial.n_inputs} and "
                f"{self.initial.n_outputs}",
                where="transition system",
                fix="let the step give the next state, allowed and bad; the beginning one output",
            )

    @property
    def n_state(self) -> int:
        """Bits of a state."""
        return len(self.first)

    @property
    def n_free(self) -> int:
        """Free inputs of a step."""
        return self.step.n_inputs - self.n_state


@dataclass(frozen=True)
class Cone:
    """The part of a system that decides whether a step is allowed or bad.

    Attributes:
        system: of fewer bits.
        state: which state bits of the whole they are.
        free: which free inputs.
    """

    system: TransitionSystem
    state: tuple[int, ...]
    free: tuple[int, ...]

    def widened(self, path: Path, whole: TransitionSystem) -> Path:
        """A path of the whole system that does in the cone what a path of the cone does."""
        state = np.array([bool(value) for value in whole.first])
        state[list(self.state)] = path.state
        inputs = np.zeros((len(path.inputs), whole.n_free), dtype=np.bool_)
        inputs[:, list(self.free)] = path.inputs
        return Path(state, inputs)


@dataclass(frozen=True, eq=False)
class Path:
    """A run: where it begins and what its inputs are; the states follow.

    Attributes:
        state: (n_state,) bool, the first state.
        inputs: (steps, n_free) bool, at least one step; the last one is the bad one.
    """

    state: NDArray[np.bool_]
    inputs: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.inputs)


def cone(system: TransitionSystem) -> Cone:
    """The cone of influence: bits from which no way leads to `allowed` or `bad` are left out."""
    n, step = system.n_state, system.step
    wanted, needed = {n, n + 1}, set(system.also)
    while True:
        outputs = [step.outputs[i] for i in sorted(wanted | needed)]
        reads = support(Circuit(step.n_inputs, step.gates, tuple(outputs)))
        states = {bit for bit in reads if bit < n}
        if states <= needed:
            break
        needed |= states
    kept, free = sorted(needed), [bit for bit in reads if bit >= n]
    outputs = [step.outputs[i] for i in (*kept, n, n + 1)]
    smaller = prune(Circuit(step.n_inputs, step.gates, tuple(outputs)))
    first = tuple(system.first[bit] for bit in kept)
    also = tuple(kept.index(bit) for bit in system.also)
    found = TransitionSystem(first, with_inputs(smaller, [*kept, *free]), also, system.initial)
    return Cone(found, tuple(kept), tuple(bit - n for bit in free))


def with_inputs(circuit: Circuit, kept: Sequence[int]) -> Circuit:
    """The circuit with no other inputs than some, in a new order; it must not read the others."""
    slot = [0] * circuit.n_inputs + [len(kept) + i for i in range(len(circuit.gates))]
    for i, old in enumerate(kept):
        slot[old] = i
    gates = tuple(
        Gate(gate.op, *(slot[s] for s in (gate.a, gate.b)[: ARITY[gate.op]]))
        for gate in circuit.gates
    )
    return Circuit(len(kept), gates, tuple(slot[s] for s in circuit.outputs))


def states_of(system: TransitionSystem, path: Path) -> NDArray[np.bool_]:
    """The states of a path up to its first bad step, by running it: (steps, n_state) bool.

    Raises:
        HoareError: it does not begin where runs begin, a step is not allowed, or none is bad; the
            message says which.
    """
    _check_begins(system, path.state)
    states = [path.state]
    for index, free in enumerate(path.inputs):
        *following, allowed, bad = evaluated(system.step, [*states[-1], *free])
        if not allowed:
            raise _wrong(f"step {index} is not allowed")
        if bad:
            return np.array(states, dtype=np.bool_).reshape(index + 1, system.n_state)
        states.append(np.array(following, dtype=np.bool_))
    raise _wrong("no step is bad")


def _check_begins(system: TransitionSystem, state: NDArray[np.bool_]) -> None:
    as_first = all(
        want is None or want == have for want, have in zip(system.first, state, strict=True)
    )
    if not as_first or not evaluated(system.initial, [state[bit] for bit in system.also])[0]:
        raise _wrong("runs do not begin in its first state")


def evaluated(circuit: Circuit, inputs: Sequence[bool]) -> list[bool]:
    """The outputs of a circuit in one lane."""
    row = np.array(inputs, dtype=np.bool_)[None, :]
    outputs: list[bool] = unpack_bits(evaluate(circuit, pack_bits(row)), 1)[0].tolist()
    return outputs


def _wrong(what: str) -> HoareError:
    return HoareError(
        f"a path does not lead to bad: {what}",
        where="reach",
        fix="report the system: search and system differ",
    )
