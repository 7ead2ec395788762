"""Exact identification of counter automata: the fewest states that explain the examples, by SAT.

As in `identify`, variables say in which state each prefix is and where each move leads; besides,
how each move changes the counter, and how high it is after each prefix (in unary: it is at most as
high as the prefix is long). The formula grows by one example at a time.

Source: Heule and Verwer 2010 (the encoding); Valiant and Paterson 1975 (one-counter automata).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet, Word
from bem_kernel.learning.examples import Example, label
from bem_kernel.learning.induction import PROOF_WIDTH, Induction, prove_equal
from bem_kernel.learning.numbering import Numbering, exactly_one
from bem_kernel.learning.product import compare
from bem_kernel.learning.reference import CounterAutomaton, Reference
from bem_kernel.learning.search import Effort
from bem_kernel.logic.cnf import Cnf
from bem_kernel.sat.growing import GrowingFormula

MAX_STATES = 6
_WIDTHS = (3, 5)  # of the comparisons with the reference

_Model = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Identification:
    """What asking for verdicts has come to.

    Attributes:
        automaton: has the fewest states that explain the examples; None: none was found.
        examples: what it explains.
        comparisons: exact comparisons with the reference.
        refusals: for 1, 2, … states, a formula that says that they explain the examples;
            unsatisfiable.
        proof: that the automaton agrees with the reference; None if there is no automaton.
        time_ms: for everything.
    """

    automaton: CounterAutomaton | None
    examples: tuple[Example, ...]
    comparisons: int
    refusals: tuple[Cnf, ...]
    proof: Induction | None
    time_ms: int


class CounterEncoding:
    """Examples in n states with a counter, as clauses.

    Args:
        formula: empty; grows with every example.
        alphabet: without addresses.
        n: states.
    """

    def __init__(self, formula: GrowingFormula, alphabet: Alphabet, n: int) -> None:
        self.formula, self.alphabet, self.n = formula, alphabet, n
        self._symbols = 2 * len(alphabet)  # each with the counter at zero, and above
        self._moves = self._new(self._symbols * n * n)
        self._ups, self._downs = self._new(self._symbols * n), self._new(self._symbols * n)
        self._accepts = self._new(2 * n)
        numbering = Numbering(n, self._symbols, self._move, self._new)
        (nothing,) = self._new(1)  # the counter after the empty prefix is not above zero
        start = self._new(n)
        self._prefixes: dict[Word, tuple[list[int], list[int]]] = {(): (start, [nothing])}
        formula.add([[-nothing], [start[0]], *([-v] for v in start[1:])])
        formula.add(numbering.clauses())
        formula.add(self._move_clauses())

    def _new(self, count: int) -> list[int]:
        return list(self.formula.new(count))

    def _move(self, symbol: int, start: int, end: int) -> int:
        return self._moves[(symbol * self.n + start) * self.n + end]

    def _move_clauses(self) -> Iterator[list[int]]:
        for symbol in range(self._symbols):
            for s in range(self.n):
                up, down = self._ups[symbol * self.n + s], self._downs[symbol * self.n + s]
                yield from exactly_one([self._move(symbol, s, t) for t in range(self.n)])
                yield [-down] if symbol % 2 == 0 else [-up, -down]

    def add_example(self, word: Word, verdict: bool) -> None:
        """Demand a verdict on a word."""
        for length in range(1, len(word) + 1):
            if word[:length] not in self._prefixes:
                self._add_prefix(word[:length])
        states, counts = self._prefixes[word]
        clauses = []
        for s, here in enumerate(states):
            for above in (0, 1):
                accept = self._accepts[2 * s + above]
                sign = -counts[0] if above else counts[0]
                clauses.append([-here, sign, accept if verdict else -accept])
        self.formula.add(clauses)

    def bound(self, word: Word, width: int) -> None:
        """Demand that the counter fit in so many bits all along a word that was added."""
        counts = [self._prefixes[word[:length]][1] for length in range(1 << width, len(word) + 1)]
        self.formula.add([-bits[(1 << width) - 1]] for bits in counts)

    def _add_prefix(self, word: Word) -> None:
        states, counts = self._prefixes[word[:-1]]
        after, (up, down) = self._new(self.n), self._new(2)
        higher = self._new(len(word))
        self._prefixes[word] = after, higher
        clauses = list(exactly_one(after))
        for s, here in enumerate(states):
            for above in (0, 1):
                symbol = 2 * word[-1] + above
                met = [-here, -counts[0] if above else counts[0]]
                for t, there in enumerate(after):
                    move = self._move(symbol, s, t)
                    clauses += [[*met, -move, there], [*met, move, -there]]
                for taken, each in ((up, self._ups), (down, self._downs)):
                    change = each[symbol * self.n + s]
                    clauses += [[*met, -change, taken], [*met, change, -taken]]
        for j, bit in enumerate(higher):  # the counter is above j
            for met, before in (([-up], j - 1), ([-down], j + 1), ([up, down], j)):
                if before < 0:
                    clauses.append([*met, bit])
                elif before >= len(counts):
                    clauses.append([*met, -bit])
                else:
                    clauses += [[*met, -counts[before], bit], [*met, counts[before], -bit]]
        self.formula.add(clauses)

    def automaton(self, model: _Model) -> CounterAutomaton:
        """The automaton of a model."""

        def true(variable: int) -> bool:
            return bool(model[variable - 1])

        def move(symbol: int, s: int) -> tuple[int, int]:
            end = next(t for t in range(self.n) if true(self._move(symbol, s, t)))
            at = symbol * self.n + s
            return end, int(true(self._ups[at])) - int(true(self._downs[at]))

        moves = tuple(
            tuple((move(2 * a, s), move(2 * a + 1, s)) for a in range(len(self.alphabet)))
            for s in range(self.n)
        )
        accept = tuple(
            (true(self._accepts[2 * s]), true(self._accepts[2 * s + 1])) for s in range(self.n)
        )
        return CounterAutomaton("identified", self.alphabet, moves, accept)

    def quietest(self) -> CounterAutomaton | None:
        """An automaton that counts in as few moves as possible, in the sense that none can go.

        Examples do not say what a counter does that is never looked at again; one that stands
        still there never overflows.
        """
        model, quiet = self.formula.solve(), list[int]()
        if model is None:
            return None
        for change in (*self._ups, *self._downs):
            if model[change - 1]:
                other = self.formula.solve([*quiet, -change])
                if other is None:
                    continue
                model = other
            quiet.append(-change)
        return self.automaton(model)

    def forbid(self, model: _Model) -> None:
        """Demand another automaton than the model's."""
        tables = [*self._moves, *self._ups, *self._downs, *self._accepts]
        self.formula.add([[-v if model[v - 1] else v for v in tables]])


def identify_counter(
    alphabet: Alphabet, examples: Sequence[Example], max_states: int = MAX_STATES
) -> CounterAutomaton:
    """Find the smallest counter automaton that explains all examples, nobody being asked.

    Raises:
        LearningError: the alphabet has addresses, or the examples need more states than allowed.
    """
    _refuse_addresses(alphabet)
    for n in range(1, max_states + 1):
        with GrowingFormula() as formula:
            encoding = CounterEncoding(formula, alphabet, n)
            for example in examples:
                encoding.add_example(example.word, example.verdict)
            if (automaton := encoding.quietest()) is not None:
                return automaton
    raise LearningError(
        f"{max_states} states with a counter do not explain the examples",
        where="identify_counter",
        fix="learn with the template",
    )


def _refuse_addresses(alphabet: Alphabet) -> None:
    if alphabet.keyed:
        raise LearningError(
            "the alphabet has addresses", where="identify_counter", fix="learn with the template"
        )


def identify_with(
    reference: Reference,
    examples: Iterable[Example] = (),
    effort: Effort | None = None,
    width: int = PROOF_WIDTH,
    seed: int = 0,
) -> Identification:
    """Find the smallest counter automaton by asking for verdicts, and prove it right.

    Args:
        reference: gives the verdicts, and is what candidates are compared with.
        examples: what is known already.
        effort: how far to go; its flags are of no account.
        width: of the proof.
        seed: of the draws among words to ask.

    Raises:
        LearningError: the alphabet has addresses.
    """
    _refuse_addresses(reference.alphabet)
    asking = _Asking(reference, effort or Effort(), seed, {e.word: e for e in examples})
    refusals: list[Cnf] = []
    for n in range(1, MAX_STATES + 1):
        with GrowingFormula() as formula:
            encoding = CounterEncoding(formula, reference.alphabet, n)
            for example in asking.examples.values():
                encoding.add_example(example.word, example.verdict)
            for model in _models(formula, asking):
                automaton = encoding.automaton(model)
                found = asking.difference(automaton)
                if found is not None:
                    example, small = found
                    encoding.add_example(example.word, example.verdict)
                    encoding.bound(example.word, small)
                elif (proof := prove_equal(automaton, reference, width)) is not None:
                    return asking.report(automaton, refusals, proof)
                else:
                    encoding.forbid(model)
            if asking.spent:
                break
            refusals.append(formula.cnf())
    return asking.report(None, refusals, None)


def _models(formula: GrowingFormula, asking: _Asking) -> Iterator[_Model]:
    while not asking.spent and (model := formula.solve()) is not None:
        yield model


class _Asking:
    """The words asked so far, and what is left of the effort."""

    def __init__(
        self, reference: Reference, effort: Effort, seed: int, examples: dict[Word, Example]
    ) -> None:
        self.examples, self.comparisons = examples, 0
        self._reference, self._effort, self._seed = reference, effort, seed
        self._began_ns = time.perf_counter_ns()

    @property
    def spent(self) -> bool:
        """Whether to stop."""
        late = self._time_ms >= self._effort.time_ms
        return late or len(self.examples) >= self._effort.max_examples

    @property
    def _time_ms(self) -> int:
        return (time.perf_counter_ns() - self._began_ns) // 1_000_000

    def difference(self, automaton: CounterAutomaton) -> tuple[Example, int] | None:
        """An example on which the automaton is wrong, or traps, at the width given with it."""
        for width in _WIDTHS:
            self.comparisons += 1
            seed = self._seed + self.comparisons
            found = compare(automaton, self._reference, width, seed).difference
            if found is not None:
                return self.examples.setdefault(found, label(self._reference, found)), width
        return None

    def report(
        self, automaton: CounterAutomaton | None, refusals: list[Cnf], proof: Induction | None
    ) -> Identification:
        examples = tuple(self.examples.values())
        return Identification(
            automaton, examples, self.comparisons, tuple(refusals), proof, self._time_ms
        )
