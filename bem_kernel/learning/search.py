"""Learning a program of the template: from given examples, or with somebody to ask.

`learn_passive` takes the smallest shape that explains the examples, and of its programs the first;
those with zeros where they can be were no more often right, and took ten times as long.
`learn_with` asks a reference: it compares each candidate with it exactly at a small width and adds
the word on which they differ as an example, until none is left; then it proves that they agree at
full width. A candidate that cannot be proved, though no difference is found, is set aside for the
next. Showing instead the word on which most of eight candidates were wrong took no fewer examples
(24 against 21 for majority, 25 against 29 for final Dyck) and three times as long: every example
tells about two bits of the tables either way.

Source: Solar-Lezama 2008 (counterexample-guided synthesis).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.examples import Example, label
from bem_kernel.learning.induction import PROOF_WIDTH, Induction, prove_equal
from bem_kernel.learning.product import compare
from bem_kernel.learning.reference import Reference
from bem_kernel.learning.template import Learned, Shape
from bem_kernel.learning.unroll import Unrolled
from bem_kernel.logic.cnf import Cnf
from bem_kernel.sat.growing import GrowingFormula

MAX_WIDTH = 16
_WIDER = 2  # by how much the second comparison is wider than the first
_MOST_UNPROVED = 4  # candidates of one shape set aside before the next shape


@dataclass(frozen=True)
class Effort:
    """How far to go.

    Attributes:
        max_flags: the most bits of finite control.
        time_ms: stop with what there is after this; checked between questions.
        max_examples: ask no more than so many.
    """

    max_flags: int = 3
    time_ms: int = 30_000
    max_examples: int = 256


@dataclass(frozen=True, eq=False)
class Refusal:
    """A smaller shape that does not explain the examples.

    Attributes:
        shape: the shape.
        width: of the row in that formula; no carry leaves it.
        formula: the examples over the shape's unknown tables; unsatisfiable, see `minimality`.
    """

    shape: Shape
    width: int
    formula: Cnf


@dataclass(frozen=True, eq=False)
class Report:
    """What learning has come to.

    Attributes:
        program: explains all examples; None: none was found within the effort.
        chosen_by: `data`: the examples were given; `oracle`: the learner chose each word and was
            told its verdict.
        examples: what the program explains: every label it was learned from.
        comparisons: exact comparisons with the reference.
        refusals: smaller shapes that do not explain the examples.
        proof: that the program agrees with the reference; None: not tried, or not found.
        time_ms: for everything.
    """

    program: Learned | None
    chosen_by: Literal["data", "oracle"]
    examples: tuple[Example, ...]
    comparisons: int
    refusals: tuple[Refusal, ...]
    proof: Induction | None
    time_ms: int


@dataclass
class _Run:
    """What has been gathered so far."""

    alphabet: Alphabet
    effort: Effort
    examples: dict[tuple[int, ...], Example] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    comparisons: int = 0
    began_ns: int = field(default_factory=time.perf_counter_ns)

    @property
    def time_ms(self) -> int:
        return (time.perf_counter_ns() - self.began_ns) // 1_000_000

    @property
    def spent(self) -> bool:
        late = self.time_ms >= self.effort.time_ms
        return late or len(self.examples) >= self.effort.max_examples

    def report(
        self, program: Learned | None, oracle: bool, proof: Induction | None = None
    ) -> Report:
        return Report(
            program,
            "oracle" if oracle else "data",
            tuple(self.examples.values()),
            self.comparisons,
            tuple(self.refusals),
            proof,
            self.time_ms,
        )


def shapes(alphabet: Alphabet, max_flags: int) -> list[Shape]:
    """The shapes to try, by the number of unknown bits."""
    keyed = bool(alphabet.keyed)
    every = [
        Shape(len(alphabet), f, keyed, up) for f in range(max_flags + 1) for up in (False, True)
    ]
    return sorted(every, key=lambda shape: shape.n_unknown)


def learn_passive(
    alphabet: Alphabet, examples: Sequence[Example], effort: Effort | None = None
) -> Report:
    """The first shape with a program that explains all examples, nobody being asked.

    Args:
        alphabet: of the words.
        examples: at least one.
        effort: how far to go; examples are all used, however many.

    Raises:
        LearningError: there is no example, or an address is beyond the widest row.
    """
    if not examples:
        raise LearningError("no example", where="learn", fix="give labelled words")
    run = _Run(alphabet, effort or Effort())
    run.examples = {example.word: example for example in examples}
    for width in _widths(alphabet, examples):
        for shape in shapes(alphabet, run.effort.max_flags):
            with GrowingFormula() as formula:
                unrolled = _unroll(formula, run, shape, width)
                model = formula.solve()
                if model is not None:
                    return run.report(unrolled.program(model), oracle=False)
                run.refusals.append(Refusal(shape, width, formula.cnf()))
            if run.time_ms >= run.effort.time_ms:
                return run.report(None, oracle=False)
    return run.report(None, oracle=False)


def _widths(alphabet: Alphabet, examples: Iterable[Example]) -> list[int]:
    """A row for counting up to the longest word, then one bit per token, as a stack needs."""
    longest = max(len(example.word) for example in examples)
    if not alphabet.keyed:
        counting = max(2, longest.bit_length())
        return [counting, *([longest] if counting < longest <= MAX_WIDTH else [])]
    addresses = [alphabet.split(token)[1] or 0 for e in examples for token in e.word]
    width = 1 << max(addresses, default=0).bit_length()
    if width > MAX_WIDTH:
        raise LearningError(
            f"address {max(addresses)}",
            where="learn",
            fix=f"learn from addresses below {MAX_WIDTH}",
        )
    return [width]


def _unroll(formula: GrowingFormula, run: _Run, shape: Shape, width: int) -> Unrolled:
    unrolled = Unrolled(formula, run.alphabet, shape, width)
    for example in run.examples.values():
        unrolled.add_example(example.word, example.verdict)
    return unrolled


def learn_with(
    reference: Reference, effort: Effort | None = None, width: int = PROOF_WIDTH, seed: int = 0
) -> Report:
    """Learn a language by asking for verdicts, and prove the result.

    Args:
        reference: gives the verdicts, and is what candidates are compared with.
        effort: how far to go.
        width: of the proof.
        seed: of the draws among words to ask.

    Returns:
        A report with a proved program; without a program if the effort did not suffice.
    """
    run = _Run(reference.alphabet, effort or Effort())
    small = 1 if reference.alphabet.keyed else 3
    for shape in shapes(reference.alphabet, run.effort.max_flags):
        trying = _Candidates(reference, run, shape, small, seed)
        for program in trying:
            proof = prove_equal(program, reference, width)
            if proof is not None:
                return run.report(program, oracle=True, proof=proof)
        small = trying.width
        if run.spent:
            break
    return run.report(None, oracle=True)


class _Candidates:
    """The programs of one shape that differ from the reference at no small width."""

    def __init__(
        self, reference: Reference, run: _Run, shape: Shape, width: int, seed: int
    ) -> None:
        self.reference, self.run, self.shape = reference, run, shape
        self.width, self._seed = width, seed

    def __iter__(self) -> Iterator[Learned]:
        aside: list[Learned] = []
        while self.width <= MAX_WIDTH:
            with GrowingFormula() as formula:
                unrolled = _unroll(formula, self.run, self.shape, self.width)
                for program in aside:
                    unrolled.forbid(program)
                wider = yield from self._at_width(formula, unrolled, aside)
            if not wider:
                return
            self.width = wider

    def _at_width(
        self, formula: GrowingFormula, unrolled: Unrolled, aside: list[Learned]
    ) -> Generator[Learned, None, int]:
        """Candidates until there are no more, or a wider row is needed, which is returned."""
        run, keyed = self.run, bool(self.run.alphabet.keyed)
        while not run.spent:
            model = formula.solve()
            if model is None:
                if not aside:
                    run.refusals.append(Refusal(self.shape, self.width, formula.cnf()))
                return 0
            program = unrolled.program(model)
            if (example := self._differs(program, self.width)) is not None:
                unrolled.add_example(example.word, example.verdict)
                continue
            wider = 2 * self.width if keyed else self.width + _WIDER
            if self._differs(program, wider) is not None:
                return wider if keyed else self.width + 1
            yield program
            if len(aside) == _MOST_UNPROVED:
                return 0
            aside.append(program)
            unrolled.forbid(program)
        return 0

    def _differs(self, program: Learned, width: int) -> Example | None:
        """A new example on which the program is wrong at a width, if there is one."""
        run = self.run
        run.comparisons += 1
        found = compare(program, self.reference, width, self._seed + run.comparisons)
        if found.difference is None:
            return None
        example = label(self.reference, found.difference)
        run.examples[example.word] = example
        return example
