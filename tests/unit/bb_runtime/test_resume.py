"""Runs that were stopped: what is called again, what is asked, what is taken back."""

from __future__ import annotations

import sqlite3
import stat

import pytest

from bb_core.errors import BBError
from bb_core.plan import Plan, Step, parse_plan
from bb_domains.domain import make_domain
from bb_domains.errors import DomainError
from bb_domains.schema import parse_schema, schema_data
from bb_domains.tools import ToolFailed
from bb_runtime import carrier
from bb_runtime.check import check_plan
from bb_runtime.errors import ExecutionRefused
from bb_runtime.execute import execute, resume
from bb_runtime.journal import Journal, RunRecord, journal_path
from bb_runtime.run_status import run_views
from bem_kernel.ledger.chain import Ledger, read_entries, verify

NO_ANSWER = ToolFailed("change_city", 0, "no answer")
PLAN = Plan(
    (
        Step("a", "login", {}),
        Step("b", "get_order", {"number": 1042}),
        Step("c", "change_city", {"order": "$b.id", "city": "Bern"}),
        Step("d", "confirm_owner", {"order": "$b.id", "email": "ana@example.com"}),
        Step("e", "refund_order", {"order": "$b.id", "amount": 12, "reason": "late"}),
    )
)
UNDO = {"tool": "change_city", "args": {"order": "order.id", "city": '"Basel"'}}
PROBE = {
    "tool": "get_order",
    "args": {"number": "order.number"},
    "happened": "result.city == city",
}


def changed(shop, **tools):
    data = schema_data(shop.schema)
    for name, changes in tools.items():
        data["tools"][name] |= changes
    return make_domain(parse_schema(data))


class Bench:
    """A domain, its service, a log, and what runs and resumes there."""

    def __init__(self, domain, service, log):
        self.domain, self.service, self.log = domain, service, log
        self.pauses = []

    def run(self, plan=PLAN, **options):
        with Ledger(self.log) as ledger:
            certificate = check_plan(self.domain, plan)
            return execute(
                self.domain,
                plan,
                certificate,
                self.service,
                ledger,
                pause=self.pauses.append,
                **options,
            )

    def resume(self, run="", domain=None, **options):
        with Ledger(self.log) as ledger:
            return resume(domain or self.domain, run, self.service, ledger, **options)

    def events(self, kind):
        return [entry for entry in read_entries(self.log) if entry["event"] == kind]

    def journal(self):
        with Journal(journal_path(self.log)) as journal:
            return journal.find()


@pytest.fixture
def bench(shop, service, tmp_path):
    def make(**tools):
        return Bench(changed(shop, **tools), service, tmp_path / "x.ledger")

    return make


def test_a_run_in_doubt_stands_until_somebody_says_yes(bench):
    at = bench()
    at.service.failures["change_city"] = NO_ANSWER
    done = at.run()
    assert (done.status, done.step, done.rule) == ("in_doubt", "c", "tool")
    at.service.failures.clear()
    again = at.resume()
    assert (again.status, again.step) == ("in_doubt", "c")
    assert again.reason == "change_city failed: nobody knows whether it happened"
    assert at.service.tools.count("change_city") == 1
    (view,) = run_views(at.log)
    assert (view.status, view.steps["c"], view.steps["d"]) == ("in_doubt", "in doubt", "waiting")
    last = at.resume(words={"c": True})
    assert last.status == "done" and last.run == done.run
    assert set(run_views(at.log)[0].steps.values()) == {"ok"}
    assert at.service.tools.count("change_city") == 1
    assert at.service.tools.count("refund_order") == 1
    assert at.events("word") == [{"event": "word", "run": done.run, "step": "c", "happened": True}]
    assert verify(at.log).ok


def test_a_no_makes_the_call_once_more(bench):
    at = bench()
    at.service.failures["change_city"] = NO_ANSWER
    at.run()
    at.service.failures.clear()
    assert at.resume(words={"c": False}).status == "done"
    assert at.service.tools.count("change_city") == 2


def test_a_key_needs_no_word(bench):
    at = bench()
    at.service.failures["refund_order"] = ToolFailed("refund_order", 504, "gateway")
    done = at.run()
    assert (done.status, done.step) == ("in_doubt", "e")
    at.service.failures.clear()
    at.service.total = 1.0  # what is begun was guarded then; its effect may be what changed
    assert at.resume().status == "done"
    keys = [key for tool, _, key in at.service.calls if tool == "refund_order"]
    assert keys == [f"{done.run}:e"] * 2


def test_an_old_key_is_not_trusted(bench, monkeypatch):
    at = bench()
    at.service.failures["refund_order"] = ToolFailed("refund_order", 0, "no answer")
    at.run()
    at.service.failures.clear()
    with sqlite3.connect(journal_path(at.log)) as database:
        database.execute("UPDATE calls SET at_s = at_s - ?", (carrier.KEYS_LAST_S + 1,))
    database.close()
    assert at.resume().status == "in_doubt"
    assert at.service.tools.count("refund_order") == 1
    assert at.resume(words={"e": True}).status == "done"


def test_what_reads_is_called_anew_and_what_writes_is_not(bench):
    at = bench()
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "not now")
    assert at.run().status == "failed"
    at.service.failures.clear()
    del at.service.calls[:]
    assert at.resume().status == "done"
    assert at.service.tools == ["login", "get_order", "confirm_owner", "refund_order"]


def test_guards_see_what_is_read_anew(bench):
    at = bench()
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "not now")
    at.run()
    at.service.failures.clear()
    at.service.total = 11.0
    done = at.resume()
    assert (done.status, done.rule) == ("failed", "guard")
    assert at.service.tools.count("refund_order") == 1


def test_another_object_than_before_stops_the_run(bench, monkeypatch):
    at = bench()
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "not now")
    at.run()
    plain = at.service.call

    def other(tool, args, key=None):
        answer = plain(tool, args, key)
        return answer | {"id": "o9"} if tool == "get_order" else answer

    monkeypatch.setattr(at.service, "call", other)
    done = at.resume()
    assert (done.status, done.step) == ("failed", "b")
    assert "another 'id' than before" in done.reason


@pytest.fixture
def probed(bench):
    at = bench(change_city={"probe": PROBE, "timeout_s": 0.5})
    at.city = "Basel"
    plain = at.service.call

    def call(tool, args, idempotency_key=None):
        if tool == "change_city" and at.does:
            at.city = args["city"]
        answer = plain(tool, args, idempotency_key)
        if tool == "get_order":
            answer |= {"number": args["number"], "city": at.city}
        return answer

    at.service.call = call
    at.service.failures["change_city"] = NO_ANSWER
    return at


def test_a_probe_that_says_yes_is_an_answer(probed):
    probed.does = True
    done = probed.run()
    assert done.status == "done"
    assert probed.service.tools.count("change_city") == 1
    assert [e["happened"] for e in probed.events("probe")] == [True]


def test_a_probe_that_says_no_is_believed_once_the_deadline_is_over(probed, monkeypatch):
    probed.does = False
    assert probed.run().status == "in_doubt"
    assert [e["happened"] for e in probed.events("probe")] == [False]
    probed.service.failures.clear()
    assert probed.resume().status == "in_doubt"  # it may still be on its way
    assert probed.service.tools.count("change_city") == 1
    with sqlite3.connect(journal_path(probed.log)) as database:
        database.execute("UPDATE calls SET at_s = at_s - 1")
    database.close()
    assert probed.resume().status == "done"
    assert probed.service.tools.count("change_city") == 2


def test_a_probe_that_cannot_tell_leaves_the_doubt(probed):
    probed.does = True
    probed.domain = changed(
        probed.domain, change_city={"probe": {**PROBE, "happened": "result.town == city"}}
    )
    assert probed.run().status == "in_doubt"
    assert [e["happened"] for e in probed.events("probe")] == [None]


def test_a_bare_yes_is_not_enough_for_a_step_that_binds(bench):
    at = bench(find_customer={"effect": "write"})
    plan = parse_plan(
        '{"plan":[{"id":"a","tool":"login","args":{}},'
        '{"id":"b","tool":"find_customer","args":{"email":"p@x.io"}},'
        '{"id":"c","tool":"add_note","args":{"customer":"$b.id","tag":"vip"}}]}'
    )
    at.service.failures["find_customer"] = NO_ANSWER
    assert at.run(plan).status == "in_doubt"
    at.service.failures.clear()
    with pytest.raises(BBError, match="binds an object, so a yes is not enough"):
        at.resume(words={"b": True})
    assert at.resume(words={"b": {"id": "c7"}}).status == "done"
    assert at.service.calls[-1][1]["customer"] == "c7"


def test_words_are_for_steps_in_doubt_only(bench):
    at = bench()
    at.service.failures["change_city"] = NO_ANSWER
    at.run()
    with pytest.raises(BBError, match="step b is not in doubt; in doubt are c"):
        at.resume(words={"b": True})


@pytest.mark.parametrize(
    ("tool", "status", "tries"),
    [
        ("get_order", 0, 3),
        ("get_order", 404, 1),
        ("refund_order", 502, 3),
        ("change_city", 429, 3),
        ("change_city", 0, 1),
        ("change_city", 502, 1),
    ],
)
def test_calls_are_repeated_where_that_is_safe(bench, tool, status, tries):
    at = bench(**{tool: {"retries": 2}})
    at.service.failures[tool] = ToolFailed(tool, status, "no")
    at.run()
    assert at.service.tools.count(tool) == tries
    assert at.pauses == [0.2, 0.4][: tries - 1]
    assert [e["attempt"] for e in at.events("retry")] == [1, 2][: tries - 1]
    assert len({key for name, _, key in at.service.calls if name == tool}) == 1


def test_a_failure_is_taken_back(bench):
    at = bench(change_city={"undo": UNDO})
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    done = at.run()
    assert (done.status, done.step, done.undone) == ("undone", "e", ("c",))
    assert at.service.calls[-1][:2] == ("change_city", {"order": "o1042", "city": "Basel"})
    assert "moved(order0)" not in done.facts and "looked_up(order0)" in done.facts
    assert at.events("undo") == [{"event": "undo", "run": done.run, "steps": ["c"]}]
    states = {e["step"]: e["cleared"] for e in at.events("state")}
    assert states["undo:c"] == ["moved(order0)"]
    (view,) = run_views(at.log)
    assert view.steps == {"a": "ok", "b": "ok", "c": "undone", "d": "ok", "e": "failed"}


def test_a_failure_may_be_left_as_it_is(bench):
    at = bench(change_city={"undo": UNDO})
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    done = at.run(undo=False)
    assert (done.status, done.undone) == ("failed", ()) and "moved(order0)" in done.facts
    back = at.resume(give_up=True)
    assert (back.status, back.undone, back.reason) == ("undone", ("c",), "given up")
    assert at.service.calls[-1][:2] == ("change_city", {"order": "o1042", "city": "Basel"})
    with pytest.raises(ExecutionRefused, match="has ended: undone"):
        at.resume()


def test_what_lies_before_a_step_without_undo_stands(bench):
    """A refund cannot be taken back: what came before it is not touched."""
    at = bench(change_city={"undo": UNDO}, confirm_owner={"effect": "write"})
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    done = at.run()
    assert (done.status, done.undone) == ("failed", ())
    assert at.service.tools.count("change_city") == 1


def test_an_undo_goes_by_what_was_known_then(bench):
    """Read anew, the order is in Bern already; it was in Basel when it was moved."""
    undo = {"tool": "change_city", "args": {"order": "order.id", "city": "order.city"}}
    at = bench(change_city={"undo": undo})
    plain, cities = at.service.call, ["Basel"]

    def call(tool, args, idempotency_key=None):
        answer = plain(tool, args, idempotency_key)
        if tool == "change_city":
            cities.append(args["city"])
        return answer | {"city": cities[-1]} if tool == "get_order" else answer

    at.service.call = call
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    assert at.run(undo=False).status == "failed"
    assert at.resume(undo=False).status == "failed"
    assert at.resume(give_up=True).status == "undone"
    assert cities == ["Basel", "Bern", "Basel"]


def test_a_look_up_that_fails_now_does_not_hold_back_the_undo(bench):
    at = bench(change_city={"undo": UNDO})
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    at.run(undo=False)
    at.service.failures["get_order"] = ToolFailed("get_order", 404, "gone")
    assert at.resume(give_up=True).status == "undone"


def test_a_login_that_fails_now_holds_back_the_undo(bench):
    at = bench(change_city={"undo": UNDO}, login={"effect": "session"})
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    at.run(undo=False)
    at.service.failures["login"] = ToolFailed("login", 401, "locked out")
    done = at.resume(give_up=True)
    assert done.status == "failed" and done.reason == "given up; a: login failed: locked out"
    at.service.failures.clear()
    assert at.resume().status == "undone"


def test_doubt_holds_back_the_undo(bench):
    at = bench(change_city={"undo": UNDO})
    at.service.failures["refund_order"] = ToolFailed("refund_order", 0, "no answer")
    assert at.run().status == "in_doubt"
    assert at.service.tools.count("change_city") == 1
    with pytest.raises(BBError, match="step c is not in doubt; in doubt are e"):
        at.resume(words={"c": False}, give_up=True)
    assert at.resume(words={"e": False}, give_up=True).status == "undone"


def test_an_undo_that_fails_is_tried_again(bench):
    at = bench(change_city={"undo": UNDO})
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    plain = at.service.call

    def call(tool, args, idempotency_key=None):
        if args.get("city") == "Basel":
            raise ToolFailed(tool, 503, "busy")
        return plain(tool, args, idempotency_key)

    at.service.call = call
    done = at.run()
    assert done.status == "failed" and done.reason.endswith("change_city cannot be undone: busy")
    assert at.journal().status == "undoing"
    at.service.call = plain
    back = at.resume()
    assert (back.status, back.undone) == ("undone", ("c",))
    assert at.journal().plan is None


def test_an_undo_in_doubt_is_asked_about(bench):
    at = bench(change_city={"undo": UNDO})
    at.service.failures["refund_order"] = ToolFailed("refund_order", 409, "no")
    plain = at.service.call

    def call(tool, args, idempotency_key=None):
        answer = plain(tool, args, idempotency_key)
        if args.get("city") == "Basel":
            raise NO_ANSWER
        return answer

    at.service.call = call
    assert at.run().status == "in_doubt"
    at.service.call = plain
    assert at.resume().status == "in_doubt"
    assert at.resume(words={"undo:c": True}).status == "undone"
    assert at.service.tools.count("change_city") == 2


def test_a_violation_takes_back_too(bench):
    at = bench(change_city={"undo": UNDO})
    at.service.total = 1.0
    done = at.run()
    assert (done.status, done.step, done.rule, done.undone) == ("undone", "e", "guard", ("c",))


def test_the_journal_forgets_what_has_ended(bench):
    at = bench()
    done = at.run()
    record = at.journal()
    assert (record.status, record.plan, record.run) == ("done", None, done.run)
    left = b"".join(path.read_bytes() for path in at.log.parent.glob("x.journal*"))
    assert b"ana@example.com" not in left and b"Bern" not in left
    mode = journal_path(at.log).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    with pytest.raises(ExecutionRefused, match="has ended: done; run the plan anew"):
        at.resume(done.run[:8])


def test_a_dry_run_leaves_no_journal(bench):
    at = bench()
    at.run(dry_run=True)
    assert not journal_path(at.log).exists()


def test_an_interrupted_write_is_shown_in_doubt(bench):
    at = bench()
    at.service.failures["change_city"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        at.run()
    (view,) = run_views(at.log)
    assert (view.status, view.steps["c"]) == ("interrupted", "in doubt")


def test_an_interrupted_run_goes_on(bench):
    at = bench()
    at.service.failures["confirm_owner"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        at.run()
    assert at.journal().status == "interrupted"
    at.service.failures.clear()
    assert at.resume().status == "done"
    assert at.service.tools.count("change_city") == 1


def test_a_run_is_bound_to_its_domain(bench, shop):
    at = bench()
    at.service.failures["change_city"] = NO_ANSWER
    at.run()
    other = changed(shop, change_city={"retries": 1})
    with pytest.raises(ExecutionRefused, match="is of another version of domain shop"):
        at.resume(domain=other)


def test_unknown_runs_are_named(bench):
    at = bench()
    at.run()
    with pytest.raises(BBError, match="no runs begin with zz; look at bb plan status"):
        at.resume("zz")


def test_a_run_does_not_go_on_twice_at_a_time(bench):
    at = bench()
    found = []

    def call(tool, args, idempotency_key=None):
        with Journal(journal_path(at.log)) as journal:
            run = journal.find().run
        with pytest.raises(ExecutionRefused, match="is under way; wait for it"):
            resume(at.domain, run, at.service, at.ledger)
        found.append(run)
        raise ToolFailed(tool, 409, "enough")

    at.service.call = call
    with Ledger(at.log) as at.ledger:
        execute(at.domain, PLAN, check_plan(at.domain, PLAN), at.service, at.ledger)
    assert len(found) == 1


def test_a_journal_that_is_none_stops_the_run_before_any_call(bench):
    at = bench()
    journal_path(at.log).write_bytes(b"not a database, " * 100)
    with pytest.raises(BBError, match="database failed: file is not a database"):
        at.run()
    assert at.service.calls == []


def test_the_call_is_in_the_journal_before_it_is_made(bench):
    at = bench()
    plain, seen = at.service.call, []

    def call(tool, args, idempotency_key=None):
        record = at.journal()
        seen.append([name for name, call in record.calls.items() if call.status == "called"])
        return plain(tool, args, idempotency_key)

    at.service.call = call
    at.run()
    assert seen == [["a"], ["b"], ["c"], ["d"], ["e"]]


def test_results_without_json_are_kept_as_text(tmp_path):
    with Journal(tmp_path / "x.journal") as journal:
        journal.begin(RunRecord("r", "now", "shop", "f", "running", "", "{}"))
        journal.call("r", "a", 0.0)
        journal.answer("r", "a", {"when": object})
        assert "object" in journal.find().calls["a"].result["when"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"undo": {"tool": "nothing"}}, "no tool 'nothing'"),
        ({"undo": {"tool": "add_note", "args": {}}}, "argument 'customer' of add_note is missing"),
        ({"undo": {"tool": "login", "args": {"x": 1}}}, "'x' is no argument of login"),
        ({"undo": {**UNDO, "args": {"order": "odrer.id", "city": "city"}}}, "'odrer.id' is no arg"),
        ({"probe": {**PROBE, "tool": "change_city"}}, "change_city is no read"),
        ({"probe": {**PROBE, "happened": "result.city"}}, "expected one of"),
        ({"timeout_s": 0}, "greater than 0"),
        ({"retries": 11}, "less than or equal to 10"),
    ],
)
def test_declarations_are_checked(shop, changes, message):
    with pytest.raises(DomainError, match=message):
        changed(shop, change_city=changes)
