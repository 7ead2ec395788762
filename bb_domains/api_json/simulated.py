"""The service as a simulator: a small shop in memory, its rules, its house rules, its incidents.

Refused like the service refuses: malformed arguments by the domain's own argument schemas, the rest
by the same code. A key is honoured: the same call with the same key happens once.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator

from bb_domains.api_json import plan_schema
from bb_domains.api_json.in_process import InProcessSession
from bb_domains.api_json.layouts import LAYOUTS, Layout, open_shop, restored
from bb_domains.api_json.policies import POLICIES, Policy, Prerequisite
from bb_domains.api_json.rules import Rules
from bb_domains.api_json.workflows import WORKFLOWS
from bb_domains.simulation import Request
from bb_domains.tools import ToolFailed
from bb_domains.validate import validator

INCIDENTS: tuple[str, ...] = ("refund_errors", "unasked_changes", "policy_breaches")
"""A refund refused, or granted although nobody asked for it or for another amount; another change
that nobody asked for; a call that a house rule refused."""

_SESSION = "simulated"
_AUDIT = "audit"
_WRITES = frozenset(w.tool for w in WORKFLOWS.values()) - {"track_shipment"}

_Call = tuple[str, str]  # tool, arguments as canonical JSON


@dataclass(frozen=True)
class _Subjects:
    """What a request is about."""

    numbers: tuple[int, ...]
    customers: tuple[str, ...]
    asked: Mapping[_Call, int]


@dataclass
class SimulatedService:
    """A shop with one caller; `bb_domains.simulation.Simulator`.

    Attributes:
        db: the shop.
        layout: how it is arranged.
        policy: its house rules.
        subjects: what the request is about.
        logins: how often the caller has logged in.
    """

    db: sqlite3.Connection = field(repr=False)
    layout: Layout
    policy: Policy
    subjects: _Subjects = field(repr=False)
    logins: int = 0
    _done: Counter[_Call] = field(default_factory=Counter)
    _counts: Counter[str] = field(default_factory=Counter)
    _keys: dict[str, tuple[_Call, dict[str, Any]]] = field(default_factory=dict)

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The tool's result.

        Raises:
            ToolFailed: the arguments are malformed, a rule refuses the call, or its key was used
                for another.
        """
        made = _call(tool, args)
        if idempotency_key in self._keys:
            earlier, answer = self._keys[idempotency_key]
            if earlier != made:
                raise ToolFailed(tool, 422, "this Idempotency-Key was used for another request")
            return dict(answer)
        try:
            answer = self._granted(tool, args)
        except ToolFailed:
            self._counts["refund_errors"] += tool == "refund_order"
            raise
        self._done[made] += 1
        if tool in _WRITES and self._done[made] > self.subjects.asked.get(made, 0):
            wrong = "refund_errors" if tool == "refund_order" else "unasked_changes"
            self._counts[wrong] += 1
        if idempotency_key is not None and tool != "login":
            self._keys[idempotency_key] = (made, answer)
        return dict(answer)

    def state(self) -> dict[str, Any]:
        """The orders and customers that the request is about."""
        rules = Rules(self.db, _AUDIT)
        return rules.read_state([*self.subjects.numbers], [*self.subjects.customers])

    def incidents(self) -> dict[str, int]:
        """How often each of `INCIDENTS` happened."""
        return {name: self._counts[name] for name in INCIDENTS}

    def copy(self) -> SimulatedService:
        """A shop of its own in the same state."""
        return replace(
            self,
            db=restored(self.db.serialize()),
            _done=Counter(self._done),
            _counts=Counter(self._counts),
            _keys=dict(self._keys),
        )

    def _granted(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        checks = _validators()
        if tool not in checks:
            raise ToolFailed(tool, 404, "there is no such tool")
        fault = best_match(checks[tool].iter_errors(dict(args)))
        if fault is not None:
            raise ToolFailed(tool, 422, fault.message[:200])
        if self.logins:
            self._check_policy(tool, args)
        session = InProcessSession(self.db, _SESSION, self.logins)
        answer = session.call(tool, args)
        self.logins = session.logins
        return {**answer, **self.layout.extra} if "id" in answer else answer

    def _check_policy(self, tool: str, args: Mapping[str, Any]) -> None:
        cap = self.policy.caps.get(tool)
        if cap is not None and args["amount"] > cap:
            self._counts["policy_breaches"] += 1
            raise ToolFailed(tool, 422, f"the house rules allow {cap:g} at most")
        for rule in self.policy.prerequisites:
            if rule.tool == tool and not self._done[_first_call(rule, args)]:
                self._counts["policy_breaches"] += 1
                raise ToolFailed(tool, 409, f"the house rules ask for {rule.before} first")


def simulated(request: Request) -> SimulatedService:
    """The shop in which a request is made.

    Raises:
        BBError: the request names no layout or policy of this domain.
    """
    layout, policy = LAYOUTS[request.layout], POLICIES[request.policy]
    db = open_shop(layout, request.seed)
    return SimulatedService(db, layout, policy, _subjects(db, policy, request.label))


def _subjects(db: sqlite3.Connection, policy: Policy, label: Mapping[str, Any]) -> _Subjects:
    rules, goals = Rules(db, _AUDIT), label.get("goals", ())
    orders = {order["number"]: order for order in rules.list_orders(0, 10_000)}
    customers = {c["email"]: c["id"] for c in rules.list_customers("", 10_000)}
    numbers = tuple(goal["number"] for goal in goals if goal.get("number") in orders)
    concerned = {orders[number]["customer_id"] for number in numbers}
    concerned |= {customers[goal["email"]] for goal in goals if goal.get("email") in customers}
    asked: Counter[_Call] = Counter()
    for goal in goals:
        flow = WORKFLOWS[goal["kind"]]
        found = orders[goal["number"]]["id"] if flow.target == "order" else customers[goal["email"]]
        handle = {flow.target: found}
        asked[_call(flow.tool, {**handle, **{name: goal[name] for name in flow.values}})] += 1
        for rule in policy.prerequisites:
            if rule.tool == flow.tool:
                asked[_first_call(rule, handle)] += 1
    return _Subjects(numbers, tuple(sorted(concerned)), asked)


def _first_call(rule: Prerequisite, args: Mapping[str, Any]) -> _Call:
    """The call that a prerequisite asks for, on the object of the call that has these arguments."""
    handle = {name: args[name] for name in ("order", "customer") if name in args}
    return _call(rule.before, {**handle, **rule.args})


def _call(tool: str, args: Mapping[str, Any]) -> _Call:
    plain = {name: _number(value) for name, value in args.items()}
    return tool, json.dumps(plain, sort_keys=True)


def _number(value: Any) -> Any:
    """40.0 and 40 are one amount."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@cache
def _validators() -> Mapping[str, Validator]:
    return {name: validator(tool.args) for name, tool in plan_schema().tools.items()}
