"""What a user can ask for, and the scripted plan that fulfils it.

A goal is one wish; a request is a few goals in order; `plan_for` is the workflow that a careful
clerk would follow: log in, then for each goal look the object up, confirm the owner where the rules
ask for it, and act.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bb_core.plan import Plan, Step, step_id
from bb_domains.api_json.policies import Prerequisite
from bb_domains.wordings import Goal

REASONS: tuple[str, ...] = ("damaged", "late", "wrong_item", "changed_mind")
LEVELS: tuple[str, ...] = ("normal", "express", "overnight")
TAGS: tuple[str, ...] = ("vip", "fraud_watch", "call_back", "do_not_email")


@dataclass(frozen=True)
class Workflow:
    """How one kind of goal is carried out.

    Attributes:
        tool: the tool that acts.
        target: the type of object it acts on, `order` or `customer`; also the name of its handle
            argument.
        confirms_owner: whether the owner of the order is confirmed first.
        values: the goal's slots that become arguments of `tool`, in the order of its arguments.
    """

    tool: str
    target: str
    confirms_owner: bool
    values: tuple[str, ...]


WORKFLOWS: Mapping[str, Workflow] = {
    "track": Workflow("track_shipment", "order", False, ()),
    "refund": Workflow("refund_order", "order", True, ("amount", "reason")),
    "cancel": Workflow("cancel_order", "order", True, ()),
    "city": Workflow("change_city", "order", True, ("city",)),
    "priority": Workflow("set_priority", "order", False, ("level",)),
    "email": Workflow("update_email", "customer", False, ("new_email",)),
    "voucher": Workflow("issue_voucher", "customer", False, ("amount",)),
    "note": Workflow("add_note", "customer", False, ("tag",)),
}
"""Slots of a goal: `number` (of the order) for order goals, `email` unless it is track or priority,
and the workflow's `values`."""
GOAL_KINDS: tuple[str, ...] = tuple(WORKFLOWS)


def slot_names(kind: str) -> tuple[str, ...]:
    """The slots that a goal of this kind has, all of which its sentence must name."""
    workflow = WORKFLOWS[kind]
    number = ("number",) if workflow.target == "order" else ()
    email = ("email",) if workflow.target == "customer" or workflow.confirms_owner else ()
    return number + email + workflow.values


def plan_for(goals: Sequence[Goal], prerequisites: Sequence[Prerequisite] = ()) -> Plan:
    """The scripted plan of a request: `login`, then the steps of each goal, in order.

    Args:
        goals: of the request.
        prerequisites: of the house rules; each call they ask for stands before the one restricted.
    """
    steps = [Step(step_id(0), "login", {})]
    for goal in goals:
        _append_goal(steps, goal, prerequisites)
    return Plan(tuple(steps))


def _append_goal(steps: list[Step], goal: Goal, prerequisites: Sequence[Prerequisite]) -> None:
    workflow = WORKFLOWS[goal.kind]
    handle_step = step_id(len(steps))
    handle = {workflow.target: f"${handle_step}.id"}
    if workflow.target == "order":
        steps.append(Step(handle_step, "get_order", {"number": goal.slots["number"]}))
    else:
        steps.append(Step(handle_step, "find_customer", {"email": goal.slots["email"]}))
    if workflow.confirms_owner:
        args = {**handle, "email": goal.slots["email"]}
        steps.append(Step(step_id(len(steps)), "confirm_owner", args))
    for rule in prerequisites:
        if rule.tool == workflow.tool:
            steps.append(Step(step_id(len(steps)), rule.before, {**handle, **rule.args}))
    values = {name: goal.slots[name] for name in workflow.values}
    steps.append(Step(step_id(len(steps)), workflow.tool, {**handle, **values}))
