"""Skills, the library that fuses them, and the gradients that go through it."""

from __future__ import annotations

import itertools
import json
from random import Random

import numpy as np
import pytest
import torch

from bb_nn.errors import LibraryError
from bb_nn.library.candidates import Candidates
from bb_nn.library.library import Library
from bb_nn.library.prior import SkillPrior
from bb_nn.library.shape import LibraryShape
from bb_nn.library.skill import Place, Skill, placed, skill_of_machine
from bb_nn.library.starter import starter_library
from bb_nn.library.surrogate import run_lanes
from bb_nn.library.token_classes import DECLARED, TokenClass, class_table
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.engines.reference import evaluate
from bem_kernel.identifiers.gray import sim
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.sequential import Sequential

STATE, CLASSES, PERCEPTION, OUT, SKILLS = 3, 2, 3, 4, 5


def random_library(seed: int) -> Library:
    circuits = [
        random_circuit(Random(10 * seed + k), STATE + CLASSES + PERCEPTION, 24, STATE + OUT)
        for k in range(SKILLS)
    ]
    skills = tuple(Skill(f"s{k}", c, STATE, learned_bits=k) for k, c in enumerate(circuits))
    return Library(skills, PERCEPTION, DECLARED[:CLASSES])


def values_of(skill: Skill, bits: np.ndarray) -> np.ndarray:
    return unpack_bits(evaluate(skill.circuit, pack_bits(bits)), len(bits))


def stepped(library, inputs, choice, state):
    """The library by its definition: token after token, the chosen skill alone."""
    rows, length = inputs.shape[:2]
    states, outputs = np.zeros((rows, length, STATE), bool), np.zeros((rows, length, OUT), bool)
    for row in range(rows):
        now = state[row]
        for t in range(length):
            if choice[row, t].any():
                skill = library.skills[int(choice[row, t].argmax())]
                bits = values_of(skill, np.concatenate([now, inputs[row, t]])[None])[0]
                now, outputs[row, t] = bits[:STATE], bits[STATE:]
            states[row, t] = now
    return states, outputs


def drawn(seed: int, rows: int = 3, length: int = 7):
    rng = np.random.default_rng(seed)
    inputs = rng.random((rows, length, CLASSES + PERCEPTION)) < 0.5
    choice = np.eye(SKILLS, dtype=bool)[rng.integers(0, SKILLS, (rows, length))]
    choice[0, :2] = False  # padding
    return inputs, choice, rng.random((rows, STATE)) < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_run_is_the_chosen_skills_step_after_step(seed):
    library, drawing = random_library(seed), drawn(seed)
    for found, want in zip(library.run(*drawing), stepped(library, *drawing), strict=True):
        assert np.array_equal(found, want)


def test_seventy_sequences_are_run_as_one_alone():
    library, (inputs, choice, state) = random_library(0), drawn(0, rows=70)
    together = library.run(inputs, choice, state)
    for row in (0, 63, 64, 69):
        alone = library.run(*(x[row : row + 1] for x in (inputs, choice, state)))
        assert all(np.array_equal(t[row], a[0]) for t, a in zip(together, alone, strict=True))


def extension(library, state, inputs, weights):
    """What the step is at real bits: the expectation over independent bits, by its definition.

    Args:
        state, inputs: chances of each bit, (n_state,) and (n_in,) with gradients.
        weights: (K,) of the skills.
    """
    chances = torch.cat([state, inputs])
    points = np.array(list(itertools.product([False, True], repeat=len(chances))))
    bits = torch.from_numpy(points)
    weight = torch.where(bits, chances, 1 - chances).prod(-1)
    each = torch.stack(
        [torch.from_numpy(values_of(skill, points)).double() for skill in library.skills]
    )
    return torch.einsum("k,p,kpo->o", weights, weight, each)


@pytest.mark.parametrize("horizon", [0, 1, 3])
def test_gradients_are_those_of_the_multilinear_extension(horizon):
    library, (bits, choice, start) = random_library(1), drawn(1, rows=1, length=4)
    choice = np.eye(SKILLS, dtype=bool)[[[2, 0, 4, 1]]]
    inputs = torch.from_numpy(bits).double().requires_grad_()
    chosen = torch.from_numpy(choice).double().requires_grad_()
    slope = torch.randn(1, 4, OUT, generator=torch.Generator().manual_seed(0)).double()
    outputs, states = run_lanes(inputs, chosen, torch.from_numpy(start), library, horizon)
    found = torch.autograd.grad(outputs, [inputs, chosen], slope)
    # The definition: at each token, an own unrolling of the `horizon` tokens before it.
    before = np.concatenate([start[:, None], states.numpy()], axis=1)[0]
    soft_in, soft_choice = (x.detach().clone().requires_grad_() for x in (inputs, chosen))
    total = torch.zeros((), dtype=torch.double)
    for t in range(4):
        first = max(0, t - horizon)
        state = torch.from_numpy(before[first]).double()
        for s in range(first, t + 1):
            result = extension(library, state, soft_in[0, s], soft_choice[0, s])
            state = result[:STATE]
        total = total + result[STATE:] @ slope[0, t]
    want_in, want_choice = torch.autograd.grad(total, [soft_in, soft_choice])
    torch.testing.assert_close(found[0][..., CLASSES:], want_in[..., CLASSES:], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], want_choice, atol=1e-5, rtol=0)
    assert not found[0][..., :CLASSES].any()


def test_padding_leaves_the_lane_alone():
    library, (inputs, _, state) = random_library(2), drawn(2)
    nothing = np.zeros((3, 7, SKILLS), bool)
    states, outputs = library.run(inputs, nothing, state)
    assert (states == state[:, None]).all() and not outputs.any()


def test_a_placed_skill_touches_its_own_bits_alone():
    skill = Skill("s", random_circuit(Random(4), 2 + 1, 9, 2 + 1), 2)
    wide = placed(skill, Place(state=[3, 1], reads=[2], writes=[0]), 4, 3, 2)
    bits = np.array(list(itertools.product([False, True], repeat=7)))
    small = values_of(skill, bits[:, [3, 1, 4 + 2]])
    found = values_of(wide, bits)
    assert np.array_equal(found[:, [3, 1, 4]], small)
    assert np.array_equal(found[:, [0, 2]], bits[:, [0, 2]]) and not found[:, 5].any()


@pytest.mark.parametrize(
    "place", [Place([0], [0], [0]), Place([0, 9], [0], [0]), Place([0, 1], [0], [7])]
)
def test_a_place_that_does_not_exist_is_refused(place):
    skill = Skill("s", random_circuit(Random(4), 3, 9, 3), 2)
    with pytest.raises(LibraryError, match="skill s: (state|writes) is"):
        placed(skill, place, 4, 3, 2)


def test_a_machine_that_starts_at_one_becomes_a_skill_that_starts_at_zero():
    b = CircuitBuilder(2)  # (state, token) to (state, verdict, trap): parity, from odd
    after = b.xor(0, 1)
    machine = Sequential(b.build([after, after, b.const(False)]), (True,), True, (0,), (), ())
    skill = skill_of_machine("parity", machine, learned_bits=7)
    library = Library((skill,), perception=0, classes=(TokenClass("one", "1"),))
    tokens = np.array([[0, 1, 1, 0, 1]], bool)[..., None]
    _, outputs = library.run(tokens, np.ones((1, 5, 1), bool), np.zeros((1, 1), bool))
    assert outputs[0, :, 0].tolist() == [True, False, True, True, False]
    assert library.learned_bits == 7


def test_a_library_survives_json():
    library = random_library(3)
    again = Library.from_json(json.loads(json.dumps(library.to_json())))
    assert again == library and again.text() == library.text()


@pytest.mark.parametrize("damage", ["skills", "perception", "classes"])
def test_a_damaged_library_is_refused(damage):
    data = random_library(3).to_json()
    del data[damage]
    with pytest.raises(LibraryError, match=r"library\.json: not a library"):
        Library.from_json(data)


def test_skills_of_other_sizes_are_refused():
    odd = Skill("odd", random_circuit(Random(1), 4, 9, 3), 1)
    with pytest.raises(LibraryError, match="skill odd: 1 state bits, .*; place it"):
        Library((*random_library(0).skills, odd), PERCEPTION, DECLARED[:CLASSES])
    with pytest.raises(LibraryError, match="library: no skill"):
        Library((), 3)


@pytest.mark.parametrize("n", [1, 32, 60])
def test_the_starter_library_has_distinct_machines(n):
    library = starter_library(n)
    assert len({json.dumps(s.to_json()["circuit"]) for s in library.skills}) == n
    with pytest.raises(LibraryError, match="1000 skills; use 1 to"):
        starter_library(1000)


def test_the_starter_counts_and_toggles():
    library = starter_library(32)
    names = [skill.name for skill in library.skills]
    inputs = np.zeros((1, 6, library.n_in), bool)
    inputs[0, [0, 2, 3], 2] = True  # class 2 at three tokens of six
    for name, want in (("count class 2", [0, 0, 0, 0, 0, 1, 1, 0]),):
        choice = np.zeros((1, 6, 32), bool)
        choice[..., names.index(name)] = True
        states, outputs = library.run(inputs, choice, np.zeros((1, 8), bool))
        assert states[0, -1].tolist() == outputs[0, -1].tolist() == [bool(b) for b in want]


def test_token_classes_by_pattern_and_by_id():
    table = [b"", b" 12", b"ab", b"{\n", b"A"]
    classes = (*DECLARED, TokenClass("learned", ids=(0, 4)))
    bits = class_table(classes, table)
    named = [{c.name for c, bit in zip(classes, row, strict=True) if bit} for row in bits]
    assert named == [
        {"learned"}, {"space", "digit"}, set(), {"newline", "opens"}, {"capital", "learned"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "message"),
    [(TokenClass("bad", "("), "no regular expression"), (TokenClass("bad", ids=(9,)), "none of 2")],
)
def test_bad_token_classes_are_refused(entry, message):
    with pytest.raises(LibraryError, match=f"token class bad: .*{message}"):
        class_table((entry,), [b"a", b"b"])


def test_candidates_are_the_nearest_by_identifier():
    candidates = Candidates(32, 5)
    assert len(set(candidates.identifiers.tolist())) == 32
    torch.manual_seed(0)
    query = torch.randn(20, 32)
    # A query's bits are a Gray code; the identifier that has it is found by undoing the code.
    codes = (query > 0).numpy()
    words = np.zeros(20, np.uint32)
    for bit in reversed(range(32)):
        above = words >> np.uint32(bit + 1) & np.uint32(1) if bit < 31 else np.zeros(20, np.uint32)
        words |= (codes[:, bit].astype(np.uint32) ^ above) << np.uint32(bit)
    slots = candidates.nearest(query).numpy()
    for row in range(20):
        near = sim(np.full(32, words[row]), candidates.identifiers).astype(int)
        assert sorted(near[slots[row]], reverse=True) == sorted(near, reverse=True)[:5]


def test_the_choice_is_among_candidates_and_the_query_learns():
    candidates = Candidates(32, 5)
    query = torch.randn(2, 3, 32, requires_grad=True)
    logits = candidates(query, torch.zeros(2, 3, 32))
    assert (torch.isfinite(logits).sum(-1) == 5).all()
    logits.softmax(-1)[..., 0].sum().backward()
    assert torch.isfinite(query.grad).all()
    assert not Candidates(32, 0).narrow and not Candidates(32, 32).narrow


def test_the_prior_falls_for_skills_that_pay_more():
    prior = SkillPrior(3, octaves=1.0)
    assert prior().tolist() == [0, 0, 0]
    chosen = torch.eye(3, dtype=torch.bool)[[0, 0, 1, 1]]
    prior.charge(chosen, torch.tensor([1.0, 1.0, 3.0, 3.0]))
    weights = prior().exp()
    torch.testing.assert_close(weights / weights[0], torch.tensor([1.0, 0.25, 0.5]))
    prior.charge(torch.zeros(4, 3, dtype=torch.bool), torch.ones(4))
    torch.testing.assert_close(prior().exp(), weights)


def test_the_prior_survives_saving():
    prior, again = SkillPrior(2), SkillPrior(2)
    prior.charge(torch.eye(2, dtype=torch.bool), torch.tensor([0.0, 5.0]))
    again.load_state_dict(prior.state_dict())
    assert torch.equal(prior(), again()) and prior()[1] < 0


@pytest.mark.parametrize(
    ("data", "message"), [({"skils": 2}, "unknown key 'skils'"), ({"rank": 0}, "rank is 0")]
)
def test_bad_shapes_are_refused(data, message):
    with pytest.raises(LibraryError, match=f"rail configuration: library: {message}"):
        LibraryShape.from_config(data)
