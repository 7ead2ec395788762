"""The template run on examples, as a formula over its unknown tables.

Words share their prefixes: there is one copy of the state for each prefix, so many short words cost
little more than few. Literals known beforehand are left out of clauses, which is most of them while
the row still holds zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.learning.alphabet import Alphabet, Token, Word
from bem_kernel.learning.template import Learned, Shape, map_tables
from bem_kernel.sat.growing import GrowingFormula

_TRUE, _FALSE = 1, -1  # variable 1 is true


@dataclass(frozen=True)
class _Prefix:
    """Literals of the state after a prefix; the address is known."""

    flags: tuple[int, ...]
    row: tuple[int, ...]
    z: int
    address: int | None


class Unrolled:
    """Examples as clauses; `tables` are the unknowns.

    Args:
        formula: empty; grows with every example.
        alphabet: of the words.
        shape: the parts of the template in use.
        width: cells of the row; no carry may leave it.
    """

    def __init__(
        self, formula: GrowingFormula, alphabet: Alphabet, shape: Shape, width: int
    ) -> None:
        self.formula, self.alphabet, self.shape, self.width = formula, alphabet, shape, width
        formula.new(1)
        self._clauses: list[list[int]] = [[_TRUE]]
        self.tables: dict[str, list[int]] = {}
        for s in range(shape.n_symbols):
            for which in range(shape.n_flags + 2):
                self.tables[f"control{s}.{which}"] = self._unknown(shape.control_inputs)
        for name in ("cell", "carry"):
            table = self._unknown(shape.cell_inputs)
            self.tables[name] = [
                _FALSE if shape.cell_is_quiet(row) else v for row, v in enumerate(table)
            ]
        self.tables["fold"] = [_FALSE, *self._unknown(shape.fold_inputs)[1:]]
        self.tables["output"] = self._unknown(shape.control_inputs)
        start = _Prefix((_FALSE,) * shape.n_flags, (_FALSE,) * width, _FALSE, None)
        self._prefixes: dict[Word, _Prefix] = {(): start}
        self._flush()

    def _unknown(self, n_inputs: int) -> list[int]:
        return list(self.formula.new(1 << n_inputs))

    def add_example(self, word: Word, verdict: bool) -> None:
        """Demand a verdict on a word."""
        prefix = self._prefixes[()]
        for length in range(1, len(word) + 1):
            head = word[:length]
            if head not in self._prefixes:
                self._prefixes[head] = self._step(prefix, word[length - 1])
            prefix = self._prefixes[head]
        self._look_up("output", [prefix.z, *prefix.flags], _TRUE if verdict else _FALSE)
        self._flush()

    def forbid(self, program: Learned) -> None:
        """Demand that some bit of the tables differ from a program's."""
        values: dict[str, Sequence[bool]] = {
            "cell": program.tables.cell,
            "carry": program.tables.carry,
            "fold": program.tables.fold,
            "output": program.tables.output,
        }
        for s, rows in enumerate(program.tables.control):
            values |= {f"control{s}.{which}": table for which, table in enumerate(rows)}
        clause = []
        for name, bits in values.items():
            for literal, bit in zip(self.tables[name], bits, strict=True):
                if abs(literal) != _TRUE:
                    clause.append(-literal if bit else literal)
        self._clauses.append(clause)
        self._flush()

    def program(self, model: NDArray[np.bool_]) -> Learned:
        """The program of a model."""

        def bit(name: str, row: int) -> bool:
            literal = self.tables[name][row]
            return bool(model[abs(literal) - 1]) == (literal > 0)

        return Learned(self.alphabet, self.shape, map_tables(self.shape, bit))

    def _flush(self) -> None:
        self.formula.add(self._clauses)
        self._clauses = []

    def _step(self, before: _Prefix, token: Token) -> _Prefix:
        shape = self.shape
        symbol, given = self.alphabet.split(token)
        address = before.address if given is None else given
        driven = list(self.formula.new(shape.n_flags + 2))
        selectors = [before.z, *before.flags]
        for which, out in enumerate(driven):
            self._look_up(f"control{symbol}.{which}", selectors, out)
        d, carry = driven[-2:]
        row = []
        for i, x in enumerate(before.row):
            inputs = [x, carry, d]
            inputs += [_TRUE if address == i else _FALSE] if shape.keyed else []
            above = before.row[i + 1] if i + 1 < self.width else _FALSE
            inputs += [above] if shape.upward else []
            last = i + 1 == self.width
            after, carried = (*self.formula.new(1), _FALSE) if last else self.formula.new(2)
            self._look_up("cell", inputs, after)
            self._look_up("carry", inputs, carried)
            row.append(after)
            carry = carried
        z = self._fold(row, address)
        return _Prefix(tuple(driven[:-2]), tuple(row), z, address)

    def _fold(self, row: Sequence[int], address: int | None) -> int:
        z = _FALSE
        for i in range(self.width - 1, -1, -1):
            inputs = [z, row[i]]
            inputs += [_TRUE if address == i else _FALSE] if self.shape.keyed else []
            (after,) = self.formula.new(1)
            self._look_up("fold", inputs, after)
            z = after
        return z

    def _look_up(self, name: str, inputs: Sequence[int], out: int) -> None:
        """Say that out = table[inputs], for a literal `out`."""
        for row, bit in enumerate(self.tables[name]):
            differs = [-x if row >> i & 1 else x for i, x in enumerate(inputs)]
            if _TRUE in differs:
                continue  # this row is not the one
            differs = [x for x in differs if x != _FALSE]
            for one, other in ((-bit, out), (bit, -out)):
                if _TRUE not in (one, other):
                    self._clauses.append([*differs, *(x for x in (one, other) if x != _FALSE)])
