"""The one template of learned programs: a few flags and a row of equal cells, all tables unknown.

The state is a handful of flags q, a row of bits x_0, x_1, … as wide as the machine, and the address
last seen. A token of symbol s is read in these steps, each a table:

- control: (s, z, q) -> (q', d, c_0), where z is what the fold gave after the last token;
- cell, the same for every i, from the lowest up: (x_i, c_i, d, e_i, u_i) -> (x_i', c_{i+1}), where
  e_i says that i is the address last seen and u_i is x_{i+1} from before;
- fold, from the highest down: z_i = fold(z_{i+1}, x_i', e_i), and z = z_0;
- output: (z, q') -> verdict.

The carry makes the row a counter (up and down), a stack (shifted up and down) or a set of
registers (written where e_i is 1); the fold makes it a test for zero, a parity, the top of the
stack or a read of the register addressed. Nothing of this is built in: the tables are learned.

A cell of zeros stays zero and the fold passes over it (`cell_is_quiet`), so a machine behaves in
the same way at every width until a carry leaves the row at the top; there it traps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet, address_bits
from bem_kernel.learning.sequential import Sequential, build_latch, build_table

Table = tuple[bool, ...]

MAX_FLAGS = 6
FORMAT = "bem-learned-1"


@dataclass(frozen=True)
class Shape:
    """Which parts of the template a program uses.

    Attributes:
        n_symbols: symbols of the alphabet.
        n_flags: bits of finite control.
        keyed: whether cell and fold see the address last seen.
        upward: whether a cell sees the bit above it, as a stack needs that is popped.
    """

    n_symbols: int
    n_flags: int
    keyed: bool = False
    upward: bool = False

    @property
    def control_inputs(self) -> int:
        """Bits that select a row of the control table of one symbol: z, then q."""
        return 1 + self.n_flags

    @property
    def cell_inputs(self) -> int:
        """Bits that select a row of the cell's tables: x, c, d, then e and u where used."""
        return 3 + self.keyed + self.upward

    @property
    def fold_inputs(self) -> int:
        """Bits that select a row of the fold's table: z, x, then e where used."""
        return 2 + self.keyed

    def cell_is_quiet(self, row: int) -> bool:
        """Whether a cell is 0 with nothing coming in: then nothing may come out."""
        return row & ~0b100 == 0  # whatever d is

    @property
    def n_unknown(self) -> int:
        """Bits of all tables that are not fixed."""
        control = self.n_symbols * (self.n_flags + 2) << self.control_inputs
        cell = 2 * ((1 << self.cell_inputs) - 2)
        return control + cell + (1 << self.fold_inputs) - 1 + (1 << self.control_inputs)


@dataclass(frozen=True)
class Tables:
    """The learned bits; row r of a table is the input in which bit i of r is input i.

    Attributes:
        control: for each symbol, the tables of q' (one per flag), of d and of c_0, over (z, q).
        cell: x' over (x, c, d, e, u).
        carry: the carry out, over the same.
        fold: over (z, x, e).
        output: over (z, q).
    """

    control: tuple[tuple[Table, ...], ...]
    cell: Table
    carry: Table
    fold: Table
    output: Table


@dataclass(frozen=True)
class Learned:
    """A learned program: a machine for every width.

    Attributes:
        alphabet: what it reads.
        shape: the parts of the template it uses.
        tables: the learned bits.

    Raises:
        LearningError: a table has another size than the shape asks for, or is not quiet.
    """

    alphabet: Alphabet
    shape: Shape
    tables: Tables

    def __post_init__(self) -> None:
        shape, tables = self.shape, self.tables
        if not 0 <= shape.n_flags <= MAX_FLAGS or shape.n_symbols != len(self.alphabet):
            raise LearningError(
                f"{shape.n_flags} flags and {shape.n_symbols} symbols",
                where="learned program",
                fix=f"use at most {MAX_FLAGS} flags and {len(self.alphabet)} symbols",
            )
        sizes = [(t, shape.cell_inputs) for t in (tables.cell, tables.carry)]
        sizes += [(tables.fold, shape.fold_inputs), (tables.output, shape.control_inputs)]
        sizes += [(t, shape.control_inputs) for rows in tables.control for t in rows]
        counts = {len(rows) for rows in tables.control} | {len(tables.control) - shape.n_symbols}
        if any(len(t) != 1 << n for t, n in sizes) or counts != {shape.n_flags + 2, 0}:
            raise LearningError(
                "a table has another size than the shape asks for",
                where="learned program",
                fix="give 2**inputs bits per table, one set of control tables per symbol",
            )
        loud = [r for r in range(len(tables.cell)) if shape.cell_is_quiet(r)]
        if tables.fold[0] or any(tables.cell[r] or tables.carry[r] for r in loud):
            raise LearningError(
                "a cell of zeros does not stay quiet",
                where="learned program",
                fix="make cell, carry and fold 0 where all their inputs but d are 0",
            )

    def at(self, width: int) -> Sequential:
        """The machine whose row has `width` cells; a power of two if the alphabet has addresses.

        Raises:
            LearningError: the width is none, or no power of two where it has to be.
        """
        check_width(self.alphabet, width)
        n_flags = self.shape.n_flags
        n_latch = address_bits(width) + 1 if self.alphabet.keyed else 0
        n_state = n_flags + width + n_latch
        builder = CircuitBuilder(n_state + self.alphabet.n_input_bits(width))
        flags, row = list(range(n_flags)), list(range(n_flags, n_flags + width))
        latch = list(range(n_flags + width, n_state))
        symbol = list(range(n_state, n_state + self.alphabet.code_bits))
        given = list(range(n_state + self.alphabet.code_bits, builder.n_inputs))
        before = list(row), [builder.const(False)] * width
        if n_latch:
            before = row, build_latch(builder, latch, latch)[1]
            latch, lines = build_latch(builder, latch, given)
        else:
            lines = [builder.const(False)] * width
        z = self._build_fold(builder, *before)
        after, d, carry = self._build_control(builder, symbol, [z, *flags])
        row, trap = self._build_cells(builder, row, lines, (d, carry))
        z = self._build_fold(builder, row, lines)
        verdict = build_table(builder, list(self.tables.output), [z, *after])
        circuit = builder.build([*after, *row, *latch, verdict, trap])
        return Sequential(
            circuit,
            (False,) * n_state,
            self.tables.output[0],
            tuple(range(n_flags)),
            tuple(range(n_flags, n_flags + width)),
            tuple(range(n_flags + width, n_state)),
        )

    def _build_control(
        self, builder: CircuitBuilder, symbol: list[int], inputs: list[int]
    ) -> tuple[list[int], int, int]:
        """Slots of q', d and c_0; a number that is no symbol's counts as the last symbol's."""
        control = self.tables.control
        last, rows = len(control) - 1, 1 << self.alphabet.code_bits
        slots = []
        for which in range(self.shape.n_flags + 2):
            table = [bit for s in range(rows) for bit in control[min(s, last)][which]]
            slots.append(build_table(builder, table, [*inputs, *symbol]))
        return slots[:-2], slots[-2], slots[-1]

    def _build_cells(
        self, builder: CircuitBuilder, row: list[int], lines: list[int], driven: tuple[int, int]
    ) -> tuple[list[int], int]:
        """Slots of the row's next bits and of the carry that leaves it."""
        shape, (d, carry) = self.shape, driven
        cell, carries = list(self.tables.cell), list(self.tables.carry)
        after = []
        for i, x in enumerate(row):
            inputs = [x, carry, d]
            inputs += [lines[i]] if shape.keyed else []
            inputs += [row[i + 1] if i + 1 < len(row) else builder.const(False)] * shape.upward
            after.append(build_table(builder, cell, inputs))
            carry = build_table(builder, carries, inputs)
        return after, carry

    def _build_fold(self, builder: CircuitBuilder, row: list[int], lines: list[int]) -> int:
        z = builder.const(False)
        for x, line in zip(reversed(row), reversed(lines[: len(row)]), strict=True):
            inputs = [z, x, line] if self.shape.keyed else [z, x]
            z = build_table(builder, list(self.tables.fold), inputs)
        return z


def check_width(alphabet: Alphabet, width: int) -> None:
    """Refuse a width that no machine over this alphabet has.

    Raises:
        LearningError: see `Learned.at`.
    """
    if width < 1 or (alphabet.keyed and width & (width - 1)):
        raise LearningError(
            f"width {width}",
            where="learned program",
            fix="use a power of two, since addresses are to fill it" if width > 0 else "use 1 up",
        )


def map_tables(shape: Shape, bit: Callable[[str, int], bool]) -> Tables:
    """Tables from a function of (name, row); control tables are named `control<s>.<which>`."""
    rows = 1 << shape.control_inputs

    def table(name: str, n_inputs: int) -> Table:
        return tuple(bit(name, row) for row in range(1 << n_inputs))

    control = tuple(
        tuple(
            tuple(bit(f"control{s}.{which}", row) for row in range(rows))
            for which in range(shape.n_flags + 2)
        )
        for s in range(shape.n_symbols)
    )
    return Tables(
        control,
        table("cell", shape.cell_inputs),
        table("carry", shape.cell_inputs),
        table("fold", shape.fold_inputs),
        table("output", shape.control_inputs),
    )


def learned_record(program: Learned) -> dict[str, Any]:
    """The program as JSON values; tables are texts of 0 and 1, row 0 first."""
    tables = program.tables
    return {
        "format": FORMAT,
        "symbols": list(program.alphabet.symbols),
        "keyed": sorted(program.alphabet.keyed),
        "shape": {f.name: getattr(program.shape, f.name) for f in fields(Shape)},
        "control": [[_text(table) for table in rows] for rows in tables.control],
        "cell": _text(tables.cell),
        "carry": _text(tables.carry),
        "fold": _text(tables.fold),
        "output": _text(tables.output),
    }


def _text(table: Table) -> str:
    return "".join("01"[bit] for bit in table)
