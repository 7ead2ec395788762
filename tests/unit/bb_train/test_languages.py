"""Languages: strings and verdicts, programs learned from them, skills, models beside each other."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bb_core.errors import UsageError
from bb_nn.config import DualRailConfig
from bb_nn.library.token_classes import class_table
from bb_nn.token_bytes import token_bytes
from bb_train.config import LoraShape
from bb_train.languages.install import character_ids, install_program, library_of, skill_of
from bb_train.languages.learn import Pool, learn_program, sizes
from bb_train.languages.study import how_sure
from bb_train.languages.symbols import LanguageError, Symbols
from bb_train.languages.tasks import NAMES, Labelled, task_named
from bb_train.languages.trial import Coding, Subject, Training, share_right, train, train_lora
from bb_train.soft_to_hard import run_circuit
from bem_kernel.experts.table import ExpertTable
from bem_kernel.learning.reference import Registers
from bem_kernel.learning.tasks import task as reference_named
from bem_kernel.ledger.chain import Ledger, verify
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory


@pytest.fixture(scope="module")
def parity():
    return learn_program(task_named("parity").strings(100, 4, 8, 0))


@pytest.mark.parametrize("name", [*NAMES, "mod-7"])
def test_verdicts_are_those_of_the_kernels_reference(name):
    task = task_named(name)
    for found in task.strings(30, 1, 40, seed=3):
        symbols = Symbols.of([found.text])
        reference = reference_named(name)
        if symbols.alphabet.keyed:
            every = Symbols("01abcdefgh")
            word, reference = every.word(found.text), Registers(alphabet=every.alphabet)
        else:
            word = [reference.alphabet.symbols.index(char) for char in found.text]
        assert list(reference.verdicts(word))[1:] == found.verdicts.tolist()


def test_brackets_of_both_kinds_are_drawn():
    strings = task_named("dyck-final").strings(200, 16, 16, 0)
    ends = [bool(found.verdicts[-1]) for found in strings]
    assert 20 < sum(ends) < 180


def test_only_questions_about_keys_are_scored():
    found = task_named("key-value").label("a1b0a")
    assert found.verdicts.tolist() == [False, True, False, False, True]
    assert found.scored.tolist() == [True, False, True, False, True]


@pytest.mark.parametrize("name", ["mod-1", "mod-x", "palindrome"])
def test_an_unknown_task_is_refused(name):
    with pytest.raises(UsageError, match="no task"):
        task_named(name)


def test_letters_are_keys_with_addresses_and_the_rest_are_symbols():
    symbols = Symbols.of(["b1", "a0c"])
    assert symbols.characters == "01abc" and symbols.addresses == 4
    assert symbols.alphabet.symbols == ("key", "0", "1")
    assert symbols.alphabet.show(symbols.word("c1a")) == "key@2 1 key@0"


def test_token_classes_are_the_bits_of_a_character():
    symbols, table = Symbols("01ab"), [b"x", b"b", b"a", b"1", b"0", b""]
    ids = character_ids(symbols.characters, table)
    bits = class_table(symbols.classes(ids), table)
    rows = [symbols.alphabet.input_bits(symbols.tokens[char], 2) for char in "01ab"]
    assert bits[ids, :-1].tolist() == rows
    assert bits[:, -1].tolist() == [False, True, True, True, True, False]


def test_a_character_without_a_token_is_refused():
    with pytest.raises(LanguageError, match="no token is '\\(' alone"):
        character_ids("0(", [b"0", b"()"])


@pytest.mark.parametrize("name", ["parity", "dyck-final", "majority", "mod-3", "mod-5"])
def test_a_program_learned_from_strings_is_the_language(name):
    program = learn_program(task_named(name).strings(400, 8, 16, 1))
    assert how_sure(program, name, 255) in ("proved", "compared")
    assert len(program.looked_at) < 40


def test_retrieval_is_learned_from_strings():
    task, rng = task_named("key-value"), np.random.default_rng(0)
    texts = ["".join("ab01"[i] for i in rng.integers(0, 4, 8)) for _ in range(300)]
    strings = [task.label(text) for text in texts]
    program = learn_program(strings)
    assert program.found_as.startswith("template") and program.width == 2
    assert how_sure(program, "key-value", 64) != "unknown"


def test_of_all_sizes_the_one_of_fewest_bits_is_learned(parity):
    every = sizes(parity.symbols.alphabet, parity.width)
    assert [size.bits for size in every] == sorted(size.bits for size in every)
    assert parity.found_as == "automaton of 2 states" and parity.learned_bits == 6


def test_a_wrong_program_is_shown_shortest_beginnings(parity):
    strings = task_named("mod-3").strings(50, 4, 8, 0)
    pool = Pool(strings, parity.symbols)
    wrong = pool.wrong(parity.family, 3)
    assert len(wrong) == 3 and len(wrong[0].word) == 1
    for example in wrong:
        assert example.verdict == (sum(example.word) % 3 == 0)
        assert example.verdict != (sum(example.word) % 2 == 1)


def test_strings_that_contradict_each_other_are_explained_by_nothing():
    def said(verdict):
        return Labelled("01", np.array([False, verdict]), np.ones(2, np.bool_))

    with pytest.raises(LanguageError, match="no program explains the 2 strings"):
        learn_program([said(True), said(False)])


def test_empty_strings_are_refused():
    with pytest.raises(LanguageError, match="a string is empty"):
        learn_program([*task_named("parity").strings(2, 1, 1, 0), task_named("parity").label("")])


def test_a_skill_steps_at_its_own_characters_only(parity):
    skill = skill_of(parity, "parity")
    one, other = [True, True], [True, False]  # the same bits, but no character of the program's
    inputs = np.array([[one, other, other, one, one]])
    verdicts = run_circuit(skill.circuit, skill.n_state, inputs)[..., 0]
    assert verdicts.tolist() == [[True, False, False, False, True]]
    assert skill.learned_bits == parity.learned_bits


def test_a_program_comes_in_through_the_machines_door(parity, tmp_path):
    table = ExpertTable(Memory(MachineConfig(n_bits=16, lanes=64)))
    with Ledger(tmp_path / "log") as log:
        skill = install_program(parity, "parity", table, log)
    assert len(skill.certificate) == 64
    assert table.expert(table.find("parity")).circuit == skill.circuit
    assert verify(tmp_path / "log").ok and (tmp_path / "log").read_text()


def test_a_batch_asks_after_every_character(tokenizer):
    coding = Coding(tokenizer, "01")
    task = task_named("parity")
    batch = coding.batch([task.label("1"), task.label("110")])
    no, yes = coding.answers
    zero, one = coding.ids["0"], coding.ids["1"]
    assert batch["input_ids"][:, :-1].tolist()[1] == [one, one, zero]
    assert batch["labels"].tolist() == [[-100, -100, -100, yes], [-100, yes, no, no]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]


def test_always_saying_the_same_is_half_right(tokenizer):
    coding = Coding(tokenizer, "01")

    def says_no(input_ids, attention_mask):
        answer = torch.full(input_ids.shape, coding.answers[0])
        return SimpleNamespace(logits=F.one_hot(answer, len(tokenizer)))

    strings = task_named("mod-5").strings(5, 10, 30, 0)
    assert share_right(says_no, coding, strings, rows=2) == 0.5


def test_a_rail_with_a_learned_program_is_right_at_64_times_the_length(
    parity, tiny_model, tokenizer
):
    strings = task_named("parity").strings(100, 4, 8, 0)
    coding = Coding(tokenizer, "01")
    subject = Subject(
        lambda: tiny_model, coding, strings,
        lambda: DualRailConfig(width=16, alpha_start=0.4, alpha_budget=0.8),
    )  # fmt: skip
    library = library_of(skill_of(parity, "parity"), parity.symbols, token_bytes(tokenizer))
    how = Training(steps=60, rows=8, rate=1e-2)
    trained = train(subject, library, how)
    longer = task_named("parity").strings(2, 512, 512, 1)
    assert share_right(trained.model, coding, longer) == 1.0
    own = sum(p.numel() for p in trained.model.rail.parameters())
    assert trained.parameters == own + parity.learned_bits


def test_lora_is_trained_on_the_same_strings(tiny_model, tokenizer):
    strings = task_named("parity").strings(20, 4, 8, 0)
    subject = Subject(lambda: tiny_model, Coding(tokenizer, "01"), strings, DualRailConfig)
    trained = train_lora(subject, LoraShape(rank=2), Training(steps=3, rows=4))
    assert trained.parameters == sum(
        p.numel() for p in trained.model.parameters() if p.requires_grad
    )
    assert 0 <= share_right(trained.model, subject.coding, strings) <= 1
