"""A language from strings to scores: learn, say how sure the program is, install, train, ask.

The learner and the models see the training strings and nothing else. That a program is right beyond
them is found out afterwards, by comparing it with the kernel's reference of the language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from bb_nn.config import DualRailConfig
from bb_train.config import LoraShape
from bb_train.languages.install import install_alone, library_of
from bb_train.languages.learn import LearnedProgram, learn_program
from bb_train.languages.tasks import Task, task_named
from bb_train.languages.trial import (
    Coding,
    Subject,
    Trained,
    Training,
    share_right,
    train,
    train_lora,
)
from bem_kernel.learning.induction import prove_equal
from bem_kernel.learning.product import compare
from bem_kernel.learning.reference import Reference, Registers
from bem_kernel.learning.tasks import task as reference_named

Sure = Literal["proved", "compared", "unknown"]
_STREAMS = 1 << 20  # seeds of strings: training and tests do not meet


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes:
        longest: length of the training strings; they have at least half of it.
        strings: to train on.
        stretch: how many times as long the test strings are.
        tests: strings of each test.
        training: of every method.
        lora_rates: learning rates that LoRA is given in turn; the best at the test counts.
    """

    longest: int = 16
    strings: int = 2000
    stretch: int = 64
    tests: int = 8
    training: Training = field(default_factory=Training)
    lora_rates: tuple[float, ...] = (3e-3,)


@dataclass(frozen=True)
class Score:
    """A method on a language.

    Attributes:
        short: share right at the training length, see `share_right`.
        long: at `stretch` times that.
        parameters: that were trained.
        seconds: of training.
    """

    short: float
    long: float
    parameters: int
    seconds: float


@dataclass(frozen=True)
class LanguageScores:
    """What became of a language.

    Attributes:
        program: that was learned.
        sure: see `how_sure`.
        programs: the rail with the program.
        plain: the same rail without.
        lora: LoRA on the same base, with as many parameters as `programs`.
    """

    program: LearnedProgram
    sure: Sure
    programs: Score
    plain: Score
    lora: Score


def how_sure(program: LearnedProgram, name: str, longest: int) -> Sure:
    """Whether the program is the language.

    Args:
        program: of it.
        name: of the language.
        longest: length of the words that are asked about.

    Returns:
        `proved`: by induction, for words of any length at the program's width. `compared`: all
        pairs of states that words up to `longest` reach were gone through, and agree. Else
        `unknown`.
    """
    keyed = bool(program.symbols.alphabet.keyed)
    reference: Reference = reference_named(name)
    if keyed:
        reference = Registers(alphabet=program.symbols.alphabet)
    if prove_equal(program.family, reference, program.width) is not None:
        return "proved"
    width = program.width if keyed else longest.bit_length()
    found = compare(program.family, reference, width)
    return "unknown" if found.difference is not None else "compared"


def language_scores(
    name: str,
    sizes: Sizes,
    base: Callable[[], Any],
    tokenizer: Any,
    config: Callable[[], DualRailConfig],
) -> LanguageScores:
    """Learn a language's program and train the three methods on the same strings.

    Args:
        name: of the task.
        sizes: how much of everything; the seed is that of its training.
        base: makes the frozen base, the same at every call.
        tokenizer: of the base.
        config: makes the rails' configuration.

    Raises:
        LanguageError: no program explains the strings, or a character has no token.
    """
    task, seed = task_named(name), sizes.training.seed
    strings = task.strings(sizes.strings, -(-sizes.longest // 2), sizes.longest, seed)
    program = learn_program(strings)
    sure = how_sure(program, name, sizes.longest * sizes.stretch)
    coding = Coding(tokenizer, program.symbols.characters)
    subject = Subject(base, coding, strings, config)
    with TemporaryDirectory() as folder:
        skill = install_alone(program, name, Path(folder))
    library = library_of(skill, program.symbols, coding.table)
    asked = _Tests(task, sizes, coding)
    programs = asked.score(train(subject, library, sizes.training))
    plain = asked.score(train(subject, None, sizes.training))
    rates = (replace(sizes.training, rate=rate) for rate in sizes.lora_rates)
    shape = LoraShape(parameters=programs.parameters)
    lora = [asked.score(train_lora(subject, shape, how)) for how in rates]
    return LanguageScores(program, sure, programs, plain, max(lora, key=lambda s: s.long))


class _Tests:
    """The strings that models are asked about."""

    def __init__(self, task: Task, sizes: Sizes, coding: Coding) -> None:
        self.coding = coding
        first = _STREAMS + 2 * sizes.training.seed
        lengths = (sizes.longest, sizes.longest * sizes.stretch)
        self.tests = [
            task.strings(sizes.tests, length, length, first + i) for i, length in enumerate(lengths)
        ]

    def score(self, trained: Trained) -> Score:
        short, long = (share_right(trained.model, self.coding, test) for test in self.tests)
        return Score(short, long, trained.parameters, trained.seconds)
