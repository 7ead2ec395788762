"""L*: an automaton by asking a teacher, first for verdicts, then for a mistake.

Source: Angluin 1987; Rivest and Schapire 1993 (one suffix per counterexample, by bisection).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet, Word
from bem_kernel.learning.automaton import Automaton, difference

MAX_STATES = 4096


class Teacher(Protocol):
    """Somebody who knows a regular language."""

    @property
    def alphabet(self) -> Alphabet:
        """Of the language."""

    def verdict(self, word: Word) -> bool:
        """Whether the word belongs to it."""

    def mistake(self, automaton: Automaton) -> Word | None:
        """A word on which the automaton is wrong, or None."""


@dataclass(frozen=True)
class AutomatonTeacher:
    """A teacher who has an automaton, and compares exactly."""

    automaton: Automaton

    @property
    def alphabet(self) -> Alphabet:
        """Of the language."""
        return self.automaton.alphabet

    def verdict(self, word: Word) -> bool:
        """Whether the word belongs to it."""
        return self.automaton.verdict(word)

    def mistake(self, automaton: Automaton) -> Word | None:
        """A shortest word on which the automaton is wrong, or None."""
        return difference(automaton, self.automaton)


@dataclass(frozen=True)
class Taught:
    """What L* has learned.

    Attributes:
        automaton: the teacher finds no mistake in it.
        verdicts_asked: how many different words were asked.
        mistakes_asked: how many automata were shown.
    """

    automaton: Automaton
    verdicts_asked: int
    mistakes_asked: int


def learn_from_teacher(teacher: Teacher, max_states: int = MAX_STATES) -> Taught:
    """Learn a regular language.

    Raises:
        LearningError: it has more states than allowed (or is not regular), or the teacher
            contradicts himself.
    """
    table = _Table(teacher.alphabet, teacher.verdict)
    shown = 0
    while True:
        automaton = table.automaton(max_states)
        shown += 1
        word = teacher.mistake(automaton)
        if word is None:
            return Taught(automaton, len(table.known), shown)
        if teacher.verdict(word) == automaton.verdict(word):
            raise LearningError(
                f"no mistake on {teacher.alphabet.show(word)!r}",
                where="lstar",
                fix="give a word on which verdicts differ",
            )
        table.refine(automaton, word)


class _Table:
    """Words that reach each state, and suffixes that tell the states apart."""

    def __init__(self, alphabet: Alphabet, ask: Callable[[Word], bool]) -> None:
        self.alphabet, self._ask = alphabet, ask
        self.known: dict[Word, bool] = {}
        self.access: list[Word] = [()]
        self.suffixes: list[Word] = [()]

    def _verdict(self, word: Word) -> bool:
        if word not in self.known:
            self.known[word] = self._ask(word)
        return self.known[word]

    def _row(self, word: Word) -> tuple[bool, ...]:
        return tuple(self._verdict(word + suffix) for suffix in self.suffixes)

    def automaton(self, max_states: int) -> Automaton:
        """Close the table and read the automaton off it."""
        number = {self._row(word): i for i, word in enumerate(self.access)}
        moves: list[tuple[int, ...]] = []
        while len(moves) < len(self.access):
            word, ends = self.access[len(moves)], []
            for symbol in range(len(self.alphabet)):
                row = self._row((*word, symbol))
                if row not in number:
                    number[row] = len(self.access)
                    self.access.append((*word, symbol))
                    if len(self.access) > max_states:
                        raise LearningError(
                            f"more than {max_states} states",
                            where="lstar",
                            fix="allow more, or learn with the template",
                        )
                ends.append(number[row])
            moves.append(tuple(ends))
        accept = tuple(self._verdict(word) for word in self.access)
        return Automaton(self.alphabet, tuple(moves), accept)

    def refine(self, automaton: Automaton, word: Word) -> None:
        """Add the suffix of a counterexample that tells two united states apart."""

        def agrees(length: int) -> bool:
            """Whether replacing a prefix by its state's word leaves the teacher's verdict."""
            state = 0
            for token in word[:length]:
                state = automaton.moves[state][token]
            return self._verdict(self.access[state] + word[length:]) == self._verdict(word)

        low, high = 0, len(word)  # at 0 it agrees, at the end it does not
        while high - low > 1:
            middle = (low + high) // 2
            if agrees(middle):
                low = middle
            else:
                high = middle
        self.suffixes.append(word[high:])
