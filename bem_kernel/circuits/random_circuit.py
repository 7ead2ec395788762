"""Random circuits, for fuzzing engines and for benchmarks."""

from __future__ import annotations

from random import Random

from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op
from bem_kernel.errors import CircuitError


def random_circuit(rng: Random, n_inputs: int, n_gates: int, n_outputs: int) -> Circuit:
    """A circuit of uniformly chosen gates over uniformly chosen earlier slots.

    Args:
        rng: source of randomness; equal states give equal circuits.
        n_inputs: number of inputs, 0 or more; with none, the first gate is a constant.
        n_gates: number of gates.
        n_outputs: number of outputs, chosen among all slots with repetition; 0 if there are none.

    Returns:
        A circuit, dead gates included.
    """
    gates: list[Gate] = []
    constants = [Op.CONST0, Op.CONST1]
    for i in range(n_gates):
        slots = n_inputs + i
        op = rng.choice(list(Op) if slots else constants)
        gates.append(Gate(op, *(rng.randrange(slots) for _ in range(ARITY[op]))))
    n_slots = n_inputs + n_gates
    outputs = tuple(rng.randrange(n_slots) for _ in range(n_outputs)) if n_slots else ()
    return Circuit(n_inputs, tuple(gates), outputs)


def random_live_circuit(rng: Random, n_inputs: int, n_gates: int, n_outputs: int) -> Circuit:
    """A circuit in which every input and every gate reaches an output: nothing to optimise away.

    Gates are AND, OR, XOR and ANDN of two different slots. Each reads one slot that nothing has
    read before; `n_inputs - n_outputs` of them read two such, the others one that has been read.
    What is unread at the end are the outputs. Engines are measured on these circuits, since
    `random_circuit` is mostly dead gates.

    Args:
        rng: source of randomness; equal states give equal circuits.
        n_inputs: number of inputs.
        n_gates: number of gates.
        n_outputs: number of outputs, at least 1, below n_inputs by 1 to n_gates.

    Raises:
        CircuitError: the numbers leave no such circuit.
    """
    doubles = n_inputs - n_outputs
    if n_outputs < 1 or not 1 <= doubles <= n_gates:
        raise CircuitError(
            f"{n_outputs} outputs for {n_inputs} inputs and {n_gates} gates",
            where="random_live_circuit",
            fix=f"use {max(1, n_inputs - n_gates)} to {n_inputs - 1} outputs",
        )
    reads_two = [True] * (doubles - 1) + [False] * (n_gates - doubles)
    rng.shuffle(reads_two)
    unread = list(range(n_inputs))
    read: list[int] = []
    gates: list[Gate] = []
    for i, both in enumerate([True, *reads_two]):
        first = unread.pop(rng.randrange(len(unread)))
        second = unread.pop(rng.randrange(len(unread))) if both else rng.choice(read)
        gates.append(Gate(rng.choice([Op.AND, Op.OR, Op.XOR, Op.ANDN]), first, second))
        read += [first, second] if both else [first]
        unread.append(n_inputs + i)
    return Circuit(n_inputs, tuple(gates), tuple(unread))
