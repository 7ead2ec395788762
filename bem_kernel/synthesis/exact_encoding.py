"""Is there a circuit of r normal gates for these functions? The question as a formula.

Gate i has a selection (which two earlier slots it reads, exactly one), an operation (its values
where the operands are 01, 10 and 11; it is 0 at 00), and a value on each row of the truth table.
Circuits that differ in the order of gates only, that hold gates nothing reads, or that apply a gate
to a gate and one of that gate's own operands, which one gate can do, are ruled out: smaller or
equal ones remain.

Source: Kojevnikov, Kulikov and Yaroslavtsev 2009; Knuth, TAOCP 7.2.2.2, exercise 477; Haaswijk,
Soeken, Mishchenko and De Micheli 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.synthesis.network import Network, NetworkBuilder

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Question:
    """The formula, and what its variables mean.

    Attributes:
        cnf: satisfied exactly by the circuits.
        n_inputs: number of inputs; slots 0 to n_inputs - 1, then the gates.
        selects: for each gate, the variable of each pair of slots (j, k), j < k.
        operations: for each gate, variables of its values at (j, k) = (0, 1), (1, 0), (1, 1).
        gives: for each function, the variable of each gate that says it is the function.
        flips: for each function, the literal that says the gate is its negation.
    """

    cnf: Cnf
    n_inputs: int
    selects: tuple[dict[Pair, int], ...]
    operations: tuple[tuple[int, int, int], ...]
    gives: tuple[tuple[int, ...], ...]
    flips: tuple[int, ...]


class _Writer:
    """Collects variables and clauses."""

    def __init__(self) -> None:
        self.n_vars = 0
        self.clauses: list[list[int]] = []

    def new(self, count: int = 1) -> tuple[int, ...]:
        self.n_vars += count
        return tuple(range(self.n_vars - count + 1, self.n_vars + 1))


def ask(tables: Sequence[int], care: int, n_inputs: int, size: int) -> Question:
    """Ask for a circuit of exactly `size` gates of which every one is needed.

    Args:
        tables: functions of n_inputs inputs: bit r is the value of row r. None of them may be had
            without a gate.
        care: bit r says that row r counts.
        n_inputs: number of inputs.
        size: number of gates, at least 1.
    """
    writer = _Writer()
    selects, operations, values = [], [], []
    for i in range(size):
        pairs = list(combinations(range(n_inputs + i), 2))
        selects.append(dict(zip(pairs, writer.new(len(pairs)), strict=True)))
        f01, f10, f11 = writer.new(3)
        operations.append((f01, f10, f11))
        values.append(writer.new(1 << n_inputs))
        _one_of(writer, list(selects[i].values()))
        # Not constant, and not one of the operands.
        writer.clauses += [[f01, f10, f11], [f01, -f10, -f11], [-f01, f10, -f11]]
        for pair, chosen in selects[i].items():
            _compute(writer, pair, chosen, operations[i], values, n_inputs)
    gives = tuple(writer.new(size) for _ in tables)
    flips = writer.new(len(tables))
    for table, gate_of, flip in zip(tables, gives, flips, strict=True):
        _one_of(writer, list(gate_of))
        for i in range(size):
            for row in range(1 << n_inputs):
                if care >> row & 1:
                    _equal(writer, gate_of[i], values[i][row], flip, table >> row & 1)
    _rule_out(writer, selects, gives, n_inputs)
    cnf = cnf_from_clauses(writer.clauses, writer.n_vars)
    return Question(cnf, n_inputs, tuple(selects), tuple(operations), gives, flips)


def _one_of(writer: _Writer, variables: Sequence[int]) -> None:
    writer.clauses.append(list(variables))
    writer.clauses += [[-a, -b] for a, b in combinations(variables, 2)]


def _equal(writer: _Writer, where: int, value: int, flip: int, bit: int) -> None:
    """Where it holds, value ^ flip is the bit."""
    if bit:
        writer.clauses += [[-where, value, flip], [-where, -value, -flip]]
    else:
        writer.clauses += [[-where, value, -flip], [-where, -value, flip]]


def _compute(
    writer: _Writer,
    pair: Pair,
    chosen: int,
    operation: tuple[int, int, int],
    values: Sequence[tuple[int, ...]],
    n_inputs: int,
) -> None:
    """If the last gate of `values` reads the pair, its value on each row follows from theirs."""
    out = values[-1]
    for row in range(1 << n_inputs):
        for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
            clause = [-chosen]
            possible = True
            for slot, bit in zip(pair, (a, b), strict=True):
                if slot < n_inputs:
                    possible = possible and row >> slot & 1 == bit
                else:
                    literal = values[slot - n_inputs][row]
                    clause.append(-literal if bit else literal)
            if not possible:
                continue
            if a == b == 0:
                writer.clauses.append([*clause, -out[row]])
            else:
                result = operation[2 * a + b - 1]
                writer.clauses += [[*clause, -result, out[row]], [*clause, result, -out[row]]]


def _rule_out(
    writer: _Writer,
    selects: Sequence[dict[Pair, int]],
    gives: Sequence[Sequence[int]],
    n_inputs: int,
) -> None:
    """Rule out circuits for which there is another one."""
    size = len(selects)
    for i in range(size):
        slot = n_inputs + i
        readers = [v for later in selects[i + 1 :] for pair, v in later.items() if slot in pair]
        writer.clauses.append([*readers, *(gate_of[i] for gate_of in gives)])
        for (j, k), chosen in selects[i].items():
            for later in selects[i + 1 :]:
                writer.clauses += [[-chosen, -later[j, slot]], [-chosen, -later[k, slot]]]
    for i in range(size - 1):
        slot = n_inputs + i
        for (j, k), chosen in selects[i].items():
            for (p, q), following in selects[i + 1].items():
                if q != slot and (q, p) < (k, j):
                    writer.clauses.append([-chosen, -following])


def circuit_of_model(question: Question, model: NDArray[np.bool_]) -> Network:
    """The network that a model describes."""
    builder = NetworkBuilder(question.n_inputs)
    literals = [2 * (1 + i) for i in range(question.n_inputs)]
    for selects, operation in zip(question.selects, question.operations, strict=True):
        ((j, k),) = [pair for pair, variable in selects.items() if model[variable - 1]]
        f01, f10, f11 = (int(model[variable - 1]) for variable in operation)
        literals.append(builder.gate(f10 << 1 | f01 << 2 | f11 << 3, literals[j], literals[k]))
    outputs = []
    for gate_of, flip in zip(question.gives, question.flips, strict=True):
        (i,) = [i for i, variable in enumerate(gate_of) if model[variable - 1]]
        outputs.append(literals[question.n_inputs + i] ^ int(model[flip - 1]))
    return builder.build(outputs)
