"""The registry: what changes production, what does not, and what verification notices."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from bb_core.canonical import canonical_json
from bb_core.workspace import Workspace
from bb_safety.decision import Decision
from bb_safety.evidence import BatteryResult, EvaluationSet, PairedRisks
from bb_safety.policy import load_policy
from bb_safety.promote import GateError, gate
from bb_safety.registry import Registry, RegistryError, Revision, VoidDecisionError
from bb_safety.risk import COMPONENTS
from bb_safety.submit import Measured, submit
from bb_safety.verify import verify_registry

POLICY = load_policy(Path(__file__).parents[3] / "configs" / "gate.yaml")
BASE = "b" * 64


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = Registry(Workspace(tmp_path / "work"))
    found.begin(BASE, {"masks": "api_json"})
    return found


def add(registry: Registry, tmp_path: Path, name: str) -> Revision:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "rail.safetensors").write_bytes(name.encode() * 100)
    (folder / "config.json").write_text("{}")
    return registry.add(folder, base_fingerprint=BASE, provenance={"run": name})


def measured(candidate: Revision, incumbent: Revision, seed: int, chance: float) -> Measured:
    """Wrong effects with this chance for the candidate, always for the incumbent."""
    rng = np.random.default_rng(seed)
    n = 60
    new = {name: np.zeros(n) for name in COMPONENTS}
    old = dict(new)
    new["wrong_effect"] = (rng.random(n) < chance) * 1.0
    old["wrong_effect"] = np.ones(n)
    fresh = EvaluationSet.of(f"fresh-{seed}", seed, [f"{seed}.{i}" for i in range(n)])
    return Measured(
        PairedRisks(fresh, candidate.digest, incumbent.digest, new, old),
        BatteryResult(candidate.digest, 60, 60, 60, BASE),
    )


def decide(registry: Registry, candidate: Revision, seed: int, chance: float = 0.2) -> Decision:
    """A decision that is not carried out yet."""
    incumbent = registry.production()
    assert incumbent is not None
    evaluator = measured(candidate, incumbent, seed, chance)
    return gate(
        candidate.spec(),
        incumbent.spec(),
        POLICY,
        evidence=evaluator.risks,
        battery=evaluator.counts,
        ledger=registry.log,
        usage=registry.usage,
    )


def names(registry: Registry) -> dict[str, str]:
    return registry.store.aliases()


def test_a_registry_begins_with_the_base_rail_alone(registry: Registry) -> None:
    base = registry.production()
    assert base is not None
    assert (base.kind, base.artifact, base.base_fingerprint) == ("base", None, BASE)
    assert names(registry) == {"production": base.digest}
    assert registry.begin("another base", {}) == base
    assert verify_registry(registry) == []


def test_adding_makes_a_candidate_and_nothing_else(registry: Registry, tmp_path: Path) -> None:
    base = registry.production()
    rail = add(registry, tmp_path, "one")
    assert names(registry) == {"production": base.digest, "candidate": rail.digest}
    assert registry.folder(rail).joinpath("rail.safetensors").read_bytes() == b"one" * 100
    again = registry.add(tmp_path / "one", base_fingerprint=BASE, provenance={"run": "one"})
    assert again == rail
    assert registry.revisions() == [base, rail]
    added = [e for e in registry.log.entries() if e["type"] == "registry.add"]
    assert [e["revision"] for e in added] == [base.digest, rail.digest]


def test_submission_promotes_and_remembers_the_previous(registry: Registry, tmp_path: Path) -> None:
    base = registry.production()
    one = add(registry, tmp_path, "one")
    decision = submit(registry, one, POLICY, measured(one, base, 1, 0.5))
    assert decision.verdict == "promote"
    assert names(registry) == {"production": one.digest, "previous": base.digest}
    two = add(registry, tmp_path, "two")
    submit(registry, two, POLICY, measured(two, one, 2, 0.1))
    assert names(registry) == {"production": two.digest, "previous": one.digest}
    assert verify_registry(registry) == []


def test_a_rejected_candidate_does_not_reach_production(registry: Registry, tmp_path: Path) -> None:
    base = registry.production()
    one = add(registry, tmp_path, "one")
    evaluator = measured(one, base, 1, 0.2)
    broken = replace(evaluator, counts=replace(evaluator.counts, admissible=59))
    decision = submit(registry, one, POLICY, broken)
    assert decision.verdict == "reject"
    assert registry.production() == base
    with pytest.raises(RegistryError, match=r"decision \d+ is reject, not promote; mend what fail"):
        registry.promote(decision)


def test_nothing_can_be_submitted_before_the_beginning(tmp_path: Path) -> None:
    registry = Registry(Workspace(tmp_path / "work"))
    one = add(registry, tmp_path, "one")
    with pytest.raises(GateError, match="nothing is in production to compare with; begin with the"):
        submit(registry, one, POLICY, measured(one, one, 1, 0.2))


def test_only_what_the_gate_recorded_is_carried_out(registry: Registry, tmp_path: Path) -> None:
    base = registry.production()
    one, two = add(registry, tmp_path, "one"), add(registry, tmp_path, "two")
    decision = decide(registry, one, 1)
    for forged in (
        replace(decision, candidate=two.digest),
        replace(decision, sequence=99),
        replace(decision, reasons=("because",)),
    ):
        with pytest.raises(RegistryError, match="is not one that the gate recorded here"):
            registry.promote(forged)
    assert registry.production() == base


def test_a_decision_against_a_replaced_incumbent_is_void(
    registry: Registry, tmp_path: Path
) -> None:
    one, two = add(registry, tmp_path, "one"), add(registry, tmp_path, "two")
    first, second = decide(registry, one, 1), decide(registry, two, 2)
    registry.promote(first)
    with pytest.raises(
        VoidDecisionError, match=rf"decision \d+ compared with .*, and {one.digest[:12]} is in prod"
    ):
        registry.promote(second)
    assert registry.production() == one
    assert registry.log.entries()[-1]["type"] == "registry.void"
    assert verify_registry(registry) == []


def test_carrying_out_twice_is_once(registry: Registry, tmp_path: Path) -> None:
    one = add(registry, tmp_path, "one")
    decision = decide(registry, one, 1)
    assert registry.promote(decision) == registry.promote(decision) == one
    switches = [e for e in registry.log.entries() if e["type"] == "registry.switch"]
    assert [e["cause"] for e in switches] == ["begin", "decision"]


def test_rollback_goes_back_and_only_the_gate_leads_forward(
    registry: Registry, tmp_path: Path
) -> None:
    base = registry.production()
    one = add(registry, tmp_path, "one")
    decision = decide(registry, one, 1)
    registry.promote(decision)
    assert registry.rollback("wrong refunds") == base
    assert names(registry) == {"production": base.digest}
    with pytest.raises(RegistryError, match="there is no previous revision; promote a revision"):
        registry.rollback("again")
    with pytest.raises(VoidDecisionError, match="was carried out before; submit the candidate aga"):
        registry.promote(decision)
    assert registry.log.entries()[-2]["reason"] == "wrong refunds"
    assert registry.promote(decide(registry, one, 2)) == one
    assert verify_registry(registry) == []


def test_an_interrupted_switch_is_completed_by_the_same_decision(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = registry.production()
    one = add(registry, tmp_path, "one")
    decision = decide(registry, one, 1)
    with monkeypatch.context() as crash:
        crash.setattr(type(registry.store), "set_aliases", _die)
        with pytest.raises(RuntimeError, match="killed"):
            registry.promote(decision)
    assert registry.production() == base
    assert verify_registry(registry) == []
    registry.promote(decision)
    assert registry.production() == one
    switches = [e for e in registry.log.entries() if e["type"] == "registry.switch"]
    assert len(switches) == 2


def _die(*_args: object, **_kwargs: object) -> None:
    raise RuntimeError("killed")


def test_of_concurrent_promoters_exactly_one_wins(registry: Registry, tmp_path: Path) -> None:
    rails = [add(registry, tmp_path, f"rail{i}") for i in range(4)]
    decisions = [decide(registry, rail, i) for i, rail in enumerate(rails)]
    barrier = Barrier(len(rails))

    def promote(decision: Decision) -> str:
        own = Registry(Workspace(tmp_path / "work"))
        barrier.wait()
        try:
            return own.promote(decision).digest
        except VoidDecisionError:
            return "void"

    with ThreadPoolExecutor(len(rails)) as pool:
        outcomes = list(pool.map(promote, decisions))
    assert outcomes.count("void") == 3
    winner = next(outcome for outcome in outcomes if outcome != "void")
    assert names(registry)["production"] == winner
    assert verify_registry(registry) == []


def test_names_find_revisions(registry: Registry, tmp_path: Path) -> None:
    one = add(registry, tmp_path, "one")
    assert registry.find("candidate") == registry.find(one.digest[:8]) == one
    with pytest.raises(RegistryError, match="0 revisions are called 'stable'"):
        registry.find("stable")
    with pytest.raises(RegistryError, match="0 revisions are called"):
        registry.find(one.digest[:3])


def test_a_rail_has_files_and_the_base_has_none(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="kind 'rail' without files"):
        registry.add(None, base_fingerprint=BASE, provenance={})
    with pytest.raises(RegistryError, match="kind 'skill' with files"):
        registry.add(tmp_path, base_fingerprint=BASE, provenance={}, kind="skill")


def tamper(path: Path, position: int) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_any_flipped_byte_of_an_artifact_is_found(registry: Registry, tmp_path: Path) -> None:
    one = add(registry, tmp_path, "one")
    decision = decide(registry, one, 1)
    path = registry.folder(one) / "rail.safetensors"
    for position in (0, 150, 299):
        tamper(path, position)
        assert [problem.where for problem in verify_registry(registry)] == [one.artifact]
        with pytest.raises(RegistryError, match="its files are not those that were registered"):
            registry.promote(decision)
        tamper(path, position)
    assert verify_registry(registry) == []
    assert registry.promote(decision) == one


def test_any_flipped_byte_of_a_revision_record_is_found(registry: Registry, tmp_path: Path) -> None:
    one = add(registry, tmp_path, "one")
    path = registry.store.get(one.digest)
    for position in range(0, len(path.read_bytes()), 7):
        tamper(path, position)
        assert any(one.digest in problem.where for problem in verify_registry(registry))
        tamper(path, position)
    assert verify_registry(registry) == []


def test_a_missing_file_is_found(registry: Registry, tmp_path: Path) -> None:
    one = add(registry, tmp_path, "one")
    folder = registry.folder(one)
    folder.chmod(0o755)
    (folder / "config.json").unlink()
    assert any(one.artifact in problem.where for problem in verify_registry(registry))


def test_any_flipped_byte_of_the_log_is_found_at_its_entry(
    registry: Registry, tmp_path: Path
) -> None:
    registry.promote(decide(registry, add(registry, tmp_path, "one"), 1))
    lines = registry.log.path.read_bytes().splitlines(keepends=True)
    begin = 0
    for index, line in enumerate(lines):
        for offset in (0, len(line) // 2, len(line) - 3):
            tamper(registry.log.path, begin + offset)
            problems = verify_registry(registry)
            assert problems[-1].where.endswith(f"gate.jsonl: entry {index}")
            tamper(registry.log.path, begin + offset)
        begin += len(line)
    assert verify_registry(registry) == []


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE decisions SET document = replace(document, 'more_data', 'promote')",
            "differs from its log entry",
        ),
        (
            "UPDATE decisions SET measurement = replace(measurement, '0.6', '0.0')",
            "its measurement differs from what was logged",
        ),
        ("DELETE FROM draws; DELETE FROM evaluation_sets", "its evaluation set is not marked as u"),
        ("DELETE FROM decisions", "is in the log and is not recorded"),
        (
            "INSERT INTO decisions SELECT 77, submission, document, measurement FROM decisions",
            "is recorded and is not in the log",
        ),
    ],
)
def test_tampering_with_what_was_spent_is_found(
    registry: Registry, tmp_path: Path, statement: str, message: str
) -> None:
    decision = decide(registry, add(registry, tmp_path, "one"), 1, chance=0.98)
    assert decision.verdict == "more_data"
    with closing(sqlite3.connect(registry.usage.path)) as connection:
        connection.executescript(statement)
    assert any(message in problem.what for problem in verify_registry(registry))


def test_production_moved_by_hand_is_found(registry: Registry, tmp_path: Path) -> None:
    one = add(registry, tmp_path, "one")
    registry.store.set_alias("production", one.digest)
    problems = verify_registry(registry)
    assert [problem.where for problem in problems] == ["aliases production and previous"]
    assert f"name {one.digest[:12]} and nothing; the log put" in problems[0].what


def test_a_wrong_verdict_in_log_and_record_is_found_by_running_the_test_again(
    registry: Registry, tmp_path: Path
) -> None:
    """Somebody who can write both files still cannot make the evidence say otherwise."""
    one = add(registry, tmp_path, "one")
    decision = decide(registry, one, 1, chance=0.98)
    recorded = registry.usage.decision(decision.sequence)
    entry = registry.log.entries()[decision.sequence]
    forged = entry | {"decision": entry["decision"] | {"verdict": "promote"}}
    sequence = registry.log.append(forged)
    document = canonical_json(forged["decision"] | {"sequence": sequence}).decode()
    registry.usage.settle(
        replace(recorded, sequence=sequence, document=document),
        EvaluationSet("forged", 0, ()),
        more_data=False,
    )
    found = {problem.where: problem.what for problem in verify_registry(registry)}
    assert "its evidence leads to more_data" in found[f"decision {sequence}"]
