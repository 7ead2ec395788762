"""The plan checker: the only maker of certificates, and nothing runs without one.

Checked in this order: syntax, names of steps, tools, arguments (JSON Schema), references, order,
preconditions, invariants and cost (by the compiled plan machine), the rules about the plan as a
whole, and that the canonical text is a sentence of the domain's grammar, the same that masks
decode. Last comes the proof: that preconditions and invariants hold in every order in which the
steps may run (`bb_domains.interleavings`). The certificate names that order, and the
proof by its digest.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import jsonschema

from bb_core.canonical import canonical_json, sha256_hex
from bb_core.errors import BBError
from bb_core.plan import Plan, PlanSyntaxError, Step, parse_plan, plan_text, references, step_id
from bb_domains.domain import Domain
from bb_domains.errors import Inadmissible, PlanGrammarError
from bb_domains.explain import explain_cost
from bb_domains.grammar import parse_with_lark
from bb_domains.interleavings import OrderProof, prove_order
from bb_domains.states import PlanState
from bb_domains.validate import validator
from bb_runtime.errors import ExecutionRefused, PlanRefused

if TYPE_CHECKING:
    from bb_runtime.repair import Repair

# Made anew in each process: a certificate cannot be written by hand, stored, or sent elsewhere.
_KEY = secrets.token_bytes(32)


@dataclass(frozen=True)
class Certificate:
    """Says that one plan was checked against one domain, in this process.

    Made by `check_plan` only; `verify_certificate` refuses any other.

    Attributes:
        plan_hash: SHA-256 of the canonical plan text, hex.
        domain_fingerprint: of the domain it was checked against.
        order: pairs of step ids, the first of which must be done before the second starts; steps
            with no way between them may run in either order, or at once.
        proof: SHA-256 over the formula that the proof is about and its proof, hex.
        seal: keyed hash over all this.
    """

    plan_hash: str
    domain_fingerprint: str
    order: tuple[tuple[str, str], ...]
    proof: str
    seal: str = field(repr=False)


def check_plan(domain: Domain, plan: Plan | str, *, repair: bool = True) -> Certificate:
    """Check a plan.

    Args:
        domain: the domain it is meant for.
        plan: the plan, or its text.
        repair: look for the nearest plan that would pass, if this one does not.

    Returns:
        A certificate for `execute`.

    Raises:
        PlanRefused: naming the step, the rule, and the nearest admissible alternative; the plan
            that would pass is its `nearest`.
    """
    plan = _parsed(plan) if isinstance(plan, str) else plan
    try:
        return _certified(domain, plan)
    except PlanRefused as refused:
        if repair:
            from bb_runtime.repair import nearest_plan

            found = nearest_plan(domain, plan, refused)
            if found is not None:
                raise _with_nearest(refused, found) from refused
        raise


def _with_nearest(refused: PlanRefused, found: Repair) -> PlanRefused:
    words = f"{refused.repair}; nearest plan that passes: {', '.join(found.edits)}"
    named = PlanRefused(refused.node, refused.rule, refused.what, words.removeprefix("; "))
    named.nearest = found
    return named


def _certified(domain: Domain, plan: Plan) -> Certificate:
    _check_length(domain, plan)
    for position, step in enumerate(plan.steps):
        _check_names(domain, step, position)
        _check_arguments(domain, step)
        _check_references(domain, plan, position)
    lanes = _check_states(domain, plan)
    _check_sentence(domain, plan)
    proof = _proved(domain, plan, lanes)
    order = tuple((plan.steps[i].id, plan.steps[j].id) for i, j in proof.edges)
    unsealed = Certificate(plan_hash(plan), domain.fingerprint, order, proof.digest, "")
    return replace(unsealed, seal=_seal(unsealed))


def verify_certificate(certificate: Certificate, domain: Domain, plan: Plan) -> None:
    """Check that a certificate was made by the checker, for this plan and this domain.

    Raises:
        ExecutionRefused: it was not.
    """
    meant = (plan_hash(plan), domain.fingerprint)
    if not _is_sealed(certificate):
        what = "the certificate was not made by the checker of this process"
    elif not hmac.compare_digest(certificate.plan_hash, meant[0]):
        what = "the certificate belongs to another plan"
    elif not hmac.compare_digest(certificate.domain_fingerprint, meant[1]):
        what = f"the certificate was made for another version of domain {domain.name}"
    else:
        return
    raise ExecutionRefused(what, where="execute", fix="check the plan again with check_plan")


def _is_sealed(found: object) -> bool:
    """Whether something is a certificate, and the checker's: no other class, nothing missing."""
    if type(found) is not Certificate:
        return False
    try:
        return hmac.compare_digest(_seal(found), found.seal)
    except (AttributeError, TypeError, ValueError, BBError):  # of what was put together otherwise
        return False


def plan_hash(plan: Plan) -> str:
    """SHA-256 of the canonical plan text, hex."""
    return sha256_hex(plan_text(plan).encode())


def _seal(made: Certificate) -> str:
    sealed = [made.plan_hash, made.domain_fingerprint, [list(pair) for pair in made.order]]
    message = canonical_json([*sealed, made.proof])
    return hmac.new(_KEY, message, hashlib.sha256).hexdigest()


def _parsed(text: str) -> Plan:
    try:
        return parse_plan(text)
    except PlanSyntaxError as error:
        raise PlanRefused("", "syntax", f"{error.where}: {error.what}", error.fix) from error


def _check_length(domain: Domain, plan: Plan) -> None:
    limit = domain.schema.limits.max_steps
    if len(plan.steps) > limit:
        what = f"{len(plan.steps)} steps are more than the domain's {limit}"
        raise PlanRefused("", "length", what, "split the plan")


def _check_names(domain: Domain, step: Step, position: int) -> None:
    if step.id != step_id(position):
        what = f"step {position + 1} must have the id {step_id(position)!r}"
        raise PlanRefused(step.id, "id", what, "rename the steps a, b, c, … in their order")
    if step.tool not in domain.schema.tools:
        close = difflib.get_close_matches(step.tool, domain.schema.tools, n=1)
        names = close or list(domain.schema.tools)
        what = f"domain {domain.name} has no tool {step.tool!r}"
        raise PlanRefused(step.id, "tool", what, f"use {', '.join(names)}")


def _check_arguments(domain: Domain, step: Step) -> None:
    schema = domain.schema.tools[step.tool].plan_args()
    errors = sorted(validator(schema).iter_errors(dict(step.args)), key=_pointer)
    for error in errors:
        what = f"{_pointer(error)}: {error.message}" if error.absolute_path else error.message
        raise PlanRefused(step.id, "arguments", what, f"see the arguments of {step.tool}")


def _pointer(error: jsonschema.ValidationError) -> str:
    return "/".join(str(part) for part in error.absolute_path)


def _check_references(domain: Domain, plan: Plan, position: int) -> None:
    step = plan.steps[position]
    earlier = {other.id for other in plan.steps[:position]}
    handles = domain.schema.tools[step.tool].handles
    for ref in references(step.args):
        arg = ref.pointer.split("/")[1]
        if arg not in handles:
            what = f"argument {arg!r} takes a value, not a reference"
            raise PlanRefused(step.id, "reference", what, "write the value itself")
        if ref.step not in earlier:
            what = f"{arg!r} refers to {ref.step!r}, which is no earlier step"
            known = ", ".join(sorted(earlier)) or "none"
            raise PlanRefused(step.id, "reference", what, f"earlier steps are {known}")
    for other in step.after:
        if other not in earlier:
            what = f"must come after {other!r}, which is no earlier step"
            raise PlanRefused(step.id, "order", what, "move the step behind it")


def _check_states(domain: Domain, plan: Plan) -> list[int]:
    """The lane of each step."""
    state, lanes = domain.machine.initial(), list[int]()
    for step in plan.steps:
        try:
            lanes.append(domain.machine.lane(state, step))
            if not domain.machine.affords(state, lanes[-1]):
                what, fix = explain_cost(domain.machine, state, lanes[-1])
                raise PlanRefused(step.id, "cost", what, fix)
            state = domain.machine.apply(state, step)
        except Inadmissible as error:
            raise PlanRefused(error.step_id, "admissible", error.rule, error.repair) from error
    if not domain.machine.can_end(state):
        raise _unfinished(domain, plan, state)
    return lanes


def _proved(domain: Domain, plan: Plan, lanes: list[int]) -> OrderProof:
    position = {step.id: i for i, step in enumerate(plan.steps)}
    asked = [(position[other], position[step.id]) for step in plan.steps for other in step.after]
    found = prove_order(domain.machine, lanes, asked)
    if isinstance(found, OrderProof):
        return found
    done = ", ".join(plan.steps[i].id for i in found.done)
    what = f"after {done or 'no step'} a precondition or an invariant fails"
    raise PlanRefused("", "proof", what, "report this: the plan machine had let it through")


def _unfinished(domain: Domain, plan: Plan, state: PlanState) -> PlanRefused:
    """Why a plan may not end where it does."""
    least = domain.schema.graph.min_steps
    if len(plan.steps) < least:
        what = f"{len(plan.steps)} steps are fewer than the domain's {least}"
        return PlanRefused("", "end", what, "add steps")
    used = {ref.step for step in plan.steps for ref in references(step.args)}
    idle = next((handle.step for handle in state.handles if handle.step not in used), "")
    what = "what it looks up is used by no later step"
    return PlanRefused(idle, "end", what, f"use it in a later step, or drop step {idle}")


def _check_sentence(domain: Domain, plan: Plan) -> None:
    """The grammar knows no `after`; it is checked above and adds nothing to what runs."""
    bare = Plan(tuple(Step(step.id, step.tool, step.args) for step in plan.steps))
    try:
        parse_with_lark(domain.grammar, plan_text(bare))
    except PlanGrammarError as error:
        raise PlanRefused("", "grammar", f"{error.where}: {error.what}", error.fix) from error
