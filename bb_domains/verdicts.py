"""Verdicts on plans by a domain alone: its argument schemas, its machine, its grammar.

For golden tests and for those who write domains. What may run is decided by the checker of
`bb_runtime`, which asks for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jsonschema.exceptions import best_match

from bb_core.plan import Plan, PlanSyntaxError, Step, parse_plan, plan_text
from bb_domains.domain import Domain
from bb_domains.errors import Inadmissible, PlanGrammarError
from bb_domains.grammar import parse_with_lark
from bb_domains.validate import validator


@dataclass(frozen=True)
class Verdict:
    """What a domain says about a plan.

    Attributes:
        accepted: whether it is a plan of the domain.
        step: the first step that breaks a rule; empty if none does, or the plan as a whole does.
        rule: which rule; empty if it is accepted.
        repair: what would be admissible instead; may be empty.
    """

    accepted: bool
    step: str = ""
    rule: str = ""
    repair: str = ""

    def as_record(self) -> dict[str, Any]:
        """The verdict as JSON data, without what is empty and without the repair."""
        if self.accepted:
            return {"accepted": True}
        step = {"step": self.step} if self.step else {}
        return {"accepted": False, **step, "rule": self.rule}


def judge(domain: Domain, text: str) -> Verdict:
    """Judge the text of a plan: its syntax, every step in order, its end, its grammar."""
    try:
        plan = parse_plan(text)
    except PlanSyntaxError as error:
        return Verdict(False, rule=f"{error.where}: {error.what}" if error.where else error.what)
    machine, state = domain.machine, domain.machine.initial()
    for step in plan.steps:
        fault = _argument_fault(domain, step)
        if fault:
            return Verdict(False, step.id, fault)
        try:
            state = machine.apply(state, step)
        except Inadmissible as error:
            return Verdict(False, step.id, error.rule, error.repair)
    if not machine.can_end(state):
        return Verdict(False, rule=_end_fault(domain, plan))
    try:
        parse_with_lark(domain.grammar, plan_text(plan))
    except PlanGrammarError as error:
        return Verdict(False, rule=f"grammar: {error.what}")
    return Verdict(True)


def _argument_fault(domain: Domain, step: Step) -> str:
    tool = domain.schema.tools.get(step.tool)
    if tool is None:
        return ""  # the machine names the tools there are
    fault = best_match(validator(tool.plan_args()).iter_errors(dict(step.args)))
    if fault is None:
        return ""
    at = "/".join(map(str, fault.absolute_path))
    return f"argument {at}: {fault.message}" if at else fault.message


def _end_fault(domain: Domain, plan: Plan) -> str:
    graph = domain.schema.graph
    if len(plan.steps) < graph.min_steps:
        return f"a plan has at least {graph.min_steps} steps"
    return "every handle that is bound must be used"
