"""Finite automata: identification, merging, questions, pictures; `bem learn`."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import numpy as np
import pytest

from bem_kernel.cli import main as cli
from bem_kernel.errors import CnfError, LearningError
from bem_kernel.experts.expert import step
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.automaton import Automaton, counting_automaton, difference, minimal
from bem_kernel.learning.automaton_drawing import draw_automaton
from bem_kernel.learning.examples import Example, draw_examples, label, show_examples
from bem_kernel.learning.identify import identify
from bem_kernel.learning.induction import prove_equal
from bem_kernel.learning.lstar import AutomatonTeacher, learn_from_teacher
from bem_kernel.learning.merging import merge_states
from bem_kernel.learning.search import learn_with
from bem_kernel.learning.tasks import task
from bem_kernel.learning.unfolding import expert_of, unfold
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import Unsatisfiable, check
from bem_kernel.sat.growing import GrowingFormula


def random_automaton(n: int, seed: int) -> Automaton:
    """A minimal automaton of n states over two symbols."""
    random = Random(seed)
    while True:
        moves = tuple((random.randrange(n), random.randrange(n)) for _ in range(n))
        accept = tuple(bool(random.getrandbits(1)) for _ in range(n))
        small = minimal(Automaton(Alphabet(("a", "b")), moves, accept))
        if len(small) == n:
            return small


def bem(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "learn", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_the_smallest_automaton_is_found_and_one_less_refused(n: int) -> None:
    automaton = random_automaton(n, n)
    words = draw_examples(automaton, 30 * n, 8, 0)
    found = identify(automaton.alphabet, words)
    assert difference(found.automaton, automaton) is None
    assert len(found.automaton) == n
    if n > 1:
        assert found.refusal is not None
        verdict = check(found.refusal)
        assert isinstance(verdict, Unsatisfiable)
        assert isinstance(check_proof(found.refusal, verdict.proof), Accepted)


def test_no_smaller_automaton_explains_the_examples_by_brute_force() -> None:
    random = Random(7)
    for _ in range(10):
        words = {tuple(random.randrange(2) for _ in range(random.randint(0, 4))) for _ in range(8)}
        examples = [Example(word, bool(random.getrandbits(1))) for word in sorted(words)]
        found = identify(Alphabet(("a", "b")), examples).automaton
        assert all(found.verdict(e.word) == e.verdict for e in examples)
        assert _fewest(examples) == len(found)


def _fewest(examples: list[Example]) -> int:
    """States of the smallest automaton, by trying all of up to three; 4 stands for more."""
    for n in (1, 2, 3):
        rows = list(product(range(n), repeat=2))
        for moves in product(rows, repeat=n):
            ends = []
            for example in examples:
                state = 0
                for token in example.word:
                    state = moves[state][token]
                ends.append((state, example.verdict))
            if len({state for state, _ in ends}) == len(set(ends)):
                return n
    return 4


@pytest.mark.slow
def test_nine_states_are_identified() -> None:
    automaton = random_automaton(9, 9)
    found = identify(automaton.alphabet, draw_examples(automaton, 150, 18, 1))
    assert len(found.automaton) == 9


def test_identification_refuses_what_it_cannot_do() -> None:
    automaton = random_automaton(4, 1)
    words = draw_examples(automaton, 100, 8, 0)
    with pytest.raises(LearningError, match=r"identify: 3 states do not explain the examples"):
        identify(automaton.alphabet, words, max_states=3)
    with pytest.raises(LearningError, match=r"prefix tree: two verdicts on 'a'"):
        identify(automaton.alphabet, [Example((0,), True), Example((0,), False)])
    with pytest.raises(LearningError, match=r"the alphabet has addresses; learn with the template"):
        merge_states(Alphabet(("k",), frozenset({"k"})), [])


def test_merging_explains_the_examples_and_finds_the_language() -> None:
    for n in (2, 5, 9):
        automaton = random_automaton(n, n)
        words = draw_examples(automaton, 80 * n, 3 * n, 0)
        found = merge_states(automaton.alphabet, words)
        assert all(found.verdict(e.word) == e.verdict for e in words)
        assert difference(found, automaton) is None


@pytest.mark.parametrize(("depth", "most"), [(3, 40), (7, 130), (15, 500)])
def test_questions_find_dyck_to_a_depth(depth: int, most: int) -> None:
    automaton = counting_automaton("()", depth)
    taught = learn_from_teacher(AutomatonTeacher(automaton))
    assert difference(taught.automaton, automaton) is None
    assert len(taught.automaton) == len(minimal(automaton)) == depth + 2
    assert taught.verdicts_asked <= most


def test_a_teacher_who_contradicts_himself_is_told() -> None:
    class Wrong(AutomatonTeacher):
        def mistake(self, automaton: Automaton) -> tuple[int, ...] | None:
            return ()

    with pytest.raises(LearningError, match=r"lstar: no mistake on ''; give a word on which"):
        learn_from_teacher(Wrong(random_automaton(3, 0)))
    with pytest.raises(LearningError, match=r"lstar: more than 3 states; allow more"):
        learn_from_teacher(AutomatonTeacher(random_automaton(6, 0)), max_states=3)


def test_minimal_automata_are_equal_if_their_languages_are() -> None:
    random = Random(1)
    for seed in range(30):
        automaton = random_automaton(4, seed)
        order = [0, *random.sample(range(1, 4), 3)]  # other numbers for the same states
        moves = [automaton.moves[order.index(i)] for i in range(4)]
        renamed = Automaton(
            automaton.alphabet,
            tuple(tuple(order[end] for end in row) for row in moves),
            tuple(automaton.accept[order.index(i)] for i in range(4)),
        )
        assert minimal(renamed).moves == automaton.moves
        assert difference(renamed, automaton) is None
        other = random_automaton(4, seed + 1000)
        word = difference(automaton, other)
        if word is not None:
            assert automaton.verdict(word) != other.verdict(word)


def test_automata_are_proved_like_programs() -> None:
    mod = task("mod-5")
    found = identify(mod.alphabet, draw_examples(mod, 80, 10, 0)).automaton
    proof = prove_equal(found, mod)
    assert proof is not None
    assert isinstance(check_proof(proof.step, proof.proof), Accepted)
    assert prove_equal(found, task("mod-3")) is None


def test_an_unfolded_machine_says_what_the_machine_says() -> None:
    dyck = task("dyck-final")
    automaton, trap = unfold(dyck, 2)
    wanted = counting_automaton("()", 3)
    assert trap is not None
    assert not automaton.accept[trap]
    assert len(automaton) == 6  # depths 0 to 3, dead, trap
    assert difference(automaton, wanted) is None
    parity, no_trap = unfold(task("parity"), 2)
    assert (len(parity), no_trap) == (2, None)
    registers, _ = unfold(task("key-value"), 2)
    assert "key·1" in registers.alphabet.symbols


def test_a_learned_program_is_an_expert() -> None:
    program = learn_with(task("parity")).program
    assert program is not None
    machine = program.at(4)
    expert = expert_of(machine, "parity")
    assert expert.n_bits == machine.circuit.n_inputs + 2
    state = np.zeros((2, expert.n_bits), dtype=np.bool_)
    odd = np.zeros(2, dtype=np.bool_)
    for bits in ([1, 0], [1, 1], [0, 1], [1, 1]):
        state[:, machine.n_state] = bits
        odd ^= np.array(bits, dtype=np.bool_)
        state = unpack_bits(step(expert, pack_bits(state)), 2)
        assert (state[:, -2] == odd).all()
        assert not state[:, -1].any()


def test_pictures_are_xml_with_every_state() -> None:
    automaton, trap = unfold(task("dyck-final"), 2)
    root = ElementTree.fromstring(draw_automaton(automaton, trap))
    titles = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == len(automaton)
    assert titles[0] == "state 0: accepts"
    assert f"state {trap}: no longer fits" in titles
    large = Automaton(Alphabet(("a",)), ((0,),) * 65, (True,) * 65)
    with pytest.raises(LearningError, match=r"automaton_drawing: 65 states; draw at most 64"):
        draw_automaton(large)


def test_the_command_learns_by_questions(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, svg = tmp_path / "program.json", tmp_path / "automaton.svg"
    code, shown, _ = bem(
        capsys, "--task", "majority", "--out", str(out), "--svg", str(svg), "--json"
    )
    record = json.loads(shown)
    assert code == 0
    assert record["chosen_by"] == "oracle"
    assert record["proved"]
    assert record["width"] == 64
    saved = json.loads(out.read_text())
    assert saved["format"] == "bem-learned-1"
    assert saved["circuit"]["n_inputs"] == 66
    ElementTree.parse(svg)


def test_the_command_learns_from_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    majority = task("majority")
    words = tmp_path / "words.txt"
    every = [word for length in range(6) for word in product((0, 1), repeat=length)]
    words.write_text(show_examples(majority.alphabet, [label(majority, word) for word in every]))
    code, shown, _ = bem(capsys, str(words), "--against", "majority")
    assert code == 0
    assert "learned from 63 examples, given" in shown
    assert "proved equal to majority for all words at width 64" in shown
    code, shown, _ = bem(capsys, str(words), "--against", "parity")
    assert code == 1
    assert "not equal to parity: wrong on 'the empty word'" in shown
    mod = task("mod-3")
    words.write_text(show_examples(mod.alphabet, draw_examples(mod, 60, 8, 1)))
    for method in ("exact", "merge"):
        code, shown, _ = bem(capsys, str(words), "--against", "mod-3", "--method", method)
        assert code == 0
        assert "3 states" in shown
        assert "proved equal to mod-3 for all words at width 64" in shown


def test_the_command_finds_a_counter_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    brackets, words = task("dyck-final"), tmp_path / "words.txt"
    every = [word for length in range(7) for word in product((0, 1), repeat=length)]
    words.write_text(show_examples(brackets.alphabet, [label(brackets, word) for word in every]))
    args = ["--against", "dyck-final", "--method", "counter", "--svg", str(tmp_path / "a.svg")]
    code, shown, _ = bem(capsys, str(words), *args)
    assert code == 0
    assert "2 states" in shown
    assert "proved equal to dyck-final for all words at width 64" in shown
    ElementTree.parse(tmp_path / "a.svg")


def test_the_command_refuses_misuse(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "learn: a file or a task; give one of FILE and --task" in bem(capsys)[2]
    code, _, error = bem(capsys, "--task", "chess")
    assert (code, "no task 'chess'" in error) == (1, True)
    code, _, error = bem(capsys, "--task", "parity", "--method", "exact")
    assert (code, "method exact asks nobody" in error) == (2, True)
    words = tmp_path / "words.txt"
    words.write_text("1 0\nyes 1\n")
    code, _, error = bem(capsys, str(words))
    assert (code, "words.txt:2: verdict 'yes'; start with 0 or 1" in error) == (1, True)


def test_a_growing_formula_refuses_strange_literals() -> None:
    with GrowingFormula() as formula:
        one, other = formula.new(2)
        formula.add([[one, other], [-one]])
        model = formula.solve()
        assert model is not None
        assert model.tolist() == [False, True]
        assert formula.solve([-other]) is None
        with pytest.raises(CnfError, match=r"sat.growing: clause \[3\]; use variables 1 to 2"):
            formula.add([[3]])
        assert len(formula.cnf()) == 2
