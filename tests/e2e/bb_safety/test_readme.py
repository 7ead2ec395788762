"""The package README's Python block runs as it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bb_safety.evidence import BatteryResult, CandidateSpec, EvaluationSet, PairedRisks
from bb_safety.risk import PlanOutcome, request_risk, risk_columns, world_changes

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class CoinTossers:
    """An evaluator of two policies that refund the right order by chance."""

    base: str
    n: int = 200

    def battery(self, candidate: CandidateSpec) -> BatteryResult:
        return BatteryResult(candidate.revision, self.n, self.n, self.n, self.base)

    def paired_risks(self, candidate: CandidateSpec, incumbent: CandidateSpec) -> PairedRisks:
        reference = world_changes({"1042": "paid"}, {"1042": "refunded"})
        wrong = world_changes({"1043": "paid"}, {"1043": "refunded"})
        random = np.random.default_rng(5)

        def measure(chance: float) -> dict[str, np.ndarray]:
            right = random.random(self.n) < chance
            outcomes = [PlanOutcome(True, True, reference if r else wrong) for r in right]
            return risk_columns([request_risk(outcome, reference) for outcome in outcomes])

        fresh = EvaluationSet.of("tosses", 5, [f"refund order 1042, {i}" for i in range(self.n)])
        return PairedRisks(
            fresh, candidate.revision, incumbent.revision, measure(0.9), measure(0.1)
        )


def test_the_python_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "rail").mkdir()
    (tmp_path / "rail" / "rail.bin").write_bytes(b"weights")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "bb_safety/README.md").read_text(), re.S)
    assert len(blocks) == 1
    names = {
        "work": tmp_path / "work",
        "folder": tmp_path / "rail",
        "base_fingerprint": "b" * 64,
        "evaluator": CoinTossers("b" * 64),
    }
    exec(compile(blocks[0], "bb_safety/README.md", "exec"), names)
    assert "PROMOTE" in capsys.readouterr().out
    assert names["registry"].production() == names["rail"]
