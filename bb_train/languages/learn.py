"""Programs from training strings alone: hypothesis, a string that it gets wrong, and again.

Nobody is asked. Hypotheses are of several classes (finite automata, automata with a counter, the
kernel's template where there are keys), each in several sizes, and are tried in order of the bits
that say which of its class one is. A solver finds a hypothesis that explains the strings looked at
so far; all training strings are run through it at once, as lanes; and of those that it gets wrong a
shortest beginning is looked at next. So what is learned explains every training string, and nothing
that takes fewer bits does; that it is right on longer ones no data can say.

Sources: Solar-Lezama 2008 (counterexample-guided synthesis); Rissanen 1978 (description length);
Heule and Verwer 2010, and `bem_kernel.learning`, for the solvers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from bb_nn.library.skill import skill_of_machine
from bb_train.languages.symbols import LanguageError, Symbols
from bb_train.languages.tasks import Labelled
from bb_train.soft_to_hard import run_circuit
from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet, Word
from bem_kernel.learning.examples import Example
from bem_kernel.learning.identify import identify
from bem_kernel.learning.identify_counter import CounterEncoding
from bem_kernel.learning.search import shapes
from bem_kernel.learning.sequential import Family
from bem_kernel.learning.template import Shape
from bem_kernel.learning.unroll import Unrolled
from bem_kernel.sat.growing import GrowingFormula

MAX_STATES, MAX_COUNTING_STATES, MAX_FLAGS = 12, 4, 2
COUNTER_BITS = 16
"""Cells of a counter; words shorter than 2**16 cannot make it overflow."""

_AT_ONCE = 2

Solver = Callable[[Sequence[Example]], Family | None]
"""Takes examples not given before; None: no hypothesis of this size explains all of them."""


@dataclass(frozen=True)
class Size:
    """A class of hypotheses in one size.

    Attributes:
        name: for people.
        bits: that say which of them one is.
        solver: opened for as long as this size is tried.
    """

    name: str
    bits: float
    solver: Callable[[], AbstractContextManager[Solver]]


@dataclass(frozen=True, eq=False)
class LearnedProgram:
    """What explains all training strings.

    Attributes:
        symbols: that it reads.
        family: a machine for every width.
        width: that it is used at.
        found_as: class and size.
        learned_bits: of its description.
        looked_at: beginnings of strings that the solver was given.
        strings: training strings.
        time_s: for everything.
    """

    symbols: Symbols
    family: Family
    width: int
    found_as: str
    learned_bits: int
    looked_at: tuple[Example, ...]
    strings: int
    time_s: float


class Pool:
    """Training strings as lanes.

    Args:
        strings: with a verdict after each character.
        symbols: of the strings.
    """

    def __init__(self, strings: Sequence[Labelled], symbols: Symbols) -> None:
        if not strings or not all(found.text for found in strings):
            raise LanguageError("a string is empty", where="pool", fix="give strings")
        self.strings, self.symbols = strings, symbols
        longest = max(len(found.text) for found in strings)
        self.here = np.arange(longest) < np.array([[len(found.text)] for found in strings])
        self.wanted = np.zeros(self.here.shape, np.bool_)
        self.wanted[self.here] = np.concatenate([found.verdicts for found in strings])

    @property
    def width(self) -> int:
        """Of every hypothesis: a cell for each key, or enough of them to count."""
        return self.symbols.addresses if self.symbols.alphabet.keyed else COUNTER_BITS

    @cached_property
    def inputs(self) -> NDArray[np.bool_]:
        """(strings, longest, bits), 0 after the end."""
        place = {char: i for i, char in enumerate(self.symbols.characters)}
        numbers = np.zeros(self.here.shape, np.int64)
        numbers[self.here] = [place[char] for found in self.strings for char in found.text]
        bits = self.symbols.input_bits()[numbers]
        return bits & self.here[..., None]

    def wrong(self, family: Family, most: int = 1) -> list[Example]:
        """Shortest beginnings on which the machine is wrong or overflows, if there are any."""
        machine = family.at(self.width)
        skill = skill_of_machine("hypothesis", machine, 0)
        found = run_circuit(skill.circuit, skill.n_state, self.inputs)
        wrong = ((found[..., 0] != self.wanted) | found[..., 1]) & self.here
        examples = dict[Word, Example]()
        for at, row in np.argwhere(wrong.T):
            word = self.symbols.word(self.strings[row].text[: at + 1])
            examples.setdefault(word, Example(word, bool(self.wanted[row, at])))
            if len(examples) == most:
                break
        return list(examples.values())


def learn_program(strings: Sequence[Labelled]) -> LearnedProgram:
    """The first hypothesis in order of description that explains all strings.

    Raises:
        LanguageError: none does.
    """
    began = time.perf_counter()
    symbols = Symbols.of(found.text for found in strings)
    pool = Pool(strings, symbols)
    first = Example(symbols.word(strings[0].text[:1]), bool(strings[0].verdicts[0]))
    looked_at = {first.word: first}
    for size in sizes(symbols.alphabet, pool.width):
        with size.solver() as solve:
            family = solve(list(looked_at.values()))
            while family is not None:
                wrong = pool.wrong(family, _AT_ONCE)
                if not wrong:
                    spent = time.perf_counter() - began
                    examples = tuple(looked_at.values())
                    return LearnedProgram(
                        symbols, family, pool.width, size.name, ceil(size.bits), examples,
                        len(strings), spent,
                    )  # fmt: skip
                looked_at |= {example.word: example for example in wrong}
                family = solve(wrong)
    raise LanguageError(
        f"no program explains the {len(strings)} strings", where="learn",
        fix="check the verdicts, or name more sizes",
    )  # fmt: skip


def sizes(alphabet: Alphabet, width: int) -> list[Size]:
    """What is tried, by the bits of its description."""
    if alphabet.keyed:
        every = [_template(alphabet, shape, width) for shape in shapes(alphabet, MAX_FLAGS)]
    else:
        every = [_finite(alphabet, n) for n in range(1, MAX_STATES + 1)]
        every += [_counting(alphabet, n) for n in range(1, MAX_COUNTING_STATES + 1)]
    return sorted(every, key=lambda size: size.bits)


def _finite(alphabet: Alphabet, n: int) -> Size:
    def open_solver() -> AbstractContextManager[Solver]:
        examples: list[Example] = []

        def solve(more: Sequence[Example]) -> Family | None:
            examples.extend(more)
            try:
                return identify(alphabet, examples, n).automaton
            except LearningError:
                return None

        return nullcontext(solve)

    bits = n * len(alphabet) * log2(n) + n
    return Size(f"automaton of {n} states", bits, open_solver)


def _counting(alphabet: Alphabet, n: int) -> Size:
    @contextmanager
    def open_solver() -> Iterator[Solver]:
        with GrowingFormula() as formula:
            encoding = CounterEncoding(formula, alphabet, n)

            def solve(more: Sequence[Example]) -> Family | None:
                for example in more:
                    encoding.add_example(example.word, example.verdict)
                return encoding.quietest()

            yield solve

    # At each state, symbol and test for zero: the next state, and up, down or neither.
    bits = n * len(alphabet) * 2 * log2(3 * n) + 2 * n
    return Size(f"counter automaton of {n} states", bits, open_solver)


def _template(alphabet: Alphabet, shape: Shape, width: int) -> Size:
    @contextmanager
    def open_solver() -> Iterator[Solver]:
        with GrowingFormula() as formula:
            unrolled = Unrolled(formula, alphabet, shape, width)

            def solve(more: Sequence[Example]) -> Family | None:
                for example in more:
                    unrolled.add_example(example.word, example.verdict)
                model = formula.solve()
                return None if model is None else unrolled.program(model)

            yield solve

    up = ", cells see the one above" if shape.upward else ""
    return Size(f"template of {shape.n_flags} flags{up}", shape.n_unknown, open_solver)
