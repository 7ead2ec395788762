"""Finite automata with a verdict in every state: minimal form, comparison, circuits.

An automaton is a machine for every width (the width is of no account), so what is learned as an
automaton is compared, proved and made an expert like any other learned program.

Source: Moore 1956 (partition refinement); Hopcroft and Karp 1971 (comparison by pairs).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet, Token, Word
from bem_kernel.learning.sequential import Sequential, build_table


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton; state 0 is the first.

    Attributes:
        alphabet: symbols without addresses.
        moves: the next state, for each state and symbol.
        accept: the verdict in each state.
        name: of the language.

    Raises:
        LearningError: there is no state, or a move is missing or leads nowhere.
    """

    alphabet: Alphabet
    moves: tuple[tuple[int, ...], ...]
    accept: tuple[bool, ...]
    name: str = "automaton"

    def __post_init__(self) -> None:
        n = len(self.accept)
        whole = n > 0 and len(self.moves) == n and not self.alphabet.keyed
        if not whole or any(
            len(row) != len(self.alphabet) or not all(0 <= t < n for t in row) for row in self.moves
        ):
            raise LearningError(
                f"{len(self.moves)} rows of moves and {n} verdicts",
                where=self.name,
                fix="give each state a verdict and, for each symbol, a state",
            )

    def __len__(self) -> int:
        return len(self.accept)

    def verdicts(self, word: Sequence[Token]) -> Iterator[bool]:
        """The verdict on the empty word, then after each token."""
        state = 0
        yield self.accept[state]
        for token in word:
            state = self.moves[state][token]
            yield self.accept[state]

    def verdict(self, word: Sequence[Token]) -> bool:
        """The verdict on a whole word."""
        state = 0
        for token in word:
            state = self.moves[state][token]
        return self.accept[state]

    def at(self, width: int) -> Sequential:
        """The machine as a circuit over its state's number; the same at every width."""
        n_flags = (len(self) - 1).bit_length()
        builder = CircuitBuilder(n_flags + self.alphabet.n_input_bits(width))
        selectors = [*range(n_flags, builder.n_inputs), *range(n_flags)]
        last_state, last_symbol = len(self) - 1, len(self.alphabet) - 1
        ends = [
            self.moves[min(state, last_state)][min(symbol, last_symbol)]
            for state in range(1 << n_flags)
            for symbol in range(1 << self.alphabet.code_bits)
        ]
        after = [
            build_table(builder, [bool(end >> bit & 1) for end in ends], selectors)
            for bit in range(n_flags)
        ]
        accept = [self.accept[min(state, last_state)] for state in range(1 << n_flags)]
        verdict = build_table(builder, accept, after)
        circuit = builder.build([*after, verdict, builder.const(False)])
        flags = tuple(range(n_flags))
        return Sequential(circuit, (False,) * n_flags, self.accept[0], flags, (), ())


def minimal(automaton: Automaton) -> Automaton:
    """The smallest automaton of the language, its states numbered as they are first reached."""
    states, moves = told_apart(automaton.moves, automaton.accept)
    accept = tuple(automaton.accept[state] for state in states)
    return Automaton(automaton.alphabet, moves, accept, automaton.name)


def told_apart(
    moves: Sequence[Sequence[int]], labels: Sequence[object]
) -> tuple[list[int], tuple[tuple[int, ...], ...]]:
    """One state for each set of states that no word tells apart by a label.

    Args:
        moves: the next state, for each state and symbol; state 0 is the first.
        labels: of the states.

    Returns:
        The states that are left, in the order of a breadth-first walk, and their moves among each
        other.
    """
    block = _numbers(labels)
    while True:
        keys = [(block[s], *(block[end] for end in row)) for s, row in enumerate(moves)]
        finer = _numbers(keys)
        if max(finer) == max(block):
            break
        block = finer
    left, place = [0], {block[0]: 0}
    for state in left:
        for end in moves[state]:
            if block[end] not in place:
                place[block[end]] = len(left)
                left.append(end)
    return left, tuple(tuple(place[block[end]] for end in moves[state]) for state in left)


def _numbers(keys: Sequence[object]) -> list[int]:
    """Equal keys have equal numbers, from 0 up."""
    numbers: dict[object, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def difference(one: Automaton, other: Automaton) -> Word | None:
    """A shortest word on which two automata differ, or None: exact, for all lengths.

    Raises:
        LearningError: the alphabets differ.
    """
    if one.alphabet != other.alphabet:
        raise LearningError(
            "the alphabets differ", where="automaton.difference", fix="compare over one alphabet"
        )
    seen: dict[tuple[int, int], Word] = {(0, 0): ()}
    waiting = deque(seen)
    while waiting:
        pair = waiting.popleft()
        if one.accept[pair[0]] != other.accept[pair[1]]:
            return seen[pair]
        for symbol in range(len(one.alphabet)):
            following = one.moves[pair[0]][symbol], other.moves[pair[1]][symbol]
            if following not in seen:
                seen[following] = (*seen[pair], symbol)
                waiting.append(following)
    return None


def counting_automaton(symbols: Sequence[str], limit: int) -> Automaton:
    """Dyck-1 to a depth: opened and closed in order, never more than `limit` deep.

    Raises:
        LearningError: not two symbols, or a limit below 1.
    """
    if len(symbols) != 2 or limit < 1:
        raise LearningError(
            f"{len(symbols)} symbols, depth {limit}",
            where="counting_automaton",
            fix="give an opening and a closing symbol, and a depth of 1 or more",
        )
    dead = limit + 1
    moves = [
        (depth + 1, depth - 1 if depth else dead) for depth in range(limit + 1)
    ]  # beyond the limit is dead as well
    accept = (True, *([False] * (limit + 1)))
    name = f"dyck-to-{limit}"
    return Automaton(Alphabet(tuple(symbols)), (*moves, (dead, dead)), accept, name)
