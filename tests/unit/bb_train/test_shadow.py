import pytest

from bb_core.plan import parse_plan
from bb_runtime.decode import Decoded
from bb_safety.evidence import CandidateSpec
from bb_train.shadow import Reference, ShadowEvaluator, dry_run, measurable
from bem_kernel.ledger.chain import Ledger

ORDERS = {1042: "ord_a", 1043: "ord_b"}
NEW, OLD = CandidateSpec("a" * 64, "base"), CandidateSpec("b" * 64, "base", "base")


class Reading:
    """Answers reads from a table; a write must never arrive here."""

    def call(self, tool, args, idempotency_key=None):
        from bb_domains.tools import ToolFailed

        assert tool in ("login", "get_order", "track_shipment")
        if tool != "get_order":
            return {}
        if args["number"] not in ORDERS:
            raise ToolFailed(tool, 404, "no such order")
        return {"id": ORDERS[args["number"]]}


def cancel(number):
    return (
        '{"plan":[{"id":"a","tool":"login","args":{}},'
        f'{{"id":"b","tool":"get_order","args":{{"number":{number}}}}},'
        '{"id":"c","tool":"cancel_order","args":{"order":"$b.id"}}]}'
    )


@pytest.fixture
def effects(domain, tmp_path):
    with Ledger(tmp_path / "shadow.jsonl") as ledger:
        yield lambda plan: dry_run(domain, plan, Reading(), ledger)


def changes(effects, number):
    return effects(parse_plan(cancel(number)))


def test_a_dry_run_collects_writes_with_resolved_arguments(effects):
    (change,) = changes(effects, 1042)
    assert change.pointer == '/calls/cancel_order/{"order":"ord_a"}'
    assert (change.before, change.after) == (None, "1")
    assert changes(effects, 1043) != changes(effects, 1042)


def test_a_read_that_fails_ends_the_dry_run(effects):
    assert changes(effects, 7777) is None


def test_requests_whose_own_workflow_fails_are_not_measured(effects):
    drawn = [(f"cancel {n}", parse_plan(cancel(n))) for n in (1042, 7777, 1043, 1042)]
    found = measurable(drawn, effects, 2)
    assert [reference.request for reference in found] == ["cancel 1042", "cancel 1043"]


def test_risks_name_what_went_wrong(domain, effects):
    references = [Reference(f"cancel {i}", changes(effects, 1042)) for i in range(5)]
    answers = {
        NEW.revision: [
            Decoded(cancel(1042), True, 9, 0.1),
            Decoded(cancel(1043), True, 9, 0.1),
            Decoded(cancel(1042).replace("login", "logout"), True, 9, 0.1),
            Decoded(cancel(1042), False, 9, 0.1),
            Decoded(cancel(7777), True, 9, 0.1),
        ],
        OLD.revision: [Decoded("{", True, 9, 0.1)] * 5,
    }
    decoded = []

    def decode(revision, requests):
        decoded.append(revision.revision)
        return answers[revision.revision]

    evaluator = ShadowEvaluator(domain, "base", 3, references, decode, effects)
    risks = evaluator.paired_risks(NEW, OLD)
    assert risks.candidate["wrong_effect"].tolist() == [0, 1, 0, 0, 1]
    assert risks.candidate["refused"].tolist() == [0, 0, 1, 0, 0]
    assert risks.candidate["unfinished"].tolist() == [0, 0, 0, 1, 0]
    assert risks.incumbent["refused"].tolist() == [1] * 5
    assert risks.evaluation_set.seed == 3
    battery = evaluator.battery(NEW)
    assert (battery.requests, battery.syntax_valid, battery.admissible) == (5, 3, 3)
    assert battery.base_fingerprint == "base"
    assert decoded == [NEW.revision, OLD.revision]  # once each
