"""Random circuits, for fuzzing engines and for benchmarks."""

from __future__ import annotations

from random import Random

from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op


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
