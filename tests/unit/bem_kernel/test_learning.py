"""Learning programs of the template: examples, search, proofs, running."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random, SystemRandom

import numpy as np
import pytest

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.examples import (
    Example,
    draw_examples,
    label,
    read_examples,
    show_examples,
)
from bem_kernel.learning.induction import prove_equal
from bem_kernel.learning.product import compare
from bem_kernel.learning.random_language import random_language
from bem_kernel.learning.reference import Registers, counter_automaton
from bem_kernel.learning.run import read
from bem_kernel.learning.search import Effort, learn_passive, learn_with
from bem_kernel.learning.sequential import verdicts
from bem_kernel.learning.tasks import NAMES, task
from bem_kernel.learning.template import Learned, Shape, map_tables
from bem_kernel.logic.proof import Proof
from bem_kernel.proofs.check import Accepted, Rejected, check_proof
from bem_kernel.sat.check import Unsatisfiable, check

BITS = Alphabet(("0", "1"))


def random_program(seed: int, keyed: bool, upward: bool) -> Learned:
    """Random tables of a random size, quiet where they have to be."""
    random = Random(seed)
    keys = frozenset({"k"}) if keyed else frozenset()
    alphabet = Alphabet(("a", "k", "b")[: random.randint(2, 3)], keys)
    shape = Shape(len(alphabet), random.randint(0, 3), keyed, upward)

    def bit(name: str, row: int) -> bool:
        quiet = name in ("cell", "carry") and shape.cell_is_quiet(row)
        return not quiet and (name, row) != ("fold", 0) and bool(random.getrandbits(1))

    return Learned(alphabet, shape, map_tables(shape, bit))


def said(program: Learned, word: tuple[int, ...]) -> bool:
    """The verdict of a program on a word that does not trap."""
    found = program.at(8).empty
    for found in verdicts(program.at(8), program.alphabet, word):
        assert found is not None
    return found


QUICK = ("parity", "majority", "dyck-online", "dyck-final")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_every_task_is_learned_from_few_examples_and_proved(name: str) -> None:
    language = task(name)
    report = learn_with(language, Effort(max_examples=64))
    assert report.program is not None
    assert report.proof is not None
    assert report.chosen_by == "oracle"
    assert report.proof.width == 64
    assert isinstance(check_proof(report.proof.step, report.proof.proof), Accepted)
    for example in report.examples:
        assert said(report.program, example.word) == example.verdict
        assert label(language, example.word) == example
    for refusal in report.refusals:
        assert refusal.shape.n_unknown < report.program.shape.n_unknown
        verdict = check(refusal.formula)
        assert isinstance(verdict, Unsatisfiable)
        assert isinstance(check_proof(refusal.formula, verdict.proof), Accepted)


def test_languages_drawn_in_this_very_run_are_learned_and_proved() -> None:
    for n_symbols in (2, 3):
        seed = SystemRandom().randrange(1 << 40)
        language = random_language(seed, n_symbols=n_symbols)
        report = learn_with(language, Effort(max_examples=128))
        assert report.proof is not None, f"random_language({seed}, n_symbols={n_symbols})"


def test_a_learned_program_is_right_on_a_long_word() -> None:
    program = learn_with(task("majority")).program
    assert program is not None
    word = np.random.default_rng(3).integers(0, 2, 200_000).astype(np.int32)
    leads = 2 * np.cumsum(word) >= np.arange(1, len(word) + 1)
    reading = read(program, word)
    assert not reading.trapped
    assert (reading.verdicts == leads).all()


def test_an_invariant_that_leaves_a_statement_out_is_no_proof() -> None:
    report = learn_with(task("dyck-online"))
    assert report.proof is not None
    cut = Proof(np.zeros(1, np.int32), np.zeros(0, np.int32), np.zeros(0, np.bool_))
    assert isinstance(check_proof(report.proof.step, cut), Rejected)


def test_one_wrong_bit_is_refuted() -> None:
    language = task("dyck-final")
    program = learn_with(language).program
    assert program is not None
    output = program.tables.output
    wrong = replace(program.tables, output=(not output[0], *output[1:]))
    assert compare(Learned(program.alphabet, program.shape, wrong), language, 3).difference == ()
    refuted = 0
    for row, bit in enumerate(program.tables.cell):
        if not program.shape.cell_is_quiet(row):
            cell = (*program.tables.cell[:row], not bit, *program.tables.cell[row + 1 :])
            changed = Learned(program.alphabet, program.shape, replace(program.tables, cell=cell))
            word = compare(changed, language, 3).difference
            if word is not None:
                refuted += 1
                assert prove_equal(changed, language) is None
                last = verdicts(changed.at(3), language.alphabet, word)[-1]
                assert last is None or last != label(language, word).verdict
    assert refuted >= 3


def test_the_counter_traps_and_does_not_wrap() -> None:
    program = learn_with(task("majority")).program
    assert program is not None
    ones = np.ones(100, dtype=np.int32)
    reading = read(program, ones, width=3)
    assert reading.trapped
    assert len(reading.verdicts) == 7
    assert reading.verdicts.all()
    assert verdicts(program.at(3), program.alphabet, [1] * 9)[7:] == [None, None]


@pytest.mark.parametrize(
    ("keyed", "upward"), [(False, False), (False, True), (True, False), (True, True)]
)
def test_words_run_as_the_circuit_does(keyed: bool, upward: bool) -> None:
    for seed in range(15):
        program = random_program(seed, keyed, upward)
        random = Random(seed)
        width = random.choice((1, 2, 4, 8, 64) if keyed else (1, 2, 3, 7, 63, 64))
        tokens = program.alphabet.tokens(width)
        word = [random.choice(tokens) for _ in range(12)]
        wanted = [v for v in verdicts(program.at(width), program.alphabet, word) if v is not None]
        reading = read(program, np.array(word, dtype=np.int32), width=width)
        assert reading.verdicts.tolist() == wanted
        assert reading.trapped == (len(wanted) < len(word))


def test_a_word_may_be_read_in_parts() -> None:
    program = random_program(4, keyed=True, upward=True)
    tokens = np.array(program.alphabet.tokens(8), dtype=np.int32)
    word = tokens[np.random.default_rng(0).integers(0, len(tokens), 50)]
    whole = read(program, word)
    first = read(program, word[:20])
    if not first.trapped:
        second = read(program, word[20:], first.state)
        both = np.concatenate([first.verdicts, second.verdicts])
        assert (both == whole.verdicts).all()
        assert (second.state == whole.state).all()


@pytest.mark.parametrize("upward", [False, True])
def test_a_machine_is_the_same_at_every_width_until_it_traps(upward: bool) -> None:
    for seed in range(20):
        program = random_program(100 + seed, keyed=False, upward=upward)
        random = Random(seed)
        word = [random.randrange(len(program.alphabet)) for _ in range(10)]
        narrow = verdicts(program.at(4), program.alphabet, word)
        wide = verdicts(program.at(9), program.alphabet, word)
        assert all(a in (None, b) for a, b in zip(narrow, wide, strict=True))


def test_references_agree_with_their_circuits() -> None:
    random = Random(5)
    for name in NAMES:
        language = task(name)
        for _ in range(10):
            word = [random.choice(language.alphabet.tokens(4)) for _ in range(9)]
            said_so = verdicts(language.at(4), language.alphabet, word)
            wanted = list(language.verdicts(word))[1:]
            assert all(a in (None, b) for a, b in zip(said_so, wanted, strict=True))


def test_differences_are_shortest() -> None:
    found = compare(task("dyck-online"), task("dyck-final"), 4).difference
    assert found == (0,)
    whole = compare(task("majority"), task("majority"), 4)
    assert whole.complete
    assert len(whole.pairs) == 32
    with pytest.raises(LearningError, match=r"product: 128 bits of state; compare at a smaller"):
        compare(task("stack"), task("stack"), 64)


def test_passive_learning_takes_the_smallest_shape() -> None:
    majority = task("majority")
    words = [word for length in range(6) for word in product((0, 1), repeat=length)]
    report = learn_passive(majority.alphabet, [label(majority, word) for word in words])
    assert report.program is not None
    assert report.chosen_by == "data"
    assert report.proof is None
    assert report.program.shape.n_flags == 1
    assert {refusal.shape.n_flags for refusal in report.refusals} == {0}
    assert prove_equal(report.program, majority) is not None


def test_what_explains_the_examples_may_be_wrong_and_has_no_proof() -> None:
    brackets = task("dyck-final")
    examples = [label(brackets, word) for word in ((), (0,), (0, 1), (1,))]
    program = learn_passive(brackets.alphabet, examples).program
    assert program is not None
    for example in examples:
        assert said(program, example.word) == example.verdict
    assert compare(program, brackets, 4).difference is not None
    assert prove_equal(program, brackets) is None
    with pytest.raises(LearningError, match=r"learn: no example; give labelled words"):
        learn_passive(brackets.alphabet, [])


def test_an_effort_that_is_too_small_finds_nothing() -> None:
    report = learn_with(task("dyck-final"), Effort(max_examples=5))
    assert report.program is None
    assert report.proof is None
    assert len(report.examples) == 5


def test_examples_go_to_text_and_back() -> None:
    registers = Registers()
    examples = draw_examples(registers, 20, 6, 0, 4)
    text = show_examples(registers.alphabet, examples)
    assert read_examples(text, "f", registers.alphabet) == (registers.alphabet, examples)
    alphabet, found = read_examples("1 (())\n; said\n\n0 ())\n1\n", "f")
    assert alphabet.symbols == ("(", ")")
    assert found[2] == Example((), True)
    alphabet, _ = read_examples("1 set@3 go\n", "f")
    assert alphabet == Alphabet(("go", "set"), frozenset({"set"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"f: 0 examples; give 1 to 1000000 lines"),
        ("1 01\n2 0\n", r"f:2: verdict '2'; start with 0 or 1"),
        ("1 01\n0 01\n", r"f:2: contradicts line 1; give each word one verdict"),
        ("1\n", r"f: no word has a symbol; give longer words"),
        ("1 a@x b\n", r"f:1: address 'x'; use 0 to 1048575"),
        ("1 a@99999999999 b\n", r"f:1: address '99999999999'"),
        ("1 a@1 a\n", r"f:1: token 'a'; write a@0"),
    ],
)
def test_malformed_examples_are_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(LearningError, match=message):
        read_examples(text, "f")


def test_malformed_values_are_refused() -> None:
    with pytest.raises(LearningError, match=r"alphabet: a symbol appears twice"):
        Alphabet(("a", "a"))
    with pytest.raises(LearningError, match=r"alphabet: symbol 'a b'; use names without spaces"):
        Alphabet(("a b",))
    with pytest.raises(LearningError, match=r"keyed symbol 'x' is no symbol"):
        Alphabet(("a",), frozenset({"x"}))
    with pytest.raises(LearningError, match=r"word: unknown symbol '2'; use 0, 1"):
        BITS.read("012")
    with pytest.raises(LearningError, match=r"tasks: no task 'chess'; use parity"):
        task("chess")
    with pytest.raises(LearningError, match=r"tasks.mod: modulus 1; use 2 to 16"):
        task("mod-1")
    with pytest.raises(LearningError, match=r"taken: no move from state 0 on '1'; give one"):
        counter_automaton("taken", "01", {(0, "0"): (0, 0)}, [(True, True)])
    with pytest.raises(LearningError, match=r"add -1, 0 or 1"):
        counter_automaton("taken", "0", {(0, "0"): (0, -1)}, [(True, True)])
    with pytest.raises(LearningError, match=r"width 3; use a power of two"):
        Registers().at(3)
    program = random_program(1, keyed=False, upward=False)
    loud = replace(program.tables, fold=(True, *program.tables.fold[1:]))
    with pytest.raises(LearningError, match=r"a cell of zeros does not stay quiet"):
        replace(program, tables=loud)
    short = replace(program.tables, output=program.tables.output[1:])
    with pytest.raises(LearningError, match=r"a table has another size"):
        replace(program, tables=short)
    with pytest.raises(LearningError, match=r"run.read: token 0: token 7; use Alphabet.read"):
        read(program, np.array([7], dtype=np.int32))
    with pytest.raises(LearningError, match=r"run.read: width 65; use 1 to 64"):
        read(program, np.array([0], dtype=np.int32), width=65)
    with pytest.raises(LearningError, match=r"tokens are int64"):
        read(program, np.array([0]))  # type: ignore[arg-type]
    with pytest.raises(LearningError, match=r"random_language: 2 states, 9 symbols"):
        random_language(0, n_symbols=9)


def test_counters_that_count_otherwise_at_zero_are_proved() -> None:
    skewed = random_language(5006, n_symbols=2)  # learned: one behind, but not at zero
    assert learn_with(skewed, Effort(max_examples=64)).proof is not None
    report = learn_with(Registers(), Effort(max_examples=64), seed=2)  # rows are zeros at first
    assert report.proof is not None
    assert {c.kind for c in report.proof.invariant} >= {"latch", "idle"}
