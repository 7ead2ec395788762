"""The gate: verdicts, spending, refusal of reused evidence, what is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bb_safety.decision import Decision, decision_from_json, decision_to_json
from bb_safety.evidence import BatteryResult, CandidateSpec, EvaluationSet, PairedRisks
from bb_safety.policy import GatePolicy, load_policy
from bb_safety.promote import GateError, gate
from bb_safety.report import decision_lines, save_picture
from bb_safety.risk import COMPONENTS
from bb_safety.usage import ReusedEvidenceError, UsageStore
from bem_kernel.ledger.chain import Ledger, read_entries

POLICY = load_policy(Path(__file__).parents[3] / "configs" / "gate.yaml")
BASE = "b" * 64
CANDIDATE = CandidateSpec("c" * 64, BASE)
INCUMBENT = CandidateSpec("0" * 64, BASE, kind="base")
BATTERY = BatteryResult(CANDIDATE.revision, 200, 200, 200, BASE)


class Desk:
    """A ledger, a usage store and the call under test with its usual arguments."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate.jsonl"
        self.ledger = Ledger(self.path)
        self.usage = UsageStore(folder / "gate.sqlite")

    def decide(
        self,
        risks: PairedRisks,
        battery: BatteryResult = BATTERY,
        policy: GatePolicy = POLICY,
        candidate: CandidateSpec = CANDIDATE,
    ) -> Decision:
        return gate(
            candidate,
            INCUMBENT,
            policy,
            evidence=risks,
            battery=battery,
            ledger=self.ledger,
            usage=self.usage,
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path)
    yield found
    found.ledger.close()


def measured(
    new: float, old: float, n: int = 400, seed: int = 0, candidate: CandidateSpec = CANDIDATE
) -> PairedRisks:
    """Chances of a wrong effect on each side; nothing else goes wrong."""
    rng = np.random.default_rng(seed)
    sides = [
        {name: np.zeros(n) for name in COMPONENTS} | {"wrong_effect": (rng.random(n) < p) * 1.0}
        for p in (new, old)
    ]
    fresh = EvaluationSet.of(f"fresh-{seed}", seed, [f"request {seed}.{i}" for i in range(n)])
    return PairedRisks(fresh, candidate.revision, INCUMBENT.revision, *sides)


def test_a_much_safer_candidate_is_promoted_early(desk: Desk) -> None:
    decision = desk.decide(measured(0.2, 0.95))
    assert decision.verdict == "promote"
    assert decision.evidence.n == POLICY.min_samples
    assert decision.evidence.e_value >= 1 / decision.evidence.delta_j
    assert decision.evidence.mean_difference < -0.3
    assert decision.evidence.mean_difference < decision.evidence.upper_bound < 0.0
    assert decision.evidence.delta_j == pytest.approx(POLICY.delta_for(1))


def test_v_s_is_the_weighted_mean_of_the_components(desk: Desk) -> None:
    risks = measured(0.2, 0.95)
    decision = desk.decide(risks)
    share = risks.candidate["wrong_effect"].mean()
    assert decision.risks["candidate"].components["wrong_effect"] == pytest.approx(share)
    assert decision.risks["candidate"].v_s == pytest.approx(0.6 * share)


def test_a_harmful_candidate_is_rejected_with_the_opposite_e_value(desk: Desk) -> None:
    decision = desk.decide(measured(0.9, 0.2))
    assert decision.verdict == "reject"
    assert "worse than the margin: opposite e-value" in decision.reasons[0]
    assert decision.evidence.n < 400


def test_an_equal_candidate_needs_more_data_and_says_how_much(desk: Desk) -> None:
    decision = desk.decide(measured(0.0, 0.0, n=100))
    assert decision.verdict == "more_data"
    assert "has not reached 1/delta_j = 32.9 after 100 requests" in decision.reasons[0]
    assert decision.next_step.startswith("about ")
    needed = int(decision.next_step.split()[1])
    more = desk.decide(measured(0.0, 0.0, n=needed + 1, seed=1))
    assert (more.verdict, more.submission) == ("promote", 1)
    assert 100 + needed - 20 <= more.evidence.n <= 100 + needed + 1


def test_more_data_continues_the_same_submission_with_all_that_was_seen(desk: Desk) -> None:
    parts = [measured(0.05, 0.06, n=120, seed=s) for s in (1, 2, 3)]
    decisions = [desk.decide(part) for part in parts]
    assert [d.verdict for d in decisions] == ["more_data"] * 3
    assert [d.submission for d in decisions] == [1, 1, 1]
    assert [d.evidence.n for d in decisions] == [120, 240, 360]
    seen = desk.usage.differences(1)
    expected = [
        0.6 * (part.candidate["wrong_effect"] - part.incumbent["wrong_effect"]) for part in parts
    ]
    np.testing.assert_allclose(seen, np.concatenate(expected))
    assert len(desk.usage.differences(1, until=decisions[1].sequence)) == 240


def test_every_submission_spends_its_own_level(desk: Desk) -> None:
    levels = []
    for j in range(1, 5):
        other = CandidateSpec(f"{j}" * 64, BASE)
        decision = desk.decide(
            measured(0.9, 0.2, seed=j, candidate=other),
            replace(BATTERY, revision=other.revision),
            candidate=other,
        )
        assert decision.submission == j
        levels.append(decision.evidence.delta_j)
    assert levels == [pytest.approx(POLICY.delta_for(j)) for j in (1, 2, 3, 4)]


def test_a_rejected_candidate_that_comes_back_is_a_new_submission(desk: Desk) -> None:
    assert desk.decide(measured(0.9, 0.2)).verdict == "reject"
    again = desk.decide(measured(0.9, 0.2, seed=1))
    assert again.submission == 2
    assert again.evidence.n_measured == 400


def test_another_policy_makes_a_new_submission(desk: Desk) -> None:
    desk.decide(measured(0.0, 0.0, n=100))
    wider = POLICY.model_copy(update={"epsilon": 0.05})
    again = desk.decide(measured(0.0, 0.0, n=100, seed=1), policy=wider)
    assert (again.submission, again.evidence.n_measured) == (2, 100)


def test_evidence_is_not_used_twice(desk: Desk) -> None:
    first = desk.decide(measured(0.0, 0.0, n=100))
    with pytest.raises(ReusedEvidenceError) as refused:
        desk.decide(measured(0.0, 0.0, n=100))
    assert str(refused.value) == (
        "evaluation set 'fresh-0': its requests are those of set 'fresh-0', used by decision "
        f"{first.sequence} (submission 1); draw fresh requests with a seed that was not used before"
    )
    assert len(desk.usage.submissions()) == 1


def test_a_renamed_reseeded_reordered_set_is_still_the_same(desk: Desk) -> None:
    risks = measured(0.0, 0.0, n=100)
    desk.decide(risks)
    requests = tuple(reversed(risks.evaluation_set.requests))
    disguised = EvaluationSet("other name", 77, requests)
    with pytest.raises(ReusedEvidenceError, match="'other name': its requests are those of set"):
        desk.decide(replace(risks, evaluation_set=disguised))


def test_a_longer_draw_from_the_same_seed_shares_draws(desk: Desk) -> None:
    desk.decide(measured(0.0, 0.0, n=100))
    with pytest.raises(ReusedEvidenceError, match="it shares draws with set 'fresh-0', used by de"):
        desk.decide(measured(0.0, 0.0, n=101))


def test_a_set_is_spent_even_if_the_gate_dies_before_deciding(desk: Desk) -> None:
    risks = measured(0.0, 0.0, n=100)
    desk.usage.claim(CANDIDATE.revision, INCUMBENT.revision, "policy", risks.evaluation_set)
    with pytest.raises(ReusedEvidenceError, match="submission 1, which did not reach a decision"):
        desk.decide(risks)
    assert desk.decide(measured(0.0, 0.0, n=100, seed=1)).submission == 2


@pytest.mark.parametrize(
    ("battery", "message"),
    [
        (replace(BATTERY, syntax_valid=199, admissible=199), "syntax fails: 199 of 200 plans"),
        (replace(BATTERY, admissible=199), "admissible fails: 199 of 200 admitted"),
        (replace(BATTERY, base_fingerprint="f" * 64), "base fails: ran on ffffffffffff, declared"),
        (
            BatteryResult(CANDIDATE.revision, 3, 3, 3, BASE),
            f"coverage fails: 3 requests, {POLICY.min_battery} needed",
        ),
    ],
)
def test_the_battery_is_hard(desk: Desk, battery: BatteryResult, message: str) -> None:
    decision = desk.decide(measured(0.0, 0.95), battery)
    assert decision.verdict == "reject"
    assert message in decision.reasons[0]
    assert decision.next_step.startswith("mend what fails")


def test_the_cap_on_samples_ends_the_matter(desk: Desk) -> None:
    capped = POLICY.model_copy(update={"max_samples": 100})
    decision = desk.decide(measured(0.0, 0.0, n=100), policy=capped)
    assert decision.verdict == "reject"
    assert "never reached" in decision.reasons[0]


def test_evidence_about_something_else_is_refused(desk: Desk) -> None:
    other = CandidateSpec("d" * 64, BASE)
    with pytest.raises(GateError, match="candidate's risks are about revision dddddddddddd, not c"):
        desk.decide(measured(0.1, 0.9, candidate=other))
    with pytest.raises(GateError, match="battery is about revision dddddddddddd"):
        desk.decide(measured(0.1, 0.9), replace(BATTERY, revision=other.revision))
    with pytest.raises(GateError, match="is its own incumbent"):
        desk.decide(measured(0.1, 0.9, candidate=INCUMBENT), candidate=INCUMBENT)
    assert desk.usage.submissions() == []


def test_the_decision_is_an_entry_of_the_chain(desk: Desk) -> None:
    decision = desk.decide(measured(0.2, 0.95))
    entry = list(read_entries(desk.path))[decision.sequence]
    assert entry["type"] == "gate.decision"
    assert entry["decision"]["verdict"] == "promote"
    assert entry["decision"]["candidate"] == CANDIDATE.revision
    recorded = desk.usage.decision(decision.sequence)
    assert recorded is not None
    assert decision_from_json(json.loads(recorded.document)) == decision


def test_json_round_trip(desk: Desk) -> None:
    decision = desk.decide(measured(0.2, 0.95))
    assert decision_from_json(json.loads(json.dumps(decision_to_json(decision)))) == decision


def test_the_text_says_what_why_how_much_and_what_next(desk: Desk) -> None:
    lines = decision_lines(desk.decide(measured(0.0, 0.0, n=100)))
    assert lines[0] == (
        "decision 0: MORE DATA NEEDED for cccccccccccc, incumbent 000000000000 "
        "(submission 1, set fresh-0)"
    )
    text = "\n".join(lines)
    for part in ("e-value", "1/delta_j", "V_s", "allowed below +0.0100", "syntax ok", "about "):
        assert part in text


def test_the_picture_is_a_png_and_follows_the_data(desk: Desk, tmp_path: Path) -> None:
    first = desk.decide(measured(0.0, 0.0, n=100))
    save_picture(tmp_path / "a.png", first, desk.usage.differences(1), POLICY)
    save_picture(tmp_path / "same.png", first, desk.usage.differences(1), POLICY)
    save_picture(tmp_path / "other.png", first, desk.usage.differences(1) - 0.1, POLICY)
    drawn = (tmp_path / "a.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert drawn == (tmp_path / "same.png").read_bytes()
    assert drawn != (tmp_path / "other.png").read_bytes()
