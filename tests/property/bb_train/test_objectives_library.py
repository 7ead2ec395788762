"""build_loss, reuse_loss and calibration_loss: closed forms, finite differences, invariances."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bb_train.objectives.calibration import (
    Calibration,
    calibration_from_json,
    calibration_loss,
    calibration_to_json,
    start_calibration,
)
from bb_train.objectives.errors import ObjectiveError, ShapeError, StateError
from bb_train.objectives.library import build_loss, compose, reuse_loss, used_skills
from bb_train.objectives.term import Term, mean_term

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- build_loss -----------------------------------------------------------------------------


@given(SEEDS, st.floats(0, 1))
def test_a_composition_is_the_discounted_sum_of_what_skills_put_out(seed, keep):
    outputs = drawn(seed, 2, 6, 3)
    present = drawn(seed + 1, 2, 6) > -0.7
    found = compose(outputs, present, keep)
    for b in range(2):
        built = torch.zeros(3, dtype=torch.float64)
        for t in range(6):
            if present[b, t]:
                built = keep * built + outputs[b, t]
            assert torch.allclose(found[b, t], built)


def test_nothing_is_unexplained_where_the_state_is_the_composition():
    composed, present = drawn(0, 2, 4, 3), torch.ones(2, 4, dtype=torch.bool)
    assert float(build_loss(composed.clone(), composed, present).value) == 0
    middle = composed.mean((0, 1), keepdim=True).expand_as(composed)
    assert float(build_loss(composed, middle, present).value) == pytest.approx(1)


@given(SEEDS, st.floats(1e-3, 1e3))
def test_a_common_factor_changes_nothing_so_shrinking_does_not_win(seed, factor):
    hidden, composed = drawn(seed, 2, 5, 3), drawn(seed + 1, 2, 5, 3)
    present = torch.ones(2, 5, dtype=torch.bool)
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    plain = build_loss(hidden, composed, present).value
    scaled = build_loss(hidden * factor * scale, composed * factor * scale, present)
    scaled.surrogate.backward()
    assert torch.allclose(plain, scaled.value)
    assert abs(float(scale.grad)) < 1e-5 * (1 + float(plain))


def test_absent_positions_have_no_say():
    hidden, composed = drawn(0, 2, 4, 3), drawn(1, 2, 4, 3)
    present = torch.tensor([[True] * 4, [True, True, False, False]])
    plain = build_loss(hidden, composed, present)
    hidden[1, 2:] = 1e6
    assert torch.equal(plain.value, build_loss(hidden, composed, present).value)
    assert plain.count == 6
    nobody = build_loss(hidden, composed, torch.zeros_like(present))
    assert nobody.count == 0 and float(nobody.value) == 0


def test_build_loss_derivatives_are_the_finite_differences():
    present = drawn(2, 2, 4) > -0.5
    assert torch.autograd.gradcheck(
        lambda h, s: build_loss(h, compose(s, present, 0.6), present).surrogate,
        [drawn(0, 2, 4, 3).requires_grad_(), drawn(1, 2, 4, 3).requires_grad_()],
    )


def test_build_loss_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match="build_loss: .*give states, compositions and presence"):
        build_loss(drawn(0, 2, 4, 3), drawn(0, 2, 5, 3), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ObjectiveError, match="build_loss: keep is 1.5; use 0 to 1"):
        compose(drawn(0, 1, 2, 3), torch.ones(1, 2, dtype=torch.bool), 1.5)


# -- reuse_loss -----------------------------------------------------------------------------


def test_the_code_length_by_hand():
    """Two skills at 3/4 and 1/4, and adapters of |A| = 6 paid for by 30 positions at 0.1 each."""
    usage = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    adapters = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    term = reuse_loss(usage, adapters, scale=0.1, positions=30)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(term.value) == pytest.approx(entropy + 6 / 3)
    assert used_skills(usage) == pytest.approx(math.exp(entropy))


@given(SEEDS, st.integers(1, 6))
def test_reuse_is_least_for_one_skill_and_most_for_all_alike(seed, skills):
    usage = drawn(seed, 9, skills).softmax(-1)
    none = torch.zeros(skills, 2)
    found = float(reuse_loss(usage, none, scale=1.0, positions=1.0).value)
    assert -1e-9 <= found <= math.log(skills) + 1e-9
    order = torch.randperm(skills, generator=torch.Generator().manual_seed(seed))
    again = reuse_loss(usage[:, order], none, scale=1.0, positions=1.0)
    assert float(again.value) == pytest.approx(found)
    assert 1 - 1e-9 <= used_skills(usage) <= skills + 1e-9


def test_descending_it_empties_the_library_to_one_skill_and_shrinks_adapters():
    logits = drawn(3, 1, 5).clone().requires_grad_()
    adapters = drawn(4, 5, 3).clone().requires_grad_()
    optimiser = torch.optim.SGD([logits, adapters], lr=1.5)
    for _ in range(100):
        optimiser.zero_grad()
        reuse_loss(logits.softmax(-1), adapters, scale=1.0, positions=100.0).surrogate.backward()
        optimiser.step()
    assert used_skills(logits.softmax(-1)) < 1.1
    assert float(adapters.detach().abs().sum()) < float(drawn(4, 5, 3).abs().sum()) / 2


def test_reuse_derivatives_are_the_finite_differences():
    assert torch.autograd.gradcheck(
        lambda u, a: reuse_loss(u.softmax(-1), a, scale=0.3, positions=7.0).surrogate,
        [drawn(0, 4, 3).requires_grad_(), drawn(1, 3, 2).requires_grad_()],
    )


def test_reuse_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match="reuse_loss: usage .* adapters"):
        reuse_loss(torch.ones(2, 3), torch.ones(4, 1), scale=1.0, positions=1.0)
    with pytest.raises(ObjectiveError, match="reuse_loss: scale 0.0, positions 1.0"):
        reuse_loss(torch.ones(2, 3), torch.ones(3, 1), scale=0.0, positions=1.0)


# -- calibration_loss -----------------------------------------------------------------------


def ece_by_loop(confidence, right, bins):
    """The textbook sum over bins."""
    total = 0.0
    for m in range(bins):
        inside = [
            i for i, c in enumerate(confidence)
            if min(bins - 1, int(c * bins)) == m
        ]  # fmt: skip
        if inside:
            mean = sum(confidence[i] for i in inside) / len(inside)
            hits = sum(right[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(mean - hits)
    return total


@given(SEEDS, st.integers(2, 20))
def test_the_value_is_the_textbook_ece(seed, bins):
    confidence = drawn(seed, 50).sigmoid()
    right = drawn(seed + 1, 50) > 0
    term, record = calibration_loss(confidence, right, start_calibration(bins))
    wanted = ece_by_loop(confidence.tolist(), right.tolist(), bins)
    assert float(term.value) == pytest.approx(wanted) == pytest.approx(record.error)


def test_without_forgetting_batches_add_up_to_the_whole():
    confidence, right = drawn(0, 90).sigmoid(), drawn(1, 90) > 0
    _, whole = calibration_loss(confidence, right, start_calibration(keep=1.0))
    record = start_calibration(keep=1.0)
    for part in range(3):
        rows = slice(30 * part, 30 * part + 30)
        _, record = calibration_loss(confidence[rows], right[rows], record)
    assert record.counts == whole.counts
    assert record.gaps == pytest.approx(whole.gaps)


def test_what_is_long_ago_is_forgotten():
    sure, wrong, right = torch.full((50,), 0.9), torch.zeros(50).bool(), torch.ones(50).bool()
    _, record = calibration_loss(sure, wrong, start_calibration(keep=0.5))
    assert record.error == pytest.approx(0.9)
    for _ in range(20):
        _, record = calibration_loss(sure, right, record)
    assert record.error == pytest.approx(0.1, abs=1e-3)


def test_the_overconfident_are_pulled_down_and_the_timid_up():
    for sure, hits, sign in ((0.9, 0.2, 1), (0.3, 0.9, -1)):
        confidence = torch.full((40,), sure, dtype=torch.float64, requires_grad=True)
        right = torch.arange(40) < hits * 40
        term, _ = calibration_loss(confidence, right, start_calibration())
        term.surrogate.backward()
        assert (torch.sign(confidence.grad) == sign).all()


def test_signs_come_from_the_record_and_not_from_a_small_batch():
    confidence = torch.full((2,), 0.9, dtype=torch.float64, requires_grad=True)
    _, record = calibration_loss(
        torch.full((400,), 0.9), torch.zeros(400).bool(), start_calibration()
    )
    term, _ = calibration_loss(confidence, torch.ones(2).bool(), record)  # looks timid, alone
    term.surrogate.backward()
    assert (confidence.grad > 0).all()


def test_surrogate_derivatives_are_the_finite_differences_across_borders_of_bins():
    right = drawn(1, 12) > 0
    start = torch.linspace(0.03, 0.97, 12, dtype=torch.float64)
    _, record = calibration_loss(drawn(5, 300).sigmoid(), drawn(6, 300) > 1, start_calibration(5))
    assert torch.autograd.gradcheck(
        lambda c: calibration_loss(c, right, record)[0].surrogate, [start.requires_grad_()]
    )


def test_descending_the_surrogate_lowers_the_exact_error():
    """Answers right with known chances, a temperature that starts too sure."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, generator=generator, dtype=torch.float64).abs()
    right = torch.rand(4000, generator=generator, dtype=torch.float64) < logits.sigmoid()
    heat = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    record = start_calibration(keep=0.5)
    errors = []
    for _ in range(60):
        term, record = calibration_loss((heat * logits).sigmoid(), right, record)
        (slope,) = torch.autograd.grad(term.surrogate, heat)
        heat = (heat - 2.0 * slope).detach().requires_grad_()
        errors.append(record.error)
    assert errors[0] > 0.1 and errors[-1] < 0.03
    assert heat.item() == pytest.approx(1.0, abs=0.25)


@given(SEEDS)
def test_the_record_resumes_with_the_same_bits(seed):
    _, record = calibration_loss(drawn(seed, 9).sigmoid(), drawn(seed, 9) > 0, start_calibration(4))
    assert calibration_from_json(json.loads(json.dumps(calibration_to_json(record)))) == record


def test_two_processes_keep_one_record():
    """Each adds the other's counts, as a sum over processes does."""
    confidence, right = drawn(0, 20).sigmoid(), drawn(1, 20) > 0
    parts = [slice(0, 7), slice(7, 20)]
    seen = []
    for part in parts:
        calibration_loss(
            confidence[part], right[part], start_calibration(), lambda t: seen.append(t) or t
        )
    whole, record = calibration_loss(confidence, right, start_calibration())
    for part in parts:
        term, mine = calibration_loss(
            confidence[part], right[part], start_calibration(), lambda _: seen[0] + seen[1]
        )
        assert mine.gaps == pytest.approx(record.gaps) and mine.counts == record.counts
        assert float(term.value) == pytest.approx(float(whole.value))


def test_calibration_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match="calibration: confidence"):
        calibration_loss(torch.ones(2), torch.ones(3).bool(), start_calibration())
    with pytest.raises(ObjectiveError, match="calibration: 1 bins, keep 0.98"):
        start_calibration(1)
    with pytest.raises(StateError, match="no calibration record"):
        calibration_from_json({"keep": 0.5})
    with pytest.raises(StateError, match="bins that do not belong together"):
        calibration_from_json({**calibration_to_json(start_calibration()), "gaps": [0.0]})
    assert Calibration((0.0,) * 2, (0.0,) * 2, (0.0,) * 2, 1.0).error == 0


# -- terms ----------------------------------------------------------------------------------


def test_a_term_is_a_scalar_of_counted_rows():
    term = mean_term(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 5.0]))
    assert (float(term.value), float(term.surrogate), term.count) == (2.0, 3.5, 2)
    with pytest.raises(ShapeError, match=r"term: value has shape \(2,\); take the mean"):
        Term(torch.ones(2), torch.ones(()), 1)
    with pytest.raises(ShapeError, match="term: count is -1"):
        Term(torch.ones(()), torch.ones(()), -1)
    with pytest.raises(ShapeError, match="give one of each for every row"):
        mean_term(torch.ones(2), torch.ones(3))
