"""The phone: plans of every split, what must not happen, and what the driver and schema refuse."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from bb_core.errors import BBError
from bb_core.plan import Plan, Step, plan_text, rename_steps, step_id
from bb_domains.domain import Domain, make_domain
from bb_domains.errors import Inadmissible, PlanGrammarError
from bb_domains.grammar import parse_with_lark
from bb_domains.phone import SCHEMA, plan_schema, requests, simulator
from bb_domains.phone.actions import TAPS, TYPINGS
from bb_domains.phone.driver import TOOLS, Driver
from bb_domains.phone.elements import ELEMENTS, load_book
from bb_domains.phone.handset import PIN, Handset, make_handset
from bb_domains.phone.layouts import EXTRAS, LAYOUTS
from bb_domains.phone.policies import ALLOWED, ASKING_APPS, POLICIES
from bb_domains.phone.simulated import INCIDENTS, SECRETS, PhoneSimulator
from bb_domains.phone.tree import Bounds, Node, hit
from bb_domains.simulation import Request, try_plan
from bb_domains.tools import ToolFailed


@pytest.fixture(scope="module")
def domain() -> Domain:
    return make_domain(plan_schema())


@cache
def first(kind: str, policy: str = "open") -> Request:
    """The first training request that has one goal of this kind, under a policy."""
    split = "unseen_policies" if POLICIES[policy].held_out else "train"
    return next(
        request
        for request in requests(split, 900, 0)
        if [goal["kind"] for goal in request.label["goals"]] == [kind] and request.policy == policy
    )


def plan(*calls: tuple[str, dict[str, Any]]) -> Plan:
    return Plan(tuple(Step(step_id(i), tool, args) for i, (tool, args) in enumerate(calls)))


def without(request: Request, tool: str) -> Plan:
    """The request's plan without the steps of a tool."""
    return rename_steps(Plan(tuple(s for s in request.plan.steps if s.tool != tool)))


def happened(phone: PhoneSimulator, tried: Plan) -> dict[str, int]:
    return {name: n for name, n in try_plan(phone, tried).incidents.items() if n}


def phone_of(layout: str = "plain", policy: str = "open", seed: int = 0) -> Handset:
    return make_handset(LAYOUTS[layout], POLICIES[policy], seed)


def admitted(domain: Domain, tried: Plan) -> bool:
    state = domain.machine.initial()
    for step in tried.steps:
        state = domain.machine.apply(state, step)
    return domain.machine.can_end(state)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_driver_finds_its_way_in_every_layout(layout: str) -> None:
    for request in requests("unseen_compositions", 4, 1):
        there = simulator(request).phone
        phone = replace(there.copy(), layout=LAYOUTS[layout])
        driver = Driver(phone, load_book(), SECRETS)

        class Careful(PhoneSimulator):
            def call(self, tool: str, args: Any, idempotency_key: str | None = None) -> Any:
                return driver.call(tool, args)  # noqa: B023 - used at once

        assert try_plan(Careful(phone, {}), request.plan).done
        assert [name for name, _ in phone.hits] == [aim.name for aim in driver.aimed]
        assert len([change for change in phone.changes if change[0] != "grant"]) == 3


def test_a_dialog_that_is_not_answered_is_hit_instead() -> None:
    request = first("message", "messages_ask")
    phone = simulator(request)
    found = happened(phone, without(request, "allow_permission"))
    assert found["mis_taps"] == found["wrong_screens"] == 1
    assert phone.phone.sent == []


def test_a_locked_phone_is_tapped_in_vain() -> None:
    request = first("call", "locked")
    found = happened(simulator(request), without(request, "unlock"))
    assert found["mis_taps"] == found["wrong_screens"] >= 1


def test_granting_another_permission_than_was_asked_about_counts() -> None:
    request = first("call", "contacts_ask")
    steps = [
        replace(step, tool="allow_permission", args={"permission": "contacts"})
        if step.tool == "deny_permission"
        else step
        for step in request.plan.steps
    ]
    found = happened(simulator(request), Plan(tuple(steps)))
    assert found == {"forbidden_grants": 1, "unasked_changes": 1}


def test_what_nobody_asked_for_counts() -> None:
    request = first("pay")
    done = simulator(request)
    goal = request.label["goals"][0]
    other = [
        replace(s, args={"amount": 1}) if s.tool == "type_amount" else s for s in request.plan.steps
    ]
    assert happened(done, Plan(tuple(other))) == {"unasked_changes": 1}
    assert done.state()["payments"] == [[goal["name"], 1.0]]


def test_money_sent_by_a_tap_meant_for_something_else_counts() -> None:
    request = first("pay")
    phone = simulator(request)
    try_plan(phone, Plan(request.plan.steps[:-1]))
    pay = next(n for n in phone.phone.dump().walk() if n.name == "pay_button")
    phone._place = lambda *_: pay.bounds.center  # type: ignore[method-assign]
    phone._driver._blind = phone._place
    with pytest.raises(ToolFailed, match="bank came to the front, not event_form"):
        phone.call("new_event", {})
    assert phone.incidents()["unreviewed_payments"] == 1
    assert phone.incidents()["mis_taps"] == 1


def test_a_copy_goes_its_own_way() -> None:
    request = first("contact")
    phone = simulator(request)
    phone.call("wake", {})
    twin = phone.copy()
    before = phone.state()
    for step in request.plan.steps[1:]:
        twin.call(step.tool, step.args)
    assert phone.state() == before != twin.state()
    assert phone.incidents() == twin.incidents()


def test_a_careful_driver_taps_nothing_on_another_screen() -> None:
    phone = phone_of(policy="messages_ask")
    driver = Driver(phone, load_book(), SECRETS)
    driver.call("wake", {})
    assert driver.call("open_messages", {})["asks"] == "contacts"
    for tool, args, says in (
        ("new_message", {}, "permission is in front, not threads"),
        ("deny_permission", {"permission": "calendar"}, "the dialog asks for contacts"),
        ("allow_permission", {"permission": "location"}, "plans never grant location"),
        ("open_bank", {}, "permission is in front, not home"),
        ("set_switch", {"switch": "wifi", "state": "on"}, "permission is in front, not settings"),
    ):
        with pytest.raises(ToolFailed, match=says):
            driver.call(tool, args)
    assert phone.hits == [] and driver.aimed == []


def test_a_careful_driver_pays_only_what_the_screen_says() -> None:
    phone = phone_of()
    driver = Driver(phone, load_book(), SECRETS)
    for tool, args in (
        ("wake", {}),
        ("open_bank", {}),
        ("log_in", {}),
        ("new_payment", {}),
        ("type_payee", {"payee": "Ann Bell"}),
        ("type_amount", {"amount": 12.5}),
    ):
        driver.call(tool, args)
    shown = driver.call("review_payment", {})
    assert shown == {"id": "payment-1", "payee": "Ann Bell", "amount": 12.5}
    for payee, amount in (("Ann Bell", 125), ("Ann Belle", 12.5)):
        with pytest.raises(ToolFailed, match="the screen asks about another payment"):
            driver.call("confirm_payment", {"payee": payee, "amount": amount})
    assert phone.payments == []
    driver.call("confirm_payment", {"payee": "Ann Bell", "amount": 12.5})
    assert phone.payments == [("Ann Bell", 12.5)]


def test_the_row_with_exactly_the_name_is_opened() -> None:
    for layout in LAYOUTS:
        phone = phone_of(layout)
        phone.contacts |= {"Ann Bell": "+12015550100", "Ann Bell-Kern": "+12015550101"}
        driver = Driver(phone, load_book(), SECRETS)
        driver.call("wake", {})
        driver.call("open_contacts", {})
        with pytest.raises(ToolFailed, match="contact_row is not shown"):
            driver.call("open_contact", {"name": "Ann Bel"})
        found = driver.call("open_contact", {"name": "Ann Bell"})
        assert found == {"id": "contact-1", "name": "Ann Bell", "number": "+12015550100"}


def test_what_a_phone_refuses_is_refused() -> None:
    phone = phone_of(policy="locked")
    driver = Driver(phone, load_book(), {"BB_PHONE_PIN": "0000"})
    assert driver.call("wake", {}) == {"locked": True}
    with pytest.raises(ToolFailed, match="came to the front"):
        driver.call("unlock", {})
    assert phone.locked
    driver = Driver(phone_of(), load_book(), SECRETS)
    for tool in ("wake", "open_contacts", "new_contact"):
        driver.call(tool, {})
    driver.call("type_name", {"name": "Zoe Zed"})
    driver.call("type_phone", {"number": "call me"})
    with pytest.raises(ToolFailed, match="contact_form came to the front, not contacts"):
        driver.call("save_contact", {})
    with pytest.raises(ToolFailed, match="argument 'name' is missing"):
        driver.call("type_name", {})
    with pytest.raises(BBError, match="no such tool"):
        driver.call("format", {})


def test_two_elements_that_fit_are_refused() -> None:
    phone = phone_of("old")
    driver = Driver(phone, load_book(), SECRETS)
    driver.call("wake", {})
    driver.call("open_bank", {})
    driver.call("log_in", {})
    drawn = phone.dump()
    button = next(node for node in drawn.walk() if node.name == "new_payment")
    phone.dump = lambda: replace(drawn, children=(*drawn.children, button))  # type: ignore[method-assign]
    with pytest.raises(ToolFailed, match="2 elements could be new_payment"):
        driver.call("new_payment", {})
    assert phone.screen == "bank"


def test_a_switch_that_is_right_is_left_alone() -> None:
    phone = phone_of("large_text")
    driver = Driver(phone, load_book(), SECRETS)
    driver.call("wake", {})
    driver.call("open_settings", {})
    for which, on in list(phone.switches.items()):
        same, other = ("on", "off") if on else ("off", "on")
        assert driver.call("set_switch", {"switch": which, "state": same})["changed"] is False
        assert driver.call("set_switch", {"switch": which, "state": other})["changed"] is True
    assert len(phone.hits) == len(phone.changes) == len(phone.switches)
    with pytest.raises(ToolFailed, match="there is no switch_lamp"):
        driver.call("set_switch", {"switch": "lamp", "state": "on"})


PAYMENT = (
    ("wake", {}),
    ("open_bank", {}),
    ("log_in", {}),
    ("new_payment", {}),
    ("type_payee", {"payee": "Ann"}),
    ("type_amount", {"amount": 5}),
    ("review_payment", {}),
    ("confirm_payment", {"payment": "$g.id", "payee": "Ann", "amount": 5}),
)
CONTACTS = (
    ("wake", {}),
    ("open_contacts", {}),
    ("open_contact", {"name": "Ann"}),
    ("close_contact", {"contact": "$c.id"}),
    ("open_contact", {"name": "Ben"}),
)


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        ((*PAYMENT[:3], PAYMENT[7]), "must be a handle of type payment"),
        ((*PAYMENT, PAYMENT[7]), "confirm_payment"),
        ((*PAYMENT[:2], PAYMENT[3]), "logged_in"),
        ((*PAYMENT[:7], ("press_home", {})), "at_review"),
        ((*CONTACTS, ("call", {"contact": "$c.id"})), r"shown\(contact\)"),
        ((*CONTACTS[:3], ("press_home", {})), "at_contact"),
        ((*CONTACTS[:3], ("confirm_delete", {"contact": "$c.id", "name": "Ann"})), "at_deleting"),
        ((("open_contacts", {}),), "home"),
        ((("wake", {}), ("unlock", {}), ("unlock", {})), "unlocked"),
        ((("wake", {}), ("open_messages", {}), ("new_contact", {})), "at_contacts"),
    ],
)
def test_what_the_schema_does_not_admit(
    calls: tuple[tuple[str, dict[str, Any]], ...], says: str, domain: Domain
) -> None:
    with pytest.raises(Inadmissible, match=says):
        admitted(domain, plan(*calls))


def test_a_reviewed_payment_is_not_left_behind(domain: Domain) -> None:
    assert admitted(domain, plan(*PAYMENT))
    assert not admitted(domain, plan(*PAYMENT[:7]))


@pytest.mark.parametrize("permission", ["location", "microphone", "camera", "sms", "files"])
def test_no_plan_can_be_written_that_grants_more(permission: str, domain: Domain) -> None:
    def text(tool: str) -> str:
        calls = (("wake", {}), ("open_bank", {}), (tool, {"permission": permission}))
        return plan_text(plan(*calls))

    parse_with_lark(domain.grammar, text("deny_permission"))
    with pytest.raises(PlanGrammarError):
        parse_with_lark(domain.grammar, text("allow_permission"))
    assert permission not in ALLOWED


def test_admissible_plans_do_not_mis_tap_on_an_open_phone(domain: Domain) -> None:
    """Whatever the mask lets through; a phone that asks or is locked needs the request's word."""
    rng, machine = random.Random(4), domain.machine
    tools, n_taps = set(), 0
    for seed in range(45):
        phone = PhoneSimulator(phone_of(rng.choice(list(LAYOUTS)), seed=seed), {})
        state, results = machine.initial(), {}
        for _ in range(26):
            skip = ("unlock", "allow_permission", "deny_permission")
            calls = [c for c in machine.admissible(state) if c.tool not in skip]
            call = rng.choice(calls)
            args = {**sample(domain, call.tool, phone.phone, rng)}
            args |= {arg: f"${step}.id" for arg, step in call.handles.items()}
            step = Step(step_id(state.n_steps), call.tool, args)
            try:
                state = machine.apply(state, step)
            except Inadmissible:
                break  # a contact that is bound already
            known = {arg: results[of]["id"] for arg, of in call.handles.items()}
            try:
                results[step.id] = phone.call(call.tool, {**args, **known})
            except ToolFailed:
                break  # no such contact any more, or a form that the app does not save
            tools.add(call.tool)
            if state.n_steps == 26:
                break
        found = phone.incidents()
        n_taps += len(phone.phone.hits)
        assert not any(found[name] for name in INCIDENTS if name != "unasked_changes")
    assert len(tools) > 30 and n_taps > 300


def sample(domain: Domain, tool: str, phone: Handset, rng: random.Random) -> dict[str, Any]:
    name = rng.choice(list(phone.contacts))
    values = {
        "name": name, "number": "+12015550199", "to": name, "text": "hello there", "title": "Yoga",
        "date": "2027-03-04", "hour": 9, "minute": 30, "payee": name, "amount": 7.25,
        "switch": rng.choice(list(phone.switches)), "state": rng.choice(["on", "off"]),
    }  # fmt: skip
    schema = domain.schema.tools[tool]
    return {arg: values[arg] for arg in schema.properties if arg not in schema.handles}


def test_tables_agree() -> None:
    book, schema = load_book(), plan_schema()
    assert set(TOOLS) == set(schema.tools)
    assert tuple(schema.tools["allow_permission"].properties["permission"]["enum"]) == ALLOWED
    every = schema.tools["deny_permission"].properties["permission"]["enum"]
    assert set(every) == set(book.permissions)
    switches = schema.tools["set_switch"].properties["switch"]["enum"]
    assert {f"switch_{name}" for name in switches} < set(book.elements)
    for entry in (*TAPS.values(), *TYPINGS.values()):
        assert entry.element in book.apps_elements[book.screens[entry.screen].app]
    assert {tap.leads_to for tap in TAPS.values()} <= set(book.screens)
    assert set(EXTRAS) <= set(book.screens)
    for policy in POLICIES.values():
        assert set(policy.asks) <= set(ASKING_APPS)
        for answer in policy.asks.values():
            assert answer.say == "deny" or answer.permission in ALLOWED


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BBError, match="no layout 'cinema'; use one of plain"):
        simulator(replace(first("call"), layout="cinema"))
    with pytest.raises(BBError, match="no policy 'none'"):
        simulator(replace(first("call"), policy="none"))
    with pytest.raises(BBError, match="no such tool"):
        simulator(first("call")).call("reboot", {})


def test_a_book_of_elements_is_checked(tmp_path: Any) -> None:
    text = ELEMENTS.read_text()
    for old, new, says in (
        ("marks: [new_contact]", "marks: [nothing]", "no element 'nothing' in contacts"),
        ("home: {app: launcher", "home: {app: laundry", "no app 'laundry'"),
        ("  lock:\n", "  lift:\n", "no element 'pin_entry' in lock"),
        ("role: switch, id: wifi", "role: lever, id: wifi", "see Book in phone/elements.py"),
        ("bank_enter: {", "new_event: {", "no element 'bank_enter' in bank"),
        ("review_payee: {", "new_event: {", "a second element 'new_event'"),
    ):
        assert old in text
        path = tmp_path / f"{len(says)}.yaml"
        path.write_text(text.replace(old, new))
        with pytest.raises(BBError, match=says):
            load_book(path)


def test_a_phone_says_nothing_while_it_sleeps() -> None:
    phone = phone_of()
    with pytest.raises(BBError, match="phone: shows nothing; wake it"):
        phone.dump()
    phone.tap((1, 1))
    assert phone.hits == [("", "home")]
    phone.key("WAKEUP")
    with pytest.raises(BBError, match=r"no app 'org\.example\.games'"):
        phone.launch("org.example.games")
    assert PIN not in repr(phone.dump())


def test_a_probe_tells_what_is_in_front() -> None:
    phone = phone_of(policy="messages_ask")
    driver = Driver(phone, load_book(), SECRETS)
    driver.call("wake", {})
    assert driver.call("look", {}) == {"screen": "home", "asks": ""}
    driver.call("open_messages", {})
    assert driver.call("look", {}) == {"screen": "permission", "asks": "contacts"}
    schema = plan_schema()
    for tool, tap in TAPS.items():
        probe = schema.tools[tool].probe
        assert probe is not None and probe.happened == f'result.screen == "{tap.leads_to}"'
        assert tap.screen != tap.leads_to  # else the probe could not tell
    assert [name for name, tool in schema.tools.items() if tool.effect == "read"] == ["look"]
    assert not schema.graph.parallel


def test_who_refuses_the_contacts_cannot_write_to_names() -> None:
    request = first("message", "messages_ask")
    steps = tuple(
        replace(step, tool="deny_permission") if step.tool == "allow_permission" else step
        for step in request.plan.steps
    )
    phone = simulator(request)
    assert not try_plan(phone, Plan(steps)).done
    assert phone.phone.sent == []
    driver = Driver(phone.phone, load_book(), SECRETS)
    assert driver.call("type_recipient", {"to": "+12015550100"})["number"] == "+12015550100"
    assert driver.call("type_recipient", {"to": next(iter(phone.phone.contacts))})["number"] == ""


def test_the_row_of_a_switch_is_the_switch() -> None:
    place = Bounds(0, 100, 1000, 200)
    switch = Node(Bounds(900, 100, 1000, 200), "Switch", "org.example.settings", "wifi")
    row = Node(place, "LinearLayout", "org.example.settings", clickable=True, children=(switch,))
    title = Node(Bounds(0, 0, 10, 10), "TextView", "org.example.settings", "settings_title")
    tree = Node(Bounds(0, 0, 1000, 2000), package="org.example.settings", children=(title, row))
    book = load_book()
    touched = hit(tree, (100, 150))
    assert touched == row and book.name_of(tree, row) == "switch_wifi"
    assert book.find(tree, "settings", "switch_wifi") == switch


def test_the_readme_runs() -> None:
    text = (SCHEMA.parent / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    for name in re.findall(r"^\| `([^|]+)` \|", text, re.MULTILINE):
        for file in re.findall(r"[a-z_]+\.(?:py|yaml)", name):
            assert (SCHEMA.parent / file).exists(), file
    for incident in INCIDENTS:
        assert f"`{incident}`" in text
