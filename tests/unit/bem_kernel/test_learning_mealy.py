"""Mealy machines: identified, merged, asked for, and made experts."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from bem_kernel.errors import LearningError
from bem_kernel.experts.expert import step
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.identify_mealy import identify_mealy
from bem_kernel.learning.lstar import KnownMealy, learn_mealy_from_teacher
from bem_kernel.learning.mealy import (
    Mealy,
    Observation,
    expert_of_mealy,
    mealy_circuit,
    mealy_difference,
    minimal_mealy,
)
from bem_kernel.learning.merging import merge_mealy
from bem_kernel.proofs.check import Accepted, check_proof
from bem_kernel.sat.check import Unsatisfiable, check

READS, SAYS = Alphabet(("a", "b")), Alphabet(("x", "y", "z"))
EDGE = Mealy(Alphabet(("0", "1")), Alphabet((".", "!")), ((0, 1), (0, 1)), ((0, 1), (1, 0)))


def random_mealy(n: int, seed: int) -> Mealy:
    """A minimal machine of n states."""
    random = Random(seed)
    while True:
        moves = tuple((random.randrange(n), random.randrange(n)) for _ in range(n))
        says = tuple((random.randrange(3), random.randrange(3)) for _ in range(n))
        small = minimal_mealy(Mealy(READS, SAYS, moves, says))
        if len(small) == n:
            return small


def observed(machine: Mealy, count: int, length: int, seed: int) -> list[Observation]:
    random = Random(seed)
    words = [tuple(random.randrange(2) for _ in range(length)) for _ in range(count)]
    return [Observation(word, machine.run(word)) for word in words]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_smallest_machine_is_found_and_one_less_refused(n: int) -> None:
    machine = random_mealy(n, n)
    found = identify_mealy(READS, SAYS, observed(machine, 8 * n, 6, 0))
    assert mealy_difference(found.machine, machine) is None
    assert len(found.machine) == n
    if n > 1:
        assert found.refusal is not None
        verdict = check(found.refusal)
        assert isinstance(verdict, Unsatisfiable)
        assert isinstance(check_proof(found.refusal, verdict.proof), Accepted)


def test_answers_that_are_not_known_are_free() -> None:
    last = [
        Observation(o.word, (*[None] * (len(o.word) - 1), o.answers[-1]))
        for length in range(1, 7)
        for o in observed(EDGE, 12, length, length)
    ]
    found = identify_mealy(EDGE.alphabet, EDGE.answers, last).machine
    assert len(found) == 2
    assert mealy_difference(found, EDGE) is None
    free = identify_mealy(READS, SAYS, [Observation((0, 1, 0), (1, None, 1))]).machine
    assert len(free) == 1


def test_merging_explains_the_observations_and_finds_the_machine() -> None:
    for n in (2, 5, 9):
        machine = random_mealy(n, n)
        seen = observed(machine, 30 * n, 3 * n, 0)
        found = merge_mealy(READS, SAYS, seen)
        assert all(found.run(o.word) == o.answers for o in seen)
        assert mealy_difference(found, machine) is None


@pytest.mark.parametrize(("n", "most"), [(1, 6), (4, 60), (20, 600)])
def test_questions_find_the_machine(n: int, most: int) -> None:
    machine = random_mealy(n, n)
    taught = learn_mealy_from_teacher(KnownMealy(machine))
    assert mealy_difference(taught.machine, machine) is None
    assert len(taught.machine) == n
    assert taught.answers_asked <= most


def test_a_teacher_who_contradicts_himself_is_told() -> None:
    class Wrong(KnownMealy):
        def mistake(self, machine: Mealy) -> tuple[int, ...] | None:
            return (0,)

    with pytest.raises(LearningError, match=r"lstar: no mistake on 'a'; give a word on which answ"):
        learn_mealy_from_teacher(Wrong(random_mealy(3, 0)))
    with pytest.raises(LearningError, match=r"lstar: more than 3 states; allow more"):
        learn_mealy_from_teacher(KnownMealy(random_mealy(6, 0)), max_states=3)


def test_an_expert_says_what_the_machine_says_in_the_fewest_gates() -> None:
    assert len(mealy_circuit(EDGE).gates) == 1  # the token xor the last one
    for machine in (EDGE, random_mealy(5, 1), random_mealy(12, 2)):
        expert = expert_of_mealy(machine, "machine")
        n_state = (len(machine) - 1).bit_length()
        word = [Random(3).randrange(2) for _ in range(40)]
        state = np.zeros((1, expert.n_bits), dtype=np.bool_)
        said = []
        for token in word:
            state[0, n_state] = token
            state = unpack_bits(step(expert, pack_bits(state)), 1)
            said.append(sum(1 << i for i, bit in enumerate(state[0, n_state + 1 :]) if bit))
        assert tuple(said) == machine.run(word)


def test_minimal_machines_say_the_same() -> None:
    twice = Mealy(READS, SAYS, ((1, 0), (0, 1)), ((0, 2), (0, 2)))
    assert len(minimal_mealy(twice)) == 1
    assert mealy_difference(minimal_mealy(twice), twice) is None
    assert mealy_difference(random_mealy(3, 1), random_mealy(3, 2)) is not None


def test_malformed_machines_and_observations_are_refused() -> None:
    with pytest.raises(LearningError, match=r"mealy: 1 rows of moves and 1 of answers; give a"):
        Mealy(READS, SAYS, ((0, 1),), ((0, 0),))
    with pytest.raises(LearningError, match=r"observation: 2 tokens and 1 answers; give an answer"):
        Observation((0, 1), (0,))
    with pytest.raises(LearningError, match=r"prefix tree: two answers after 'a'; give each pref"):
        identify_mealy(READS, SAYS, [Observation((0,), (0,)), Observation((0, 1), (1, None))])
    with pytest.raises(LearningError, match=r"identify_mealy: 2 states do not explain the obse"):
        machine = random_mealy(5, 5)
        identify_mealy(READS, SAYS, observed(machine, 40, 6, 0), max_states=2)
    with pytest.raises(LearningError, match=r"mealy: the alphabets differ; compare over the same"):
        mealy_difference(EDGE, random_mealy(2, 0))
