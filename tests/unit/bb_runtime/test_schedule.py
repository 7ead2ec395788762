"""Which steps run together."""

from __future__ import annotations

import threading

import pytest

from bb_core.plan import Plan, Step, parse_plan
from bb_domains.domain import make_domain
from bb_domains.schema import parse_schema, schema_data
from bb_runtime.check import check_plan
from bb_runtime.execute import execute, plan_program
from bb_runtime.schedule import Move, earlier_steps, schedule
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.ledger.chain import Ledger, read_entries


def at_once(shop, n, **tools):
    data = schema_data(shop.schema)
    data["limits"]["at_once"] = n
    for name, changes in tools.items():
        data["tools"][name] |= changes
    return make_domain(parse_schema(data))


def plan_of(*steps):
    return Plan(tuple(Step("abcdefgh"[i], *step) for i, step in enumerate(steps)))


TWO_ORDERS = plan_of(
    ("login", {}),
    ("get_order", {"number": 1042}),
    ("get_order", {"number": 1043}),
    ("change_city", {"order": "$b.id", "city": "Bern"}),
    ("change_city", {"order": "$c.id", "city": "Chur"}),
)


def text(domain, plan):
    certificate = check_plan(domain, plan)
    earlier = earlier_steps(domain, plan, certificate.order)
    moves = schedule(plan, earlier, domain.schema.limits.at_once)
    return " ".join(f"{move.act[0]}{move.step.id}" for move in moves)


def test_one_at_a_time_is_the_order_of_the_text(shop):
    assert text(shop, TWO_ORDERS) == "ca cb cc cd ce"


def test_branches_run_together(shop):
    assert text(at_once(shop, 2), TWO_ORDERS) == "ca sb sc eb sd ec se ed ee"


def test_no_more_than_allowed_are_under_way(shop):
    names = [f"{number}" for number in range(1000, 1002)]
    plan = plan_of(
        ("login", {}),
        *(("get_order", {"number": int(n)}) for n in names),
        *(("find_customer", {"email": f"{n}@x.io"}) for n in "pq"),
        *(("change_city", {"order": f"${s}.id", "city": "Bern"}) for s in "bc"),
        ("add_note", {"customer": "$d.id", "tag": "vip"}),
    )
    for most in (1, 2, 3, 4):
        domain = at_once(shop, most)
        domain = make_domain(
            parse_schema({**schema_data(domain.schema), "graph": {"min_steps": 1}})
        )
        running = longest = 0
        for act in text(domain, plan).split():
            running += {"s": 1, "e": -1, "c": 0}[act[0]]
            longest = max(longest, running, int(act[0] == "c"))
        assert running == 0 and longest == most


def test_writes_on_one_object_keep_their_order(shop):
    """Whatever the logic says of them."""
    domain = at_once(shop, 4)
    plan = plan_of(
        ("login", {}),
        ("get_order", {"number": 1042}),
        ("change_city", {"order": "$b.id", "city": "Bern"}),
        ("confirm_owner", {"order": "$b.id", "email": "a@x.io"}),
    )
    order = check_plan(domain, plan).order
    assert earlier_steps(domain, plan, order)["d"] == {"b", "c"}
    assert text(domain, plan) == "ca cb cc cd"


def test_a_step_that_names_no_object_keeps_its_place(shop):
    domain = at_once(shop, 4, login={"effect": "write", "pre": "true", "effects": []})
    plan = plan_of(("get_order", {"number": 1042}), ("login", {}))
    plan = Plan((*plan.steps, Step("c", "change_city", {"order": "$a.id", "city": "Bern"})))
    data = schema_data(domain.schema)
    for tool in data["tools"].values():
        tool["pre"] = "true"
    domain = make_domain(parse_schema(data))
    earlier = earlier_steps(domain, plan, check_plan(domain, plan).order)
    assert earlier["b"] == {"a"} and "b" in earlier["c"]


def test_the_login_keeps_its_place_though_it_only_reads(shop):
    data = schema_data(shop.schema)
    data["service"]["bearer"] = {"tool": "login", "field": "token"}
    for tool in data["tools"].values():
        tool["pre"] = "true"
    domain = make_domain(parse_schema(data))
    plan = plan_of(("login", {}), ("get_order", {"number": 1042}))
    assert earlier_steps(domain, plan, ())["b"] == {"a"}


def test_the_longest_chain_goes_first():
    steps = [Step(name, "t") for name in "abcd"]
    earlier = {"a": frozenset(), "b": frozenset(), "c": frozenset("b"), "d": frozenset("c")}
    moves = schedule(Plan(tuple(steps)), earlier, 2)
    assert moves[0] == Move("start", steps[1]) and moves[1] == Move("start", steps[0])


def test_calls_are_under_way_at_the_same_time(shop, service, tmp_path):
    """Both changes wait for each other inside the service: one after the other would never end."""
    both = threading.Barrier(2, timeout=20)

    class Meeting:
        def call(self, tool, args, idempotency_key=None):
            if tool == "change_city":
                both.wait()
            return service.call(tool, args, idempotency_key)

    domain = at_once(shop, 2)
    with Ledger(tmp_path / "x.ledger") as ledger:
        done = execute(domain, TWO_ORDERS, check_plan(domain, TWO_ORDERS), Meeting(), ledger)
    assert done.status == "done"
    assert {"moved(order0)", "moved(order1)"} <= set(done.facts)


def test_a_failure_waits_for_what_is_under_way(shop, service, tmp_path):
    asked, failed = threading.Event(), threading.Event()

    class Slow:
        def call(self, tool, args, idempotency_key=None):
            if tool == "change_city" and args["city"] == "Bern":
                asked.wait(20)
                failed.set()
                service.failures["change_city"] = RuntimeError("not reached")
                from bb_domains.tools import ToolFailed

                raise ToolFailed(tool, 409, "no")
            if tool == "change_city":
                asked.set()
                failed.wait(20)
                return {"ok": True}
            return service.call(tool, args, idempotency_key)

    domain, log = at_once(shop, 2), tmp_path / "x.ledger"
    with Ledger(log) as ledger:
        done = execute(domain, TWO_ORDERS, check_plan(domain, TWO_ORDERS), Slow(), ledger)
    assert (done.status, done.step, done.rule) == ("failed", "d", "tool")
    assert [o.step for o in done.outcomes if o.ok] == ["a", "b", "c", "e"]
    assert "moved(order1)" in done.facts and "moved(order0)" not in done.facts
    results = {e["step"]: e["ok"] for e in read_entries(log) if e["event"] == "result"}
    assert results == {"a": True, "b": True, "c": True, "d": False, "e": True}


def test_a_caller_may_ask_for_one_at_a_time(shop):
    domain = at_once(shop, 4)
    certificate = check_plan(domain, TWO_ORDERS)
    one = plan_program(domain, TWO_ORDERS, certificate, 1)
    assert [port.name for port in one.ports] == [f"{name}.call" for name in "abcde"]


def test_the_program_is_text_and_back(shop):
    domain = at_once(shop, 2)
    program = plan_program(domain, TWO_ORDERS, check_plan(domain, TWO_ORDERS))
    assert assemble(disassemble(program)) == program
    assert {"b.start", "b.end", "a.call"} <= {port.name for port in program.ports}


@pytest.mark.parametrize("value", [0, 17])
def test_the_limit_is_checked(shop, value):
    with pytest.raises(Exception, match="at_once"):
        at_once(shop, value)


def test_after_keeps_steps_apart(shop, plan_json):
    domain = at_once(shop, 4)
    plan = parse_plan(
        '{"plan":[{"id":"a","tool":"login","args":{}},'
        '{"id":"b","tool":"get_order","args":{"number":1042}},'
        '{"id":"c","tool":"get_order","args":{"number":1043},"after":["b"]},'
        '{"id":"d","tool":"change_city","args":{"order":"$b.id","city":"Bern"}},'
        '{"id":"e","tool":"change_city","args":{"order":"$c.id","city":"Chur"},"after":["d"]}]}'
    )
    assert text(domain, plan) in ("ca cb cc cd ce", "ca cb sd cc ed ce", "ca cb sc sd ec ed ce")
