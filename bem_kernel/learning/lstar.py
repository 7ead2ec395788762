"""L*: an automaton by asking a teacher, first for verdicts, then for a mistake.

A Mealy machine is learned alike, the answer to a word's last token being its verdict.

Source: Angluin 1987; Rivest and Schapire 1993 (one suffix per counterexample, by bisection);
Niese 2003 (Mealy machines).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet, Word
from bem_kernel.learning.automaton import Automaton, difference
from bem_kernel.learning.mealy import Answer, Mealy, mealy_difference

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
    table = _Table(teacher.alphabet, teacher.verdict, [()])
    shown = 0
    while True:
        moves = table.close(max_states)
        accept = tuple(bool(table.answer(word)) for word in table.access)
        automaton = Automaton(teacher.alphabet, moves, accept)
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
        table.refine(moves, word)


class MealyTeacher(Protocol):
    """Somebody who knows what a Mealy machine says."""

    @property
    def alphabet(self) -> Alphabet:
        """What the machine reads."""

    @property
    def answers(self) -> Alphabet:
        """What it says."""

    def answer(self, word: Word) -> Answer:
        """What it says to the last token of a word that is not empty."""

    def mistake(self, machine: Mealy) -> Word | None:
        """A word to whose last token the machine says something else, or None."""


@dataclass(frozen=True)
class KnownMealy:
    """A teacher who has the machine, and compares exactly."""

    machine: Mealy

    @property
    def alphabet(self) -> Alphabet:
        """What the machine reads."""
        return self.machine.alphabet

    @property
    def answers(self) -> Alphabet:
        """What it says."""
        return self.machine.answers

    def answer(self, word: Word) -> Answer:
        """What it says to the last token of a word that is not empty."""
        return self.machine.run(word)[-1]

    def mistake(self, machine: Mealy) -> Word | None:
        """A shortest word to whose last token the machine says something else, or None."""
        return mealy_difference(machine, self.machine)


@dataclass(frozen=True)
class TaughtMealy:
    """What L* has learned.

    Attributes:
        machine: the teacher finds no mistake in it.
        answers_asked: how many different words were asked.
        mistakes_asked: how many machines were shown.
    """

    machine: Mealy
    answers_asked: int
    mistakes_asked: int


def learn_mealy_from_teacher(teacher: MealyTeacher, max_states: int = MAX_STATES) -> TaughtMealy:
    """Learn a Mealy machine.

    Raises:
        LearningError: it has more states than allowed, or the teacher contradicts himself.
    """
    symbols = [(token,) for token in range(len(teacher.alphabet))]
    table = _Table(teacher.alphabet, teacher.answer, list(symbols))
    shown = 0
    while True:
        moves = table.close(max_states)
        says = tuple(
            tuple(table.answer(word + symbol) for symbol in symbols) for word in table.access
        )
        machine = Mealy(teacher.alphabet, teacher.answers, moves, says)
        shown += 1
        word = teacher.mistake(machine)
        if word is None:
            return TaughtMealy(machine, len(table.known), shown)
        if teacher.answer(word) == machine.run(word)[-1]:
            raise LearningError(
                f"no mistake on {teacher.alphabet.show(word)!r}",
                where="lstar",
                fix="give a word on which answers differ",
            )
        table.refine(moves, word)


class _Table:
    """Words that reach each state, and suffixes that tell the states apart.

    Args:
        alphabet: of the words.
        ask: the verdict on a word, or the answer to its last token.
        suffixes: to begin with; the empty one if the empty word has a verdict.
    """

    def __init__(
        self, alphabet: Alphabet, ask: Callable[[Word], int], suffixes: list[Word]
    ) -> None:
        self.alphabet, self._ask, self.suffixes = alphabet, ask, suffixes
        self._shortest = min(map(len, suffixes))
        self.known: dict[Word, int] = {}
        self.access: list[Word] = [()]

    def answer(self, word: Word) -> int:
        """What the teacher says, asked at most once."""
        if word not in self.known:
            self.known[word] = self._ask(word)
        return self.known[word]

    def _row(self, word: Word) -> tuple[int, ...]:
        return tuple(self.answer(word + suffix) for suffix in self.suffixes)

    def close(self, max_states: int) -> tuple[tuple[int, ...], ...]:
        """Find words for all states that the suffixes tell apart, and the moves between these."""
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
        return tuple(moves)

    def refine(self, moves: tuple[tuple[int, ...], ...], word: Word) -> None:
        """Add the suffix of a counterexample that tells two united states apart."""

        def agrees(length: int) -> bool:
            """Whether replacing a prefix by its state's word leaves what the teacher says."""
            state = 0
            for token in word[:length]:
                state = moves[state][token]
            return self.answer(self.access[state] + word[length:]) == self.answer(word)

        low, high = 0, len(word) - self._shortest  # at 0 it agrees, at the end it does not
        while high - low > 1:
            middle = (low + high) // 2
            if agrees(middle):
                low = middle
            else:
                high = middle
        self.suffixes.append(word[high:])
