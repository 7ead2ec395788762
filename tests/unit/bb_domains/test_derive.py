"""Plan schemas drafted from traces, and the evidence for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bb_core.cli import run_app
from bb_core.errors import BBError
from bb_core.plan import Step, plan_text, step_id, substitute
from bb_core.trace import Trace, TraceStep, save_traces
from bb_domains.api_json import plan_schema, requests
from bb_domains.api_json.exploration import Explorer
from bb_domains.api_json.in_process import InProcessService
from bb_domains.api_json.planner import World
from bb_domains.argument_shapes import object_shape, shape_of
from bb_domains.cli import app
from bb_domains.derive import Draft, derive
from bb_domains.domain import Domain, load_domain, make_domain
from bb_domains.domain_page import markdown
from bb_domains.drafted_tools import Form, Support
from bb_domains.errors import Inadmissible
from bb_domains.evidence_page import evidence_page, open_questions
from bb_domains.guards import holds
from bb_domains.verdicts import judge


@pytest.fixture(scope="module")
def explored() -> list[Trace]:
    service = InProcessService(1)
    try:
        return list(Explorer(World.read(service), service.session, 1).explore(120))
    finally:
        service.close()


@pytest.fixture(scope="module")
def draft(explored: list[Trace]) -> Draft:
    return derive(explored, "shop")


def test_objects_arguments_and_guards_are_drafted(draft: Draft) -> None:
    refund = draft.schema.tools["refund_order"]
    assert refund.handles["order"].object == "order"
    assert refund.properties["reason"]["enum"] == ["changed_mind", "damaged", "late", "wrong_item"]
    assert {"confirm_owner_done(order)", "!refund_order_done(order)"} <= {*refund.pre.split(" & ")}
    assert {'order.status != "cancelled"', "amount <= order.total"} <= {*refund.guards}
    order = draft.schema.tools["get_order"]
    assert order.binds is not None
    assert (order.binds.object, order.binds.key) == ("order", "number")
    assert order.properties["number"] == {"type": "integer", "minimum": 1000, "maximum": 9999}
    assert draft.schema.tools["confirm_owner"].properties["email"]["format"] == "email"
    never = {invariant.never for invariant in draft.schema.invariants}
    assert "refund_order_done(order) & !confirm_owner_done(order)" in never


@pytest.mark.parametrize("caution", ["safe", "likely"])
def test_a_draft_admits_what_users_ask_for(caution: Any, explored: list[Trace]) -> None:
    domain = make_domain(derive(explored, "shop", caution=caution).schema)
    asked = [plan_text(request.plan) for request in requests("train", 60, 0)]
    assert all(judge(domain, text).accepted for text in asked)


def test_a_draft_refuses_what_failed(draft: Draft) -> None:
    domain = make_domain(draft.schema)
    request = next(r for r in requests("train", 60, 0) if "refund_order" in plan_text(r.plan))
    plan = json.loads(plan_text(request.plan))
    kept = [s for s in plan["plan"] if s["tool"] != "confirm_owner"]
    renamed = {step["id"]: "abcdefghijklmn"[i] for i, step in enumerate(kept)}
    for step in kept:
        step["id"] = renamed[step["id"]]
        if "order" in step["args"]:
            step["args"]["order"] = f"${renamed[step['args']['order'][1]]}.id"
    verdict = judge(domain, json.dumps({"plan": kept}))
    assert not verdict.accepted
    assert "confirm_owner_done(order)" in verdict.rule


def admissions(domain: Domain, trace: Trace) -> Iterator[tuple[bool, bool]]:
    """Whether each call of a trace is admitted, guards included, and whether it succeeded.

    Ends where the service grants what the domain does not: from then on they would differ.
    """
    machine, state = domain.machine, domain.machine.initial()
    names: dict[str, str] = {}
    results: dict[str, Any] = {}
    for i, call in enumerate(trace.steps):
        args = substitute(dict(call.args), names)
        made = Step(step_id(state.n_steps), call.tool, args)
        try:
            after = machine.apply(state, made)
        except Inadmissible:
            admitted = False
        else:
            handles = domain.schema.tools[call.tool].handles
            values = {a: results[v[1]] if a in handles else v for a, v in args.items()}
            admitted = all(holds(guard, values) for guard in machine.tools[call.tool].guards)
        yield admitted, call.ok
        if call.ok and not admitted:
            return
        if call.ok:
            names[step_id(i)], results[made.id], state = made.id, call.result, after


@pytest.mark.parametrize("n", [10, 120])
def test_no_call_that_a_safe_draft_admits_is_refused(n: int, explored: list[Trace]) -> None:
    domain = make_domain(derive(explored[:n], "shop").schema)
    service = InProcessService(2)
    held_out = list(Explorer(World.read(service), service.session, 2).explore(100))
    service.close()
    tried = Counter(each for trace in held_out for each in admissions(domain, trace))
    assert tried[True, False] == 0
    assert tried[True, True] > 300 and tried[False, False] > 300


def test_the_evidence_says_why(draft: Draft) -> None:
    by_tool = {each.tool: each for each in draft.evidence}
    refund = {c.text: c for c in by_tool["refund_order"].conditions}
    assert refund["confirm_owner_done(order)"].support is Support.NEEDED
    assert refund["login_done"].support is Support.CAREFUL
    assert refund["amount <= order.total"].form is Form.GUARD
    assert all(each.claims for each in draft.evidence)
    page = markdown(evidence_page(draft))
    assert "## refund_order" in page
    assert "| `confirm_owner_done(order)` | pre | a failure has no other explanation |" in page
    assert "login: never failed, so nothing shows what it needs" in open_questions(draft)


def test_likely_drafts_ask_for_less(explored: list[Trace], draft: Draft) -> None:
    likely = derive(explored, "shop", caution="likely").schema.tools
    for name, tool in draft.schema.tools.items():
        assert set(likely[name].pre.split(" & ")) <= {*tool.pre.split(" & "), "true"}
    assert "login_done" not in likely["refund_order"].pre


def test_a_base_keeps_arguments_and_operations(explored: list[Trace]) -> None:
    base = plan_schema()
    learned = derive(explored, base=base).schema
    assert learned.domain == "api_json"
    for name, tool in learned.tools.items():
        assert tool.operation == base.tools[name].operation
        assert tool.args == base.tools[name].args
    assert learned.limits == base.limits
    make_domain(learned)
    with pytest.raises(BBError, match="the base declares no tool 'fly'; import the base again"):
        derive([Trace("t", "d", "", "", (TraceStep("fly", {}, {}, True, 0.0),))], base=base)


def step(tool: str, ok: bool = True, **args: Any) -> TraceStep:
    return TraceStep(tool, args, {"id": f"x{args.get('n', 0)}"} if ok else {}, ok, 0.0)


def test_what_cannot_be_learned_is_an_open_question() -> None:
    steps = (step("find", n=1), step("use", x="$a.id"), step("fail", False), step("odd"))
    other = (step("find", n=2), step("use", x="$a.id"), step("odd", ok=False), step("odd"))
    draft = derive([Trace("1", "d", "", "", steps), Trace("2", "d", "", "", other)])
    assert draft.schema.domain == "d"
    questions = open_questions(draft)
    assert "fail: the draft never calls it: it never succeeded" in questions
    aside = "odd: 1 failures have a reason that no answer told, such as 2 step 2"
    assert aside in questions
    assert any(q.startswith("find: 2 calls only") for q in questions)
    domain = make_domain(draft.schema)
    assert draft.schema.tools["fail"].pre == "false"
    start = domain.machine.initial()
    assert {call.tool for call in domain.machine.admissible(start)} == {"find", "odd"}


def test_wrong_passwords_do_not_hide_the_rules(explored: list[Trace]) -> None:
    trace = next(t for t in explored if t.steps[2].tool == "confirm_owner" and t.steps[2].ok)
    result = {"status": 403, "reason": "not the owner's"}
    refused = (*trace.steps[:2], replace(trace.steps[2], ok=False, result=result))
    draft = derive([*explored, replace(trace, id="wrong", steps=refused)], "shop")
    confirm = next(each for each in draft.evidence if each.tool == "confirm_owner")
    assert (confirm.set_aside, confirm.example) == (1, "wrong step 2")
    assert "get_order_done(order)" in draft.schema.tools["confirm_owner"].pre


def test_no_calls_are_no_evidence() -> None:
    with pytest.raises(BBError, match="traces: hold no calls; record calls, or import them"):
        derive([Trace("1", "d", "", "", ())])


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ([True, False], {"type": "boolean"}),
        ([None], {"type": "null"}),
        ([3, 17], {"type": "integer", "minimum": 1, "maximum": 99}),
        ([0, 5], {"type": "integer", "minimum": 0, "maximum": 9}),
        ([-3, 5], {"type": "integer", "minimum": -9, "maximum": 9}),
        ([1042, 7311], {"type": "integer", "minimum": 1000, "maximum": 9999}),
        ([1.5, 20], {"type": "number", "minimum": 0.1, "maximum": 99.9, "multipleOf": 0.1}),
        (["a"] * 4 + ["b"] * 4, {"enum": ["a", "b"]}),
        (["ana@x.org", "bo@y.com"], {"type": "string", "format": "email"}),
        (["2026-01-31", "2025-02-01"], {"type": "string", "format": "date"}),
        (["2026-13-31", "x"], {"type": "string", "minLength": 1, "maxLength": 16}),
        (["", "x"], {"type": "string", "minLength": 0, "maxLength": 8}),
        (["2026-01-31T10:00:00Z"], {"type": "string", "format": "date-time"}),
    ],
)
def test_shapes_of_values(values: list[Any], shape: dict[str, Any]) -> None:
    assert shape_of(values) == shape


def test_shapes_of_structures() -> None:
    shape = object_shape([{"a": [1, 2], "b": {"c": "x"}}, {"a": []}])
    assert shape["required"] == ["a"]
    assert shape["properties"]["a"]["maxItems"] == 2
    assert shape["properties"]["b"]["properties"]["c"]["type"] == "string"
    assert shape_of([1, "x"]) == {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 9},
            {"type": "string", "minLength": 1, "maxLength": 8},
        ]
    }


def test_the_command_writes_domain_and_evidence(
    explored: list[Trace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_traces(tmp_path / "t.jsonl", explored[:60])
    out = tmp_path / "my shop"
    for options in ([], ["--json", "--likely"]):
        with pytest.raises(SystemExit) as stop:
            run_app(app, "x", ["derive", str(tmp_path / "t.jsonl"), "--out", str(out), *options])
        assert not stop.value.code
    said = capsys.readouterr().out
    assert "my_shop: 12 tools, written to" in said
    assert "open  login: never failed" in said
    assert json.loads(said.splitlines()[-1])["traces"] == 60
    assert load_domain(out).name == "my_shop"
    assert "# Evidence for domain my_shop" in (out / "EVIDENCE.md").read_text()
