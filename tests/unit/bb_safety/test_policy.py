"""The policy file: ranges, unknown keys, the shipped file, and the spending of delta."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bb_core.errors import BBError
from bb_safety.policy import PolicyError, load_policy

SHIPPED = Path(__file__).parents[3] / "configs" / "gate.yaml"


def changed(tmp_path: Path, **changes: object) -> Path:
    document = yaml.safe_load(SHIPPED.read_text()) | changes
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))
    return path


def test_the_shipped_policy_loads() -> None:
    policy = load_policy(SHIPPED)
    assert policy.delta == 0.05
    assert policy.epsilon == 0.01
    assert sum(risk.weight for risk in policy.components()) == pytest.approx(1.0)


def test_the_levels_of_all_submissions_sum_to_delta() -> None:
    policy = load_policy(SHIPPED)
    levels = [policy.delta_for(j) for j in range(1, 20_001)]
    assert levels[0] == pytest.approx(0.0303963, abs=1e-6)
    assert levels == sorted(levels, reverse=True)
    assert sum(levels) < policy.delta
    assert sum(levels) == pytest.approx(policy.delta, rel=1e-4)


def test_submissions_are_counted_from_one() -> None:
    with pytest.raises(PolicyError, match="submission 0; count submissions from 1"):
        load_policy(SHIPPED).delta_for(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delta": 0.7}, "delta: Input should be less than or equal to 0.5"),
        ({"epsilon": 0}, "epsilon: Input should be greater than 0"),
        ({"epsilon": None}, "epsilon: Field required"),
        ({"elipson": 0.1}, "elipson: Extra inputs are not permitted"),
        ({"min_samples": 9000}, "min_samples is larger than max_samples"),
        ({"risks": {"refused": 1.0}}, "risks must weigh exactly refused, wrong_effect, unfin"),
        (
            {"risks": {"refused": 0.5, "wrong_effect": 0.5, "unfinished": 0.5}},
            "the weights of risks sum to 1.5, not to 1",
        ),
        ({"bets": {"smallest": 0.9, "largest": 0.5}}, "bets.smallest is larger than bets.largest"),
        ({"bets": {"largest": 1.0}}, "bets.largest: Input should be less than 1"),
        ({"version": 2}, "version: Input should be less than or equal to 1"),
    ],
)
def test_what_is_out_of_range_is_refused_by_key(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = changed(tmp_path, **changes)
    with pytest.raises(PolicyError) as refused:
        load_policy(path)
    assert message in str(refused.value)
    assert str(refused.value).startswith(str(path))


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BBError, match=r"absent\.yaml"):
        load_policy(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("delta: [0.05\n")
    with pytest.raises(BBError, match=r"broken\.yaml"):
        load_policy(tmp_path / "broken.yaml")


def test_the_fingerprint_is_of_the_meaning_not_of_the_spelling(tmp_path: Path) -> None:
    respelled = tmp_path / "gate.yaml"
    respelled.write_text("# no comments\n" + yaml.safe_dump(yaml.safe_load(SHIPPED.read_text())))
    assert load_policy(respelled).fingerprint == load_policy(SHIPPED).fingerprint
    other = load_policy(changed(tmp_path, epsilon=0.02))
    assert other.fingerprint != load_policy(SHIPPED).fingerprint
