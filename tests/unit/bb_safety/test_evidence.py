"""Evidence as it is measured, written and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bb_core.errors import BBError
from bb_safety.eprocess import EvidenceError
from bb_safety.evidence import (
    BatteryResult,
    EvaluationSet,
    PairedRisks,
    load_measurement,
    save_measurement,
)

TEXTS = ["refund order 1042 for ana@example.com", "where is order 1077"]
SET = EvaluationSet.of("fresh", 7, TEXTS)
RISKS = PairedRisks(
    SET, "c" * 64, "0" * 64, {"refused": np.array([0.0, 1.0])}, {"refused": np.array([1.0, 0.5])}
)
BATTERY = BatteryResult("c" * 64, 2, 2, 1, "b" * 64)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "measurement.json"
    save_measurement(path, RISKS, BATTERY)
    risks, battery = load_measurement(path)
    assert (risks.evaluation_set, battery) == (SET, BATTERY)
    np.testing.assert_array_equal(risks.candidate["refused"], [0.0, 1.0])
    np.testing.assert_array_equal(risks.incumbent["refused"], [1.0, 0.5])


def test_request_texts_are_not_kept(tmp_path: Path) -> None:
    save_measurement(tmp_path / "measurement.json", RISKS, BATTERY)
    assert "ana@example.com" not in (tmp_path / "measurement.json").read_text()


def test_a_set_is_its_requests_and_a_draw_is_its_seed_too() -> None:
    renamed = EvaluationSet.of("other", 8, TEXTS[::-1])
    assert renamed.digest == SET.digest
    assert not renamed.draws() & SET.draws()
    longer = EvaluationSet.of("fresh", 7, [*TEXTS, "one more"])
    assert longer.digest != SET.digest
    assert longer.draws() > SET.draws()


@pytest.mark.parametrize("bad", [[0.0, 1.5], [0.0, float("nan")], [-0.1, 0.0]])
def test_risks_outside_their_range_are_refused(bad: list[float]) -> None:
    with pytest.raises(EvidenceError, match=r"candidate\.refused: the risk of request \d is .*in "):
        PairedRisks(SET, "c", "i", {"refused": np.array(bad)}, {})


def test_as_many_risks_as_requests() -> None:
    with pytest.raises(EvidenceError, match=r"incumbent\.refused: \(3,\) risks for 2 requests"):
        PairedRisks(SET, "c", "i", {}, {"refused": np.zeros(3)})
    with pytest.raises(EvidenceError, match="the evaluation set is empty"):
        PairedRisks(EvaluationSet.of("none", 1, []), "c", "i", {}, {})


def test_a_battery_counts_what_can_be() -> None:
    with pytest.raises(EvidenceError, match="3 admissible of 2 valid of 5"):
        BatteryResult("c", 5, 2, 3, "b")


def test_a_broken_measurement_is_named(tmp_path: Path) -> None:
    path = tmp_path / "measurement.json"
    save_measurement(path, RISKS, BATTERY)
    document = json.loads(path.read_text())
    del document["incumbent"]["risks"]
    path.write_text(json.dumps(document))
    with pytest.raises(EvidenceError, match=r"measurement\.json: not a measurement: KeyError: 'ri"):
        load_measurement(path)
    path.write_text("{")
    with pytest.raises(BBError, match=r"measurement\.json:1:2: not JSON"):
        load_measurement(path)
