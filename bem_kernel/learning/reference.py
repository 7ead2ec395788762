"""Reference automata: what a learned program is compared with, and what answers questions.

Each is a machine for every width, like a learned program, and can also run on whole numbers without
a width, which is what labels examples.

Source: BEM suite 3.1 to 3.3 (the tasks); Valiant and Paterson 1975 (one-counter automata).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet, Token, address_bits
from bem_kernel.learning.sequential import Family, Sequential, build_latch, build_table
from bem_kernel.learning.template import check_width

_REGISTER_SYMBOLS = Alphabet(("key", "0", "1", "#"), frozenset({"key"}))
_STACK_SYMBOLS = Alphabet(("0", "1", "-"))


class Reference(Family, Protocol):
    """A machine that knows the language."""

    @property
    def name(self) -> str:
        """Of the language."""

    def verdicts(self, word: Sequence[Token]) -> Iterator[bool]:
        """The verdict on the empty word, then after each token; numbers have no bound."""


@dataclass(frozen=True)
class CounterAutomaton:
    """A deterministic automaton with one counter that may be tested for zero.

    Attributes:
        name: of the language.
        alphabet: symbols without addresses.
        moves: for each state, symbol and whether the counter is above zero, the next state and
            -1, 0 or 1 for the counter; state 0 is the first.
        accept: for each state, the verdicts where the counter is zero and above zero.

    Raises:
        LearningError: a move is missing, leads nowhere, or takes from a counter at zero.
    """

    name: str
    alphabet: Alphabet
    moves: tuple[tuple[tuple[tuple[int, int], tuple[int, int]], ...], ...]
    accept: tuple[tuple[bool, bool], ...]

    def __post_init__(self) -> None:
        states = range(len(self.accept))
        sized = all(len(row) == len(self.alphabet) for row in self.moves)
        if not sized or len(self.moves) != len(self.accept) or not states:
            raise LearningError(
                "a move is missing", where=self.name, fix="give one for each state and symbol"
            )
        for row in self.moves:
            for at_zero, above in row:
                ends = at_zero[0] in states and above[0] in states
                if not ends or at_zero[1] not in (0, 1) or above[1] not in (-1, 0, 1):
                    raise LearningError(
                        f"the moves {at_zero} at zero and {above} above it",
                        where=self.name,
                        fix="lead to a state, and add -1, 0 or 1 (at zero 0 or 1)",
                    )

    def verdicts(self, word: Sequence[Token]) -> Iterator[bool]:
        """See `Reference.verdicts`."""
        state, count = 0, 0
        yield self.accept[state][count > 0]
        for token in word:
            state, change = self.moves[state][token][count > 0]
            count += change
            yield self.accept[state][count > 0]

    def at(self, width: int) -> Sequential:
        """The machine with a counter of `width` bits; its flags are the state's number."""
        check_width(self.alphabet, width)
        n_flags = (len(self.accept) - 1).bit_length()
        n_state = n_flags + width
        builder = CircuitBuilder(n_state + self.alphabet.code_bits)
        flags, row = list(range(n_flags)), list(range(n_flags, n_state))
        selectors = [_any(builder, row), *range(n_state, builder.n_inputs), *flags]
        after = [build_table(builder, self._moves_table(bit), selectors) for bit in range(n_flags)]
        up, down = (build_table(builder, self._count_table(by), selectors) for by in (1, -1))
        row, trap = _count(builder, row, up, down)
        table = [self.accept[min(s, len(self.accept) - 1)] for s in range(1 << n_flags)]
        accept = [bit for pair in table for bit in pair]
        verdict = build_table(builder, accept, [_any(builder, row), *after])
        circuit = builder.build([*after, *row, verdict, trap])
        flag_bits = tuple(range(n_flags))
        word = tuple(range(n_flags, n_state))
        return Sequential(circuit, (False,) * n_state, self.accept[0][0], flag_bits, word, ())

    def _rows(self) -> Iterator[tuple[int, int]]:
        """The move of each row over (above zero, symbol, state).

        Numbers out of range count as the last symbol or state.
        """
        symbols, states = len(self.alphabet) - 1, len(self.accept) - 1
        for state in range(1 << states.bit_length()):
            for symbol in range(1 << self.alphabet.code_bits):
                yield from self.moves[min(state, states)][min(symbol, symbols)]

    def _moves_table(self, bit: int) -> list[bool]:
        return [bool(state >> bit & 1) for state, _ in self._rows()]

    def _count_table(self, by: int) -> list[bool]:
        return [change == by for _, change in self._rows()]


def _any(builder: CircuitBuilder, slots: Sequence[int]) -> int:
    found = builder.const(False)
    for slot in reversed(slots):
        found = builder.or_(found, slot)
    return found


def _count(builder: CircuitBuilder, row: list[int], up: int, down: int) -> tuple[list[int], int]:
    """A number plus or minus one, and whether it no longer fits."""
    carry, borrow = up, down
    after = []
    for x in row:
        after.append(builder.xor(x, builder.or_(carry, borrow)))
        carry, borrow = builder.and_(carry, x), builder.and_(borrow, builder.not_(x))
    return after, carry


@dataclass(frozen=True)
class Registers:
    """Key-value retrieval: a key token selects a register, a value token writes it.

    The verdict is the bit in the register of the last key, 0 before any key and before its first
    value. Values of several bits are as many lanes of the same machine.

    Source: BEM suite 3.3, `[START] k1 v1 … [SEP] q [END]`; the marks are the symbol `#`.
    """

    name: str = "key-value"
    alphabet: Alphabet = _REGISTER_SYMBOLS

    def verdicts(self, word: Sequence[Token]) -> Iterator[bool]:
        """See `Reference.verdicts`."""
        registers: dict[int, bool] = {}
        key: int | None = None
        yield False
        for token in word:
            symbol, address = self.alphabet.split(token)
            key = key if address is None else address
            if symbol in (1, 2) and key is not None:
                registers[key] = symbol == 2
            yield key is not None and registers.get(key, False)

    def at(self, width: int) -> Sequential:
        """The machine with `width` registers."""
        check_width(self.alphabet, width)
        n_state = width + address_bits(width) + 1
        builder = CircuitBuilder(n_state + self.alphabet.n_input_bits(width))
        row, latch = list(range(width)), list(range(width, n_state))
        low, high = n_state, n_state + 1
        latch, lines = build_latch(builder, latch, list(range(n_state + 2, builder.n_inputs)))
        writes = builder.xor(low, high)
        after, read = [], builder.const(False)
        for x, line in zip(row, lines, strict=True):
            after.append(builder.mux(builder.and_(writes, line), x, high))
            read = builder.or_(read, builder.and_(after[-1], line))
        circuit = builder.build([*after, *latch, read, builder.const(False)])
        word, latches = tuple(range(width)), tuple(range(width, n_state))
        return Sequential(circuit, (False,) * n_state, False, (), word, latches)


@dataclass(frozen=True)
class BitStack:
    """A stack of bits: `0` and `1` are pushed, `-` pops; the verdict is the bit on top.

    An empty stack reads as zeros, without end; it is full when a 1 would leave it at the bottom.
    """

    name: str = "stack"
    alphabet: Alphabet = _STACK_SYMBOLS

    def verdicts(self, word: Sequence[Token]) -> Iterator[bool]:
        """See `Reference.verdicts`."""
        stack = 0
        yield False
        for token in word:
            stack = stack >> 1 if token == 2 else 2 * stack + token
            yield bool(stack & 1)

    def at(self, width: int) -> Sequential:
        """The machine whose stack holds `width` bits."""
        check_width(self.alphabet, width)
        builder = CircuitBuilder(width + 2)
        row, one, pop = list(range(width)), width, width + 1
        below = [builder.and_(one, builder.not_(pop)), *row[:-1]]
        above = [*row[1:], builder.const(False)]
        after = [builder.mux(pop, b, a) for b, a in zip(below, above, strict=True)]
        trap = builder.and_(row[-1], builder.not_(pop))
        circuit = builder.build([*after, after[0], trap])
        return Sequential(circuit, (False,) * width, False, (), tuple(range(width)), ())


Move = tuple[int, int]


def counter_automaton(
    name: str,
    symbols: Sequence[str],
    moves: Mapping[tuple[int, str], Move | tuple[Move, Move]],
    accept: Sequence[tuple[bool, bool]],
) -> CounterAutomaton:
    """A counter automaton from a table by state and symbol.

    Args:
        name: of the language.
        symbols: of the alphabet.
        moves: (next state, change), or a pair of these for the counter at zero and above it.
        accept: for each state, the verdicts where the counter is zero and above zero.

    Raises:
        LearningError: see `CounterAutomaton`.
    """
    rows = []
    for state in range(len(accept)):
        row = []
        for symbol in symbols:
            if (state, symbol) not in moves:
                raise LearningError(
                    f"no move from state {state} on {symbol!r}", where=name, fix="give one"
                )
            row.append(_both(moves[state, symbol]))
        rows.append(tuple(row))
    return CounterAutomaton(name, Alphabet(tuple(symbols)), tuple(rows), tuple(accept))


def _both(move: Move | tuple[Move, Move]) -> tuple[Move, Move]:
    first, second = move
    if isinstance(first, tuple) and isinstance(second, tuple):
        return first, second
    assert isinstance(first, int)
    assert isinstance(second, int)
    return (first, second), (first, second)
