"""Certificates that the checker did not make, or not for this: nothing is called for any of them.

Who runs code in this process can do what the process can, and no certificate keeps him from it.
These are the ways that code takes by mistake: a stored, copied, edited or reused certificate.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bb_core.plan import Plan, Step, parse_plan
from bb_domains.domain import make_domain
from bb_domains.privacy import Redactor
from bb_domains.schema import parse_schema, schema_data
from bb_runtime.carrier import Carrier, Task
from bb_runtime.check import Certificate, check_plan, verify_certificate
from bb_runtime.errors import ExecutionRefused
from bb_runtime.execute import execute
from bb_runtime.journal import Journal
from bb_runtime.plan_program import plan_program, undo_program
from bb_runtime.run_log import RunLog
from bem_kernel.ledger.chain import Ledger, read_entries

STEPS = [
    ("login", {}),
    ("get_order", {"number": 1042}),
    ("confirm_owner", {"order": "$b.id", "email": "ana@example.com"}),
    ("refund_order", {"order": "$b.id", "amount": 12, "reason": "late"}),
]
PLAN = Plan(tuple(Step("abcd"[i], *step) for i, step in enumerate(STEPS)))


class Service:
    """What stands behind the tools; counts."""

    def __init__(self):
        self.calls = []

    def call(self, tool, args, idempotency_key=None):
        self.calls.append(tool)
        if tool == "get_order":
            return {"id": f"o{args['number']}", "total": 100.0, "email": "ana@example.com"}
        return {"ok": True}


@pytest.fixture(scope="module")
def good(shop):
    return check_plan(shop, PLAN)


@pytest.fixture
def service():
    return Service()


def refused(domain, plan, certificate, service, folder):
    """Every door that asks for a certificate turns this one away."""
    with Ledger(folder / "x.ledger") as ledger:
        with pytest.raises(ExecutionRefused, match="certificate"):
            execute(domain, plan, certificate, service, ledger)
        log = RunLog(domain, ledger, Redactor(bytes(32)), "r")
        with Journal(folder / "x.journal") as journal, pytest.raises(ExecutionRefused):
            Carrier(domain, plan, certificate, service, journal, log)
        assert list(read_entries(folder / "x.ledger")) == []
    for program in (
        lambda: plan_program(domain, plan, certificate),
        lambda: undo_program(domain, plan, certificate, ["a"], []),
    ):
        with pytest.raises(ExecutionRefused):
            program()
    assert service.calls == []


class Chameleon(str):
    """A text that says of itself that it is no other."""

    __slots__ = ()

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = str.__hash__


class Relaxed(Certificate):
    """A certificate of a class of its own."""


def bare(**fields):
    made = object.__new__(Certificate)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def put_together(good):
    fields = {field.name: getattr(good, field.name) for field in dataclasses.fields(good)}
    yield "nothing", None
    yield "a text", json.dumps(fields)
    yield "a mapping", fields
    yield "an empty one", object.__new__(Certificate)
    yield "without a seal", bare(**{**fields, "seal": ""})
    yield "half of one", bare(plan_hash=fields["plan_hash"], seal=fields["seal"])
    yield "something like one", SimpleNamespace(**fields)
    yield "a subclass", Relaxed(**fields)
    for name in ("plan_hash", "domain_fingerprint", "proof", "seal"):
        for value in ("", "0" * 64, None, b"x", 7, "é", ["a"], True):
            yield f"{name} = {value!r}", replace(good, **{name: value})
    for order in ((), good.order[:-1], (*good.order, ("d", "a")), good.order[::-1], None, "ab"):
        yield f"order = {order!r}", replace(good, order=order)


def test_what_is_put_together_runs_nothing(shop, good, service, tmp_path):
    assert len(good.order) > 1
    for what, certificate in put_together(good):
        refused(shop, PLAN, certificate, service, tmp_path)
        assert service.calls == [], what


def test_a_plan_that_says_it_is_another_is_still_itself(shop, good, service, tmp_path):
    dear = {**PLAN.steps[3].args, "amount": 99}
    other = Plan((*PLAN.steps[:3], replace(PLAN.steps[3], args=dear)))
    lying = replace(good, plan_hash=Chameleon(good.plan_hash))
    verify_certificate(lying, shop, PLAN)
    refused(shop, other, lying, service, tmp_path)
    elsewhere = replace(good, domain_fingerprint=Chameleon(good.domain_fingerprint))
    data = schema_data(shop.schema)
    data["tools"]["refund_order"]["guards"] = []
    refused(make_domain(parse_schema(data)), PLAN, elsewhere, service, tmp_path)


def test_copies_are_good_for_the_same_plan_and_for_no_other(shop, good, service, tmp_path):
    other = Plan(PLAN.steps[:3])
    copies = (
        copy.copy(good), copy.deepcopy(good), replace(good), pickle.loads(pickle.dumps(good)),
    )  # fmt: skip
    for made in copies:
        verify_certificate(made, shop, PLAN)
        refused(shop, other, made, service, tmp_path)


CHILD = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from bb_core.plan import parse_plan
from bb_domains.domain import load_domain
from bb_runtime.check import check_plan
made = check_plan(load_domain(Path(sys.argv[2])), parse_plan(sys.stdin.read()))
sys.stdout.buffer.write(pickle.dumps(made))
"""


def test_a_certificate_of_another_process_is_none_here(shop, good, service, tmp_path):
    from pathlib import Path

    from bb_core.plan import plan_text

    root = Path(__file__).parents[3]
    folder = root / "tests" / "unit" / "bb_runtime" / "shop"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(root), str(folder)],
        input=plan_text(PLAN).encode(), capture_output=True, check=True,
    )  # fmt: skip
    made = pickle.loads(done.stdout)
    assert replace(made, seal="") == replace(good, seal="") and made.seal != good.seal
    refused(shop, PLAN, made, service, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(version=2),
        lambda data: data["limits"].update(max_steps=7),
        lambda data: data["tools"]["refund_order"].update(guards=[]),
        lambda data: data["tools"]["refund_order"].update(timeout_s=99.0),
        lambda data: data["tools"]["get_order"].update(effect="write"),
        lambda data: data.update(invariants=[]),
        lambda data: data.update(
            service={"base_url": "http://127.0.0.1", "hosts": ["evil.example", "127.0.0.1"]}
        ),
    ],
)
def test_a_certificate_is_for_one_version_of_a_domain(shop, good, service, tmp_path, change):
    data = schema_data(shop.schema)
    change(data)
    other = make_domain(parse_schema(data))
    assert other.fingerprint != shop.fingerprint
    refused(other, PLAN, good, service, tmp_path)
    mixed = replace(good, domain_fingerprint=other.fingerprint)
    refused(other, PLAN, mixed, service, tmp_path)


def test_a_certificate_is_for_one_domain(shop, good, service, tmp_path):
    data = schema_data(shop.schema) | {"domain": "bank"}
    refused(make_domain(parse_schema(data)), PLAN, good, service, tmp_path)


ARGS = {
    "number": st.integers(1000, 9999), "amount": st.integers(1, 100),
    "reason": st.sampled_from(["late", "damaged"]),
    "email": st.sampled_from(["ana@example.com", "bo@example.com"]),
}  # fmt: skip


@st.composite
def neighbours(draw):
    """Plans close to the good one: values, steps and names changed."""
    steps = []
    for step in PLAN.steps:
        args = {
            name: draw(ARGS[name]) if name in ARGS and draw(st.booleans()) else value
            for name, value in step.args.items()
        }
        steps.append(replace(step, args=args))
    kept = draw(st.lists(st.sampled_from(steps), min_size=1, max_size=5))
    chosen = steps if draw(st.booleans()) else kept
    after = (chosen[0].id,) if draw(st.booleans()) and len(chosen) > 1 else ()
    return Plan((*chosen[:-1], replace(chosen[-1], after=after)))


@given(plan=neighbours())
def test_a_certificate_is_for_one_plan(shop, good, plan):
    if plan == PLAN:
        verify_certificate(good, shop, plan)
    else:
        with pytest.raises(ExecutionRefused, match="belongs to another plan"):
            verify_certificate(good, shop, plan)


def test_a_plan_that_is_changed_on_its_way_is_not_carried_on(shop, service, tmp_path):
    """Arguments are looked at when the certificate is made, and again at every call."""
    plan = parse_plan(json.dumps({"plan": [
        {"id": step.id, "tool": step.tool, "args": dict(step.args)} for step in PLAN.steps
    ]}))  # fmt: skip
    certificate = check_plan(shop, plan)

    def raise_amount(outcome):
        if outcome.step == "c":
            plan.steps[3].args["amount"] = 99

    with (
        Ledger(tmp_path / "x.ledger") as ledger,
        pytest.raises(ExecutionRefused, match="belongs to another plan"),
    ):
        execute(shop, plan, certificate, service, ledger, on_step=raise_amount)
    assert service.calls == ["login", "get_order", "confirm_owner"]


def test_a_task_is_held_against_the_plan(shop, good, service, tmp_path):
    with Ledger(tmp_path / "x.ledger") as ledger, Journal(tmp_path / "x.journal") as journal:
        log = RunLog(shop, ledger, Redactor(bytes(32)), "r")
        carrier = Carrier(shop, PLAN, good, service, journal, log)
        object.__setattr__(carrier, "certificate", replace(good, seal="0" * 64))
        with pytest.raises(ExecutionRefused, match="not made by the checker"):
            carrier.start(Task("b", "get_order", {"number": 1042}))
    assert service.calls == []
