"""Circuits as formulas: one variable for each slot, the clauses of each gate.

Variable s + 1 is slot s, so a model reads back as the value of every wire, and the first
n_inputs values are the inputs.

Source: BEM core spec 9.4; Tseitin 1968.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import CnfError
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses


@dataclass(frozen=True)
class Encoded:
    """A circuit as a formula whose models are its evaluations.

    Attributes:
        cnf: the clauses of the gates; outputs are free.
        inputs: the variable of each input.
        outputs: the literal of each output.
    """

    cnf: Cnf
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def gate_clauses(gate: Gate, out: int, a: int, b: int) -> list[list[int]]:
    """The clauses that say out = op(a, b), for literals.

    Args:
        gate: its operation is what counts.
        out: literal of the result.
        a: literal of the first operand, anything where there is none.
        b: literal of the second, likewise.
    """
    match gate.op:
        case Op.AND:
            return [[-out, a], [-out, b], [out, -a, -b]]
        case Op.OR:
            return [[out, -a], [out, -b], [-out, a, b]]
        case Op.XOR:
            return [[-out, a, b], [-out, -a, -b], [out, -a, b], [out, a, -b]]
        case Op.NOT:
            return [[out, a], [-out, -a]]
        case Op.ANDN:
            return [[-out, a], [-out, -b], [out, -a, b]]
        case Op.CONST0:
            return [[-out]]
        case Op.CONST1:
            return [[out]]


def encode_gates(circuit: Circuit, inputs: Sequence[int], first: int) -> list[list[int]]:
    """The clauses of a circuit's gates on given variables.

    Args:
        circuit: the gates.
        inputs: the literal of each input.
        first: the variable of gate 0; gate i has first + i.

    Returns:
        Clauses of DIMACS literals.

    Raises:
        CnfError: not one literal per input.
    """
    if len(inputs) != circuit.n_inputs:
        raise CnfError(
            f"{len(inputs)} literals for {circuit.n_inputs} inputs",
            where="tseitin",
            fix="give one per input",
        )
    slots = [*inputs, *range(first, first + len(circuit.gates))]
    clauses: list[list[int]] = []
    for i, gate in enumerate(circuit.gates):
        clauses += gate_clauses(gate, first + i, slots[gate.a], slots[gate.b])
    return clauses


def output_literals(circuit: Circuit, inputs: Sequence[int], first: int) -> tuple[int, ...]:
    """The literal of each output, on the variables of `encode_gates`."""
    slots = [*inputs, *range(first, first + len(circuit.gates))]
    return tuple(slots[slot] for slot in circuit.outputs)


def tseitin(circuit: Circuit) -> Encoded:
    """The circuit as a formula, satisfied exactly by (inputs, values of all gates)."""
    inputs = tuple(range(1, circuit.n_inputs + 1))
    first = circuit.n_inputs + 1
    clauses = encode_gates(circuit, inputs, first)
    cnf = cnf_from_clauses(clauses, circuit.n_slots)
    return Encoded(cnf, inputs, output_literals(circuit, inputs, first))


def inputs_of_model(encoded: Encoded, model: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What a model says of the inputs: (n_inputs,) bool."""
    values: NDArray[np.bool_] = model[np.array(encoded.inputs, dtype=np.intp) - 1]
    return values


def miter(left: Circuit, right: Circuit, care: Circuit | None = None) -> Encoded:
    """A formula that is satisfied exactly by the inputs on which two circuits differ.

    Args:
        left: one circuit.
        right: another, with as many inputs and outputs.
        care: a circuit of one output on the same inputs; only inputs where it is 1 count. None
            stands for all inputs.

    Returns:
        The formula with the difference asserted; no outputs.

    Raises:
        CnfError: the circuits do not have the same shape.
    """
    shape = (left.n_inputs, left.n_outputs)
    if (right.n_inputs, right.n_outputs) != shape:
        raise CnfError(
            f"circuits of {shape} and {(right.n_inputs, right.n_outputs)} inputs and outputs",
            where="miter",
            fix="compare circuits of one shape",
        )
    if care is not None and (care.n_inputs, care.n_outputs) != (left.n_inputs, 1):
        raise CnfError(
            f"the care set has {care.n_inputs} inputs and {care.n_outputs} outputs",
            where="miter",
            fix=f"give a circuit of {left.n_inputs} inputs and one output",
        )
    inputs = tuple(range(1, left.n_inputs + 1))
    clauses: list[list[int]] = []
    following = left.n_inputs + 1
    results: list[tuple[int, ...]] = []
    for circuit in (left, right, *([] if care is None else [care])):
        clauses += encode_gates(circuit, inputs, following)
        results.append(output_literals(circuit, inputs, following))
        following += len(circuit.gates)
    differences = []
    for a, b in zip(results[0], results[1], strict=True):
        if a != b:
            clauses += gate_clauses(Gate(Op.XOR), following, a, b)
            differences.append(following)
            following += 1
    clauses.append(differences)
    if care is not None:
        clauses.append([results[2][0]])
    return Encoded(cnf_from_clauses(clauses, following - 1), inputs, ())
