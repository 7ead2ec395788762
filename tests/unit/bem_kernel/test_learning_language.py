"""Languages drawn at random: by the template, or by exact identification."""

from __future__ import annotations

from itertools import product
from random import SystemRandom

import pytest

from bem_kernel.errors import LearningError
from bem_kernel.learning.examples import label
from bem_kernel.learning.identify_counter import identify_counter, identify_with
from bem_kernel.learning.induction import prove_equal
from bem_kernel.learning.language import learn_language
from bem_kernel.learning.random_language import random_automaton, random_language
from bem_kernel.learning.reference import Reference, Registers
from bem_kernel.learning.search import Effort
from bem_kernel.learning.sequential import verdicts
from bem_kernel.learning.tasks import task
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import Unsatisfiable, check


def test_a_few_states_are_the_templates() -> None:
    for language in (random_automaton(3, 4, 2), random_language(4, n_symbols=2)):
        report = learn_language(language)
        assert report.found_by == "template"
        assert report.identified is None
        assert report.program is report.template.program
        assert report.proof is report.template.proof is not None


def test_more_states_are_identified_and_proved() -> None:
    language = random_language(6005, n_states=4, n_symbols=2)
    report = learn_language(language, Effort(max_examples=64))
    assert report.found_by == "identification"
    assert report.template.program is None
    assert report.proof is not None
    assert report.proof.width == 64
    assert isinstance(check_proof(report.proof.step, report.proof.proof), Accepted)
    assert len(report.template.examples) < len(report.examples) <= 64
    assert report.program is not None
    machine = report.program.at(8)
    for example in report.examples:
        assert label(language, example.word) == example
        said = [machine.empty, *verdicts(machine, language.alphabet, example.word)]
        assert said[-1] == example.verdict


def test_the_fewest_states_are_found_and_one_less_refuted() -> None:
    found = identify_with(task("dyck-final"))
    assert found.automaton is not None
    assert len(found.automaton.accept) == 2
    assert found.proof is not None
    assert len(found.refusals) == 1
    verdict = check(found.refusals[0])
    assert isinstance(verdict, Unsatisfiable)
    assert isinstance(check_proof(found.refusals[0], verdict.proof), Accepted)
    assert identify_with(task("mod-5")).proof is not None


def test_counters_that_run_apart_are_proved() -> None:
    language = random_language(8030, n_states=4, n_symbols=2)  # three states do, counting less
    found = identify_with(language)
    assert found.automaton is not None
    assert len(found.automaton.accept) < 4
    assert found.proof is not None
    assert "most" in {candidate.kind for candidate in found.proof.invariant}


def test_identification_stops_when_told_to_and_refuses_addresses() -> None:
    report = learn_language(random_language(6005, n_states=4, n_symbols=2), Effort(max_examples=30))
    assert (report.found_by, report.program, report.proof) == ("nothing", None, None)
    with pytest.raises(LearningError, match=r"identify_counter: the alphabet has addresses"):
        identify_with(Registers())


def test_drawing_refuses_impossible_sizes() -> None:
    with pytest.raises(LearningError, match=r"random_automaton: 2 states, 9 symbols; use 1 state"):
        random_automaton(0, 2, 9)


@pytest.mark.slow
@pytest.mark.parametrize(("n_states", "n_symbols"), [(2, 2), (2, 3), (3, 2), (4, 2)])
def test_languages_drawn_in_this_very_run_are_all_learned(n_states: int, n_symbols: int) -> None:
    for _ in range(5):
        seed = SystemRandom().randrange(1 << 40)
        drawn: tuple[Reference, ...] = (
            random_language(seed, n_states, n_symbols),
            random_automaton(seed, n_states, n_symbols),
        )
        for language in drawn:
            report = learn_language(language, Effort(time_ms=120_000))
            assert report.proof is not None, (language.name, n_states, n_symbols)


def test_given_examples_alone_the_quietest_counter_is_taken() -> None:
    brackets = task("dyck-final")
    words = [word for length in range(7) for word in product((0, 1), repeat=length)]
    examples = [label(brackets, word) for word in words]
    found = identify_counter(brackets.alphabet, examples)
    assert len(found.accept) == 2
    assert prove_equal(found, brackets) is not None  # it stands still where all is lost
    with pytest.raises(LearningError, match=r"identify_counter: 1 states with a counter do not"):
        identify_counter(brackets.alphabet, examples, max_states=1)
    with pytest.raises(LearningError, match=r"identify_counter: the alphabet has addresses"):
        identify_counter(Registers().alphabet, [])
