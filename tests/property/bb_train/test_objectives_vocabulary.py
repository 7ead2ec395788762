"""Losses over the whole vocabulary: closed forms, finite differences, and no whole logits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bb_train.data import Example
from bb_train.objectives import vocabulary
from bb_train.objectives.divergence import invariance_loss, jensen_shannon, kl_budget, kl_from
from bb_train.objectives.errors import ObjectiveError, ShapeError
from bb_train.objectives.forbidden import cfs_energy, energy_of, grammar_masks, is_allowed
from bb_train.objectives.plan_positions import paired_positions, plan_positions, same_plan_pairs
from bb_train.objectives.vocabulary import (
    Head,
    log_confidence,
    logits_head,
    nll_of,
    vocabulary_rows,
)

WIDTH, SIZE = 5, 40


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def head():
    weight = torch.randn(SIZE, WIDTH, dtype=torch.float64)
    return Head(lambda states: states @ weight.T, SIZE)


@pytest.fixture
def small_chunks(monkeypatch):
    """Two rows of logits at a time, so that chunks have borders."""
    monkeypatch.setattr(vocabulary, "_ELEMENTS", 2 * SIZE)


def states_of(rows=7, **options):
    return torch.randn(rows, WIDTH, dtype=torch.float64, requires_grad=True, **options)


def packed(allowed):
    """(N, V) bool to (N, words) int32, as llguidance packs it."""
    bits = np.packbits(
        np.pad(allowed, ((0, 0), (0, -allowed.shape[1] % 32))), axis=1, bitorder="little"
    )
    return torch.from_numpy(bits.view(np.int32).copy())


def some_masks(rows, size=SIZE):
    allowed = np.random.default_rng(0).random((rows, size)) < 0.3
    allowed[:, 3] = True
    return allowed


@pytest.mark.usefixtures("small_chunks")
def test_rows_in_chunks_are_the_rows_at_once(head):
    states, targets = states_of(), torch.arange(7)
    masks = packed(some_masks(7))
    rows = vocabulary_rows(states, head, [nll_of(targets), energy_of(masks), log_confidence])
    logp = head.project(states).log_softmax(-1)
    allowed = torch.from_numpy(some_masks(7))
    plain = (
        torch.nn.functional.nll_loss(logp, targets, reduction="none"),
        -(logp.exp() * allowed).sum(-1).log(),
        logp.max(-1).values,
    )
    weights = torch.randn(3, 7, dtype=torch.float64)
    for found, wanted in zip(rows.losses, plain, strict=True):
        assert torch.allclose(found, wanted)
    ours = torch.autograd.grad(
        sum((w * x).sum() for w, x in zip(weights, rows.losses, strict=True)), states
    )
    theirs = torch.autograd.grad(
        sum((w * x).sum() for w, x in zip(weights, plain, strict=True)), states
    )
    assert torch.allclose(ours[0], theirs[0])
    assert torch.equal(rows.top, logp.argmax(-1)) and not rows.top.requires_grad


@pytest.mark.usefixtures("small_chunks")
def test_derivatives_are_the_finite_differences(head):
    masks, targets, base = packed(some_masks(4)), torch.tensor([0, 3, 9, 39]), states_of(4).detach()
    measures = [nll_of(targets), energy_of(masks), log_confidence, kl_from(base, head)]
    for measure in measures:
        assert torch.autograd.gradcheck(
            lambda x, m=measure: vocabulary_rows(x, head, [m]).losses[0], [states_of(4)]
        )
    pair = torch.randn(3, 2, WIDTH, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: vocabulary_rows(x, head, [jensen_shannon]).losses[0], [pair]
    )


def test_logits_are_never_whole():
    """The head sees a few rows at a time, and what is kept for the backward pass is narrow."""
    seen = []
    weight = torch.randn(2**15, 8)

    def project(rows):
        seen.append(rows.shape[0])
        return rows @ weight.T

    states = torch.randn(300, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (kept.append(t.numel()), t)[1], lambda t: t
    ):
        rows = vocabulary_rows(
            states, Head(project, len(weight)), [nll_of(torch.zeros(300, dtype=torch.int64))]
        )
    assert max(seen) == 128 and sum(seen) == 300
    assert max(kept[-1:]) == states.numel()
    rows.losses[0].sum().backward()
    assert states.grad.abs().sum() > 0 and sum(seen) == 300  # nothing is computed again


def test_one_loss_may_be_left_unused(head):
    states = states_of(3)
    rows = vocabulary_rows(
        states, head, [log_confidence, nll_of(torch.zeros(3, dtype=torch.int64))]
    )
    rows.losses[1].sum().backward()
    again = states.detach().requires_grad_()
    (-head.project(again).log_softmax(-1)[:, 0]).sum().backward()
    assert torch.allclose(states.grad, again.grad)


def test_bfloat16_states_are_measured_in_float32():
    weight = torch.randn(SIZE, WIDTH, dtype=torch.bfloat16)
    states = torch.randn(4, WIDTH, dtype=torch.bfloat16, requires_grad=True)
    rows = vocabulary_rows(states, Head(lambda x: x @ weight.T, SIZE), [log_confidence])
    assert rows.losses[0].dtype == torch.float32
    rows.losses[0].sum().backward()
    assert states.grad.dtype == torch.bfloat16


# -- cfs_energy -----------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 70))
def test_forbidden_mass_is_what_a_softmax_puts_on_forbidden_tokens(seed, size):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 4, (5, size)))
    allowed = rng.random((5, size)) < rng.random()
    allowed[np.arange(5), rng.integers(size, size=5)] = True
    found = cfs_energy(logits, logits_head(size), packed(allowed))
    probabilities = logits.softmax(-1).numpy()
    mass = (probabilities * ~allowed).sum(1)
    assert float(found.term.value) == pytest.approx(mass.mean(), abs=1e-9)
    assert float(found.term.surrogate) == pytest.approx(-np.log1p(-mass).mean(), rel=1e-6, abs=1e-9)
    assert found.term.surrogate >= found.term.value - 1e-12
    top = probabilities.argmax(1)
    assert found.rate == pytest.approx((~allowed[np.arange(5), top]).mean())


def test_the_energys_gradient_does_not_fade_where_all_mass_is_forbidden():
    logits = torch.zeros(1, 64, requires_grad=True)
    with torch.no_grad():
        logits[0, 7] = 60.0  # forbidden, and certain
    allowed = np.ones((1, 64), bool)
    allowed[0, 7] = False
    found = cfs_energy(logits, logits_head(64), packed(allowed))
    found.term.surrogate.backward()
    assert found.rate == 1.0 and float(found.term.value) == 1.0
    assert float(logits.grad[0, 7]) == pytest.approx(1.0)
    faded = logits.detach().requires_grad_()
    (faded.softmax(-1)[0, 7]).backward()
    assert abs(float(faded.grad[0, 7])) < 1e-12


def test_tokens_beyond_the_mask_are_forbidden():
    logits = torch.zeros(1, 40)
    masks = torch.tensor([[-1]], dtype=torch.int32)  # 32 tokens allowed, 40 in the vocabulary
    found = cfs_energy(logits, logits_head(40), masks)
    assert float(found.term.value) == pytest.approx(8 / 40)
    assert is_allowed(masks, torch.tensor([31])).item() and not is_allowed(
        masks, torch.tensor([39])
    )


def test_a_shift_of_all_logits_changes_nothing():
    logits = torch.randn(6, 50, dtype=torch.float64)
    masks = packed(some_masks(6, 50))
    one = cfs_energy(logits, logits_head(50), masks)
    two = cfs_energy(logits + 1000, logits_head(50), masks)
    assert torch.allclose(one.term.value, two.term.value)


def test_masks_that_allow_nothing_or_do_not_fit_are_refused():
    with pytest.raises(ObjectiveError, match="cfs_energy: position 1 allows no token"):
        cfs_energy(torch.zeros(2, 32), logits_head(32), torch.tensor([[1], [0]], dtype=torch.int32))
    with pytest.raises(ShapeError, match="cfs_energy: 2 states, 1 masks"):
        cfs_energy(torch.zeros(2, 32), logits_head(32), torch.ones(1, 1, dtype=torch.int32))
    with pytest.raises(ShapeError, match="vocabulary: states of shape"):
        vocabulary_rows(torch.zeros(3), logits_head(3), [log_confidence])


class Alternating:
    """A grammar of 0 and 1 in turn, beginning with 0; token 2 ends it."""

    def __init__(self):
        self.finished, self._next = False, 0

    def fork(self):
        twin = Alternating()
        twin.finished, twin._next = self.finished, self._next
        return twin

    def consume(self, token):
        if self.finished or token not in (self._next, 2):
            return False
        self.finished, self._next = token == 2, 1 - self._next
        return True

    def fill(self, words):
        words[:] = 1 << self._next | 1 << 2


def test_masks_are_those_before_each_token():
    masks = grammar_masks(Alternating, [[0, 1, 2], [2]], 1)
    assert masks[:, 0].tolist() == [0b101, 0b110, 0b101, 0b101]
    with pytest.raises(ObjectiveError, match="cfs_energy: token 1 of plan 0 is forbidden"):
        grammar_masks(Alternating, [[0, 0]], 1)


# -- KL budget and invariance ---------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
def test_kl_is_the_softmaxes_own(head):
    states, base = states_of(), states_of().detach()
    term = kl_budget(states, base, head)
    wanted = torch.nn.functional.kl_div(
        head.project(states).log_softmax(-1), head.project(base).log_softmax(-1),
        reduction="batchmean", log_target=True,
    )  # fmt: skip
    assert torch.allclose(term.value, wanted) and torch.allclose(term.surrogate, wanted)
    assert term.count == 7


def test_kl_to_itself_is_nil_and_flat(head):
    states = states_of()
    term = kl_budget(states, states.detach().clone(), head)
    term.surrogate.backward()
    assert abs(float(term.value)) < 1e-12 and states.grad.abs().max() < 1e-12


def test_kl_is_what_general_text_costs(head):
    """E over the base's own text of (rail's loss − base's loss) is the KL."""
    states, base = states_of(3), states_of(3).detach()
    truth = head.project(base).log_softmax(-1)
    mine = head.project(states).log_softmax(-1)
    extra = sum(truth[:, v].exp() * (truth[:, v] - mine[:, v]) for v in range(SIZE))
    assert torch.allclose(kl_budget(states, base, head).value, extra.mean())


@given(st.integers(0, 2**32 - 1))
def test_invariance_is_symmetric_bounded_and_nil_for_equals(seed):
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(2, 4, 20, generator=generator, dtype=torch.float64) * 8
    head = logits_head(20)
    there, back = invariance_loss(left, right, head), invariance_loss(right, left, head)
    assert torch.allclose(there.value, back.value)
    assert 0 <= float(there.value) <= math.log(2) + 1e-9
    assert float(invariance_loss(left, left + 3.0, head).value) == pytest.approx(0, abs=1e-12)


def test_invariance_of_two_certainties_is_log_two_and_pulls_on_both():
    left = torch.tensor([[9.0, 0.0]], requires_grad=True)
    right = torch.tensor([[0.0, 9.0]], requires_grad=True)
    term = invariance_loss(left, right, logits_head(2))
    term.surrogate.backward()
    assert float(term.value) == pytest.approx(math.log(2), abs=2e-3)
    assert left.grad[0, 0] > 0 and right.grad[0, 1] > 0


def test_unequal_shapes_are_refused(head):
    with pytest.raises(ShapeError, match="invariance: states of shapes"):
        invariance_loss(states_of(2), states_of(3), head)
    with pytest.raises(ShapeError, match="kl_budget: states of shapes"):
        kl_budget(states_of(2), states_of(3), head)


# -- positions ------------------------------------------------------------------------------

BATCH = (Example((5, 6, 7, 20, 21, 2), 3), Example((8, 20, 21, 2), 1), Example((9, 9, 30, 2), 2))


def test_plan_positions_predict_the_plans_tokens():
    found = plan_positions(BATCH)
    assert found.rows.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert found.columns.tolist() == [2, 3, 4, 0, 1, 2, 1, 2]
    assert found.targets.tolist() == [20, 21, 2, 20, 21, 2, 30, 2]
    states = torch.arange(18.0).view(3, 6, 1)
    assert found.take(states)[:, 0].tolist() == [2, 3, 4, 6, 7, 8, 13, 14]


def test_wordings_of_one_plan_are_paired_and_aligned_by_its_text():
    assert same_plan_pairs(BATCH) == [(0, 1)]
    left, right = paired_positions(BATCH, [(0, 1)])
    assert torch.equal(left.targets, right.targets)
    assert left.columns.tolist() == [2, 3, 4] and right.columns.tolist() == [0, 1, 2]
    assert left.rows.tolist() == [0, 0, 0] and right.rows.tolist() == [1, 1, 1]
    with pytest.raises(ObjectiveError, match="invariance: rows 0 and 2 carry different plans"):
        paired_positions(BATCH, [(0, 2)])


def test_the_same_wording_twice_is_no_pair():
    assert same_plan_pairs((BATCH[0], BATCH[0])) == []
    three = (BATCH[0], BATCH[1], Example((1, 20, 21, 2), 1))
    assert same_plan_pairs(three) == [(0, 1)]


def test_no_positions_are_a_term_of_nothing():
    left, right = paired_positions(BATCH, [])
    states = torch.zeros(3, 6, 4, requires_grad=True)
    term = invariance_loss(left.take(states), right.take(states), logits_head(4))
    assert term.count == 0 and float(term.value) == 0 and term.surrogate.requires_grad
