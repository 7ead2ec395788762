from __future__ import annotations

import pytest

from bb_core.errors import BBError
from bb_core.lyapunov import Risk, v_s

RISKS = [Risk("refused", 0.5), Risk("wrong", 0.3), Risk("unfinished", 0.2)]
MEANS = {"refused": 0.1, "wrong": 0.5, "unfinished": 1.0}


def test_is_the_weighted_mean() -> None:
    assert v_s(RISKS, MEANS) == pytest.approx(0.05 + 0.15 + 0.2)
    assert v_s(RISKS, dict.fromkeys(MEANS, 0.0)) == 0.0
    assert v_s([Risk(str(i), 0.1) for i in range(10)], {str(i): 1.0 for i in range(10)}) == 1.0


@pytest.mark.parametrize(
    ("risks", "means", "message"),
    [
        ([Risk("a", 0.5)], {"a": 0.0}, r"risks: weights sum to 0\.5; scale them"),
        (
            [Risk("a", 0.0), Risk("b", 1.0)],
            {"a": 0, "b": 0},
            r"risk a: weight 0\.0 is out of range",
        ),
        ([Risk("a", 0.5), Risk("a", 0.5)], {"a": 0.0}, "risk a: is declared twice; keep one"),
        (RISKS, {"refused": 0.1, "wrong": 0.5}, "risk unfinished: has no mean; give means for"),
        (RISKS, {**MEANS, "more": 0.5}, "risk more: is not declared"),
        (RISKS, {**MEANS, "wrong": 1.1}, r"risk wrong: mean 1\.1 is out of range"),
        (RISKS, {**MEANS, "wrong": float("nan")}, "risk wrong: mean nan is out of range"),
    ],
)
def test_bad_weights_and_means_are_refused(
    risks: list[Risk], means: dict[str, float], message: str
) -> None:
    with pytest.raises(BBError, match=message):
        v_s(risks, means)
