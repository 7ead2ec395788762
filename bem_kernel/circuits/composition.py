"""Circuits out of circuits: wiring, cofactors, substitution.

Beside `>>` and `|` of `Circuit`. All functions here give simplified circuits, except the wirings,
which have no gates at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import ARITY, Circuit
from bem_kernel.errors import CircuitError


def identity(width: int) -> Circuit:
    """The circuit whose outputs are its inputs: the unit of `>>`; of width 0, the unit of `|`."""
    return wiring(width, range(width))


def wiring(n_inputs: int, sources: Sequence[int]) -> Circuit:
    """The circuit without gates whose output j is input sources[j]: permutes, copies and drops.

    Raises:
        CircuitError: a source is no input.
    """
    return Circuit(n_inputs, (), tuple(sources))


def cofactor(circuit: Circuit, values: Mapping[int, bool]) -> Circuit:
    """The circuit with some inputs held at constants; it keeps its inputs but ignores those.

    Args:
        circuit: any circuit.
        values: the constant of each input to hold.

    Raises:
        CircuitError: an input to hold does not exist.

    Source: Boole 1854, Shannon 1938: f = (!x & f[x=0]) | (x & f[x=1]).
    """
    _check_inputs(circuit, values, where="composition.cofactor")
    builder = CircuitBuilder(circuit.n_inputs)
    inputs = [builder.const(values[i]) if i in values else i for i in range(circuit.n_inputs)]
    return builder.build(builder.embed(circuit, inputs))


def substitute(circuit: Circuit, functions: Mapping[int, Circuit]) -> Circuit:
    """The circuit with some inputs replaced by functions of all inputs, all at the same time.

    Args:
        circuit: any circuit.
        functions: for each input to replace, a circuit of as many inputs and one output.

    Raises:
        CircuitError: an input to replace does not exist, or a function has another shape.
    """
    _check_inputs(circuit, functions, where="composition.substitute")
    builder = CircuitBuilder(circuit.n_inputs)
    inputs = list(range(circuit.n_inputs))
    for i, function in functions.items():
        if (function.n_inputs, function.n_outputs) != (circuit.n_inputs, 1):
            raise CircuitError(
                f"input {i} is replaced by a circuit of {function.n_inputs} inputs and "
                f"{function.n_outputs} outputs",
                where="composition.substitute",
                fix=f"give one of {circuit.n_inputs} inputs and 1 output",
            )
        inputs[i] = builder.embed(function, range(circuit.n_inputs))[0]
    return builder.build(builder.embed(circuit, inputs))


def support(circuit: Circuit) -> tuple[int, ...]:
    """The inputs that an output is connected to, in order.

    What an output does not depend on although it is connected is found by a normal form.
    """
    reached = set(circuit.outputs)
    for slot in range(circuit.n_slots - 1, circuit.n_inputs - 1, -1):
        if slot in reached:
            gate = circuit.gates[slot - circuit.n_inputs]
            reached.update((gate.a, gate.b)[: ARITY[gate.op]])
    return tuple(i for i in range(circuit.n_inputs) if i in reached)


def _check_inputs(circuit: Circuit, named: Mapping[int, object], where: str) -> None:
    for i in named:
        if not 0 <= i < circuit.n_inputs:
            raise CircuitError(
                f"input {i} does not exist", where=where, fix=f"the inputs: {circuit.n_inputs}"
            )
