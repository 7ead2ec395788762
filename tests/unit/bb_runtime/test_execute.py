"""The executor: what runs, what stops it, and what the chain says."""

from __future__ import annotations

import json

import pytest

from bb_core.errors import BBError
from bb_core.plan import Plan, Step, parse_plan
from bb_domains.privacy import Redactor
from bb_domains.tools import ToolFailed
from bb_runtime.check import Certificate, check_plan, plan_hash
from bb_runtime.errors import ExecutionRefused
from bb_runtime.execute import execute, plan_program
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.instructions import Opcode
from bem_kernel.ledger.chain import Ledger, read_entries, verify

TOOLS = ["login", "get_order", "confirm_owner", "refund_order"]


@pytest.fixture
def plan(plan_json):
    return parse_plan(plan_json)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plans.ledger"


@pytest.fixture
def run(shop, plan, service, path):
    """Runs the plan and returns what became of it."""

    def call(**options):
        with Ledger(path) as ledger:
            return execute(shop, plan, check_plan(shop, plan), service, ledger, **options)

    return call


def events(path, kind):
    return [entry for entry in read_entries(path) if entry["event"] == kind]


def test_a_plan_runs_in_order_with_handles_resolved(run, service):
    done = run()
    assert done.status == "done" and done.step == done.reason == ""
    assert service.tools == TOOLS
    assert service.calls[3][1] == {"order": "o1042", "amount": 12.07, "reason": "late"}
    assert [outcome.ok for outcome in done.outcomes] == [True] * 4
    assert set(done.facts) == {
        "logged_in",
        "looked_up(order0)",
        "owner_confirmed(order0)",
        "refunded(order0)",
        "bound(order0)",
    }


def test_every_call_result_and_change_is_in_the_chain(run, path):
    done = run()
    checked = verify(path)
    assert checked.ok and checked.head == done.head
    assert [e["tool"] for e in events(path, "call")] == TOOLS
    assert all(e["ok"] for e in events(path, "result"))
    changes = {e["step"]: e["set"] for e in events(path, "state")}
    assert changes["b"] == ["looked_up(order0)", "bound(order0)"]
    assert changes["d"] == ["refunded(order0)"]
    assert events(path, "guard") == [
        {
            "event": "guard",
            "run": done.run,
            "step": "d",
            "guard": "amount <= order.total",
            "holds": True,
        }
    ]
    (end,) = events(path, "end")
    assert end["status"] == "done" and end["in_doubt"] is False


def test_a_changed_entry_breaks_the_chain(run, path):
    run()
    path.write_bytes(path.read_bytes().replace(b'"amount":12.07', b'"amount":99.99', 1))
    assert not verify(path).ok


def test_private_values_are_keyed_hashes(run, path):
    run()
    text = path.read_text()
    assert "ana" not in text and "example" not in text
    digest = Redactor(bytes.fromhex(path.with_suffix(".key").read_text())).digest("ana@example.com")
    (shown,) = [e["args"]["email"] for e in events(path, "call") if e["tool"] == "confirm_owner"]
    assert shown == digest
    assert events(path, "plan")[0]["plan"][2]["args"]["email"] == digest
    assert events(path, "result")[1]["result"]["email"] == digest


def test_idempotency_keys_only_where_they_are_honoured(run, service):
    first, second = run(), run()
    keys = [key for _, _, key in service.calls]
    assert keys[:3] == [None] * 3
    assert keys[3] == f"{first.run}:d" and keys[7] == f"{second.run}:d" != keys[3]


def test_a_failing_tool_stops_the_plan(run, service, path):
    service.failures["confirm_owner"] = ToolFailed("confirm_owner", 409, "not the owner")
    done = run()
    assert (done.status, done.step) == ("failed", "c")
    assert done.reason == "confirm_owner failed: not the owner"
    assert service.tools == TOOLS[:3]
    assert "owner_confirmed(order0)" not in done.facts
    assert events(path, "end")[0]["step"] == "c"
    assert [e["step"] for e in events(path, "state")] == ["a", "b"]


@pytest.mark.parametrize(
    ("tool", "error", "in_doubt"),
    [
        ("refund_order", ToolFailed("refund_order", 0, "no answer"), True),
        ("refund_order", ToolFailed("refund_order", 422, "too much"), False),
        ("get_order", ToolFailed("get_order", 0, "no answer"), False),
        ("refund_order", BBError("secret X is not set"), False),
    ],
)
def test_a_write_without_an_answer_is_in_doubt(run, service, path, tool, error, in_doubt):
    service.failures[tool] = error
    done = run()
    assert done.status == ("in_doubt" if in_doubt else "failed")
    assert done.outcomes[-1].in_doubt is in_doubt
    assert events(path, "end")[0]["in_doubt"] is in_doubt


def test_a_broken_guard_stops_before_the_call(run, service, path):
    service.total = 12.06
    done = run()
    assert (done.status, done.step) == ("failed", "d")
    assert done.reason == "a guard of refund_order is broken: amount <= order.total does not hold"
    assert service.tools == TOOLS[:3]
    assert events(path, "guard")[0]["holds"] is False


def test_a_fact_that_is_not_known_breaks_the_guard(run, service):
    service.total = None
    done = run()
    assert done.step == "d" and "cannot be decided" in done.reason
    assert "refund_order" not in service.tools


def test_a_dry_run_calls_nothing_and_says_so(run, service, path):
    done = run(dry_run=True)
    assert service.calls == []
    assert done.status == "done" and done.dry_run and "refunded(order0)" in done.facts
    assert events(path, "plan")[0]["dry_run"] is True


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_is_logged_and_passed_on(run, service, path, error):
    service.failures["refund_order"] = error()
    with pytest.raises(error):
        run()
    (end,) = events(path, "end")
    assert (end["status"], end["step"], end["in_doubt"]) == ("interrupted", "d", True)
    assert verify(path).ok and events(path, "call")[-1]["step"] == "d"


def test_the_call_is_on_the_disk_before_it_is_made(shop, plan, service, path):
    seen = []

    class Watching:
        def call(self, tool, args, idempotency_key=None):
            seen.append(list(read_entries(path))[-1])
            return service.call(tool, args, idempotency_key)

    with Ledger(path) as ledger:
        execute(shop, plan, check_plan(shop, plan), Watching(), ledger)
    assert [(entry["event"], entry["tool"]) for entry in seen] == [("call", t) for t in TOOLS]


def test_an_answer_without_the_handle_stops_the_plan(shop, plan, service, path):
    class Forgetful:
        def call(self, tool, args, idempotency_key=None):
            answer = service.call(tool, args, idempotency_key)
            return {key: value for key, value in answer.items() if key != "id"}

    with Ledger(path) as ledger:
        done = execute(shop, plan, check_plan(shop, plan), Forgetful(), ledger)
    assert (done.status, done.step) == ("failed", "c")
    assert "step b answered without 'id'" in done.reason


def test_values_without_canonical_form_do_not_stop_the_log(shop, service, path):
    plan = Plan((Step("a", "login", {}),))

    class Counting:
        def call(self, tool, args, idempotency_key=None):
            return {"big": 2**60}

    with Ledger(path) as ledger:
        assert execute(shop, plan, check_plan(shop, plan), Counting(), ledger).status == "done"
    assert events(path, "result")[0]["result"].startswith("hmac:")


def test_nothing_runs_without_a_certificate(shop, plan, service, path):
    forged = Certificate(plan_hash(plan), shop.fingerprint, (), "0" * 64, "0" * 64)
    with Ledger(path) as ledger, pytest.raises(ExecutionRefused, match="not made by the checker"):
        execute(shop, plan, forged, service, ledger)
    assert service.calls == [] and list(read_entries(path)) == []


def test_watchers_see_each_step(run):
    seen = []
    run(on_step=lambda outcome: seen.append(outcome.step))
    assert seen == ["a", "b", "c", "d"]


def test_the_program_is_a_machine_program(shop, plan):
    program = plan_program(shop, plan, check_plan(shop, plan))
    assert assemble(disassemble(program)) == program
    assert [port.name for port in program.ports] == [
        "a.call",
        "b.call",
        "c.call",
        "d.guard",
        "d.call",
    ]
    assert sum(i.opcode is Opcode.TRAP_IF_BIT for i in program.code) == 4 * 3 + 1
    assert "pre.refund_order[order=0]" in {expert.name for expert in program.experts}


def test_the_machine_itself_stops_an_inadmissible_step(shop, plan, service, path):
    """Cut the confirmation out of the program: the precondition expert must trap."""
    from dataclasses import replace

    from bem_kernel.isa.machine import Machine

    program = plan_program(shop, plan, check_plan(shop, plan))
    effect = next(i for i, e in enumerate(program.experts) if e.name.startswith("effect.confirm"))
    code = tuple(i for i in program.code if not (i.opcode is Opcode.EXPERT and i.imm == effect))
    cut = replace(program, code=code)
    host = {port.name: lambda _: [False] for port in program.ports}
    result = Machine(cut, host=host).run(fuel=100)
    assert result.trap is not None
    assert result.trap.text == "d: the precondition of refund_order is not met"


def test_log_entries_are_json_of_documented_events(run, path):
    run()
    kinds = {json.loads(json.dumps(entry))["event"] for entry in read_entries(path)}
    assert kinds == {"plan", "guard", "call", "result", "state", "end"}
