"""The smallest circuit that explains some rows of a truth table.

Each gate is any function of two inputs or earlier gates, and each output is one of these or a
constant, perhaps complemented; which, is what a SAT solver is asked, for no gates, one, two, …
Rows that are not given, and outputs that are not known in a row, are free. That one gate fewer does
not do is a formula too.

Source: Kojevnikov, Kulikov and Yaroslavtsev 2009; Knuth 2015, 7.2.2.2 (the encoding).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import LearningError
from bem_kernel.learning.sequential import build_table
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.sat.check import Satisfiable, check

MAX_GATES = 12


@dataclass(frozen=True)
class Row:
    """One row of a table: what the inputs are, and what is known of the outputs."""

    inputs: tuple[bool, ...]
    outputs: tuple[bool | None, ...]


@dataclass(frozen=True, eq=False)
class Explained:
    """A smallest circuit for some rows.

    Attributes:
        circuit: explains the rows.
        examples: the rows.
        n_gates: functions of two inputs that it is made of; in `circuit`, complements are gates
            of their own.
        refusal: says that one gate fewer does; unsatisfiable. None for no gates.
    """

    circuit: Circuit
    examples: tuple[Row, ...]
    n_gates: int
    refusal: Cnf | None


def explain(rows: Sequence[Row], max_gates: int = MAX_GATES) -> Explained:
    """Find a smallest circuit that agrees with all rows.

    Raises:
        LearningError: there is no row, rows differ in length or contradict each other, or the
            circuit needs more gates than allowed.
    """
    _check_rows(rows)
    refusal: Cnf | None = None
    for n_gates in range(max_gates + 1):
        encoding = _Encoding(rows, n_gates)
        cnf = cnf_from_clauses(encoding.clauses(), encoding.n_vars)
        verdict = check(cnf)
        if isinstance(verdict, Satisfiable):
            circuit = encoding.circuit([bool(bit) for bit in verdict.model])
            return Explained(circuit, tuple(rows), n_gates, refusal)
        refusal = cnf
    raise LearningError(
        f"{max_gates} gates do not explain the rows", where="partial table", fix="allow more"
    )


def _check_rows(rows: Sequence[Row]) -> None:
    if not rows:
        raise LearningError("no row", where="partial table", fix="give rows")
    shape = len(rows[0].inputs), len(rows[0].outputs)
    known: dict[tuple[tuple[bool, ...], int], bool] = {}
    for number, row in enumerate(rows):
        if (len(row.inputs), len(row.outputs)) != shape:
            raise LearningError(
                f"row {number} has {len(row.inputs)} inputs and {len(row.outputs)} outputs",
                where="partial table",
                fix=f"give {shape[0]} and {shape[1]}",
            )
        for j, bit in enumerate(row.outputs):
            if bit is not None and known.setdefault((row.inputs, j), bit) != bit:
                raise LearningError(
                    f"row {number} contradicts an earlier one on output {j}",
                    where="partial table",
                    fix="give each input one output",
                )


class _Encoding:
    """Circuits of so many gates that explain the rows, as clauses."""

    def __init__(self, rows: Sequence[Row], n_gates: int) -> None:
        self.rows, self.n_gates = rows, n_gates
        self._n_inputs, n_outputs = len(rows[0].inputs), len(rows[0].outputs)
        self.n_vars = 0
        self._value = [self._new(n_gates) for _ in rows]
        self._function = [self._new(3) for _ in range(n_gates)]  # of 01, 10 and 11; of 00 it is 0
        self._operands = [
            {pair: self._new(1)[0] for pair in combinations(range(self._n_inputs + i), 2)}
            for i in range(n_gates)
        ]
        n_sources = self._n_inputs + n_gates + 1  # the last is the constant 0
        self._chosen = [self._new(n_sources) for _ in range(n_outputs)]
        self._flipped = self._new(n_outputs)

    def _new(self, count: int) -> list[int]:
        self.n_vars += count
        return list(range(self.n_vars - count + 1, self.n_vars + 1))

    def clauses(self) -> list[list[int]]:
        return [*self._gate_clauses(), *self._output_clauses()]

    def _gate_clauses(self) -> Iterator[list[int]]:
        for i, pairs in enumerate(self._operands):
            function = self._function[i]
            yield list(pairs.values())
            yield function  # not constant, nor an operand again
            yield [function[0], -function[1], -function[2]]
            yield [-function[0], function[1], -function[2]]
            for (a, b), chosen in pairs.items():
                for row in range(len(self.rows)):
                    yield from self._row_clauses(i, row, (a, b), chosen)

    def _row_clauses(
        self, gate: int, row: int, operands: tuple[int, int], chosen: int
    ) -> Iterator[list[int]]:
        out = self._value[row][gate]
        for a_bit, b_bit in product((False, True), repeat=2):
            here: list[int] = [-chosen]
            possible = True
            for slot, bit in zip(operands, (a_bit, b_bit), strict=True):
                if slot < self._n_inputs:
                    possible &= self.rows[row].inputs[slot] == bit
                else:
                    value = self._value[row][slot - self._n_inputs]
                    here.append(-value if bit else value)
            if not possible:
                continue
            if not (a_bit or b_bit):
                yield [*here, -out]
            else:
                function = self._function[gate][2 * a_bit + b_bit - 1]
                yield [*here, -function, out]
                yield [*here, function, -out]

    def _output_clauses(self) -> Iterator[list[int]]:
        for j, (chosen, flipped) in enumerate(zip(self._chosen, self._flipped, strict=True)):
            yield list(chosen)
            for number, row in enumerate(self.rows):
                wanted = row.outputs[j]
                if wanted is None:
                    continue
                flip = flipped if wanted else -flipped  # true where the slot is to be 0
                for slot, here in enumerate(chosen):
                    if slot < self._n_inputs or slot == len(chosen) - 1:
                        bit = slot < self._n_inputs and row.inputs[slot]
                        yield [-here, -flip if bit else flip]
                    else:
                        value = self._value[number][slot - self._n_inputs]
                        yield [-here, flip, value]
                        yield [-here, -flip, -value]

    def circuit(self, model: Sequence[bool]) -> Circuit:
        """The circuit of a model."""
        builder = CircuitBuilder(self._n_inputs)
        slots = list(range(self._n_inputs))
        for function, pairs in zip(self._function, self._operands, strict=True):
            a, b = next(pair for pair, chosen in pairs.items() if model[chosen - 1])
            f01, f10, f11 = (model[v - 1] for v in function)
            slots.append(build_table(builder, [False, f10, f01, f11], [slots[a], slots[b]]))
        slots.append(builder.const(False))
        outputs = []
        for chosen, flipped in zip(self._chosen, self._flipped, strict=True):
            slot = next(s for s, v in zip(slots, chosen, strict=True) if model[v - 1])
            outputs.append(builder.not_(slot) if model[flipped - 1] else slot)
        return builder.build(outputs)
