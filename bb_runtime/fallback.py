"""From one plan to the next: what happens when a plan is refused, or stopped by a rule.

Plans are proposed by one rail after another, the builder's first and the base's last. A plan that
the checker refuses runs not at all; one that a precondition, a guard or an invariant stops, and of
which nothing stands, makes room for the next. A tool that fails is no violation: the next plan
would meet the same tool. Every proposal is checked as the first was, and the log says why it came
to that:

    event      fields besides `event`
    refused    at, proposer, plan_digest, step, rule
    fallback   at, run, proposer, next, rule
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bb_core.plan import Plan, parse_plan
from bb_domains.domain import Domain
from bb_domains.privacy import Redactor, load_log_key
from bb_domains.tools import Adapters
from bb_runtime.check import Certificate, check_plan
from bb_runtime.errors import PlanRefused
from bb_runtime.execute import execute
from bb_runtime.execution import Execution, OnStep
from bb_runtime.journal import open_journal
from bb_runtime.run_log import now
from bem_kernel.ledger.chain import Ledger


@dataclass(frozen=True)
class Proposer:
    """A source of plans.

    Attributes:
        name: for the log, such as "builder" or "base".
        propose: returns a plan's text.
    """

    name: str
    propose: Callable[[], str]


@dataclass(frozen=True)
class Fallback:
    """One proposer's plan makes room for the next one's.

    Attributes:
        proposer: whose plan was refused or stopped.
        next: who is asked then.
        rule: that was broken.
        step: where, "" where the plan as a whole is at fault.
        run: of the plan that was stopped; "" for one that was refused.
    """

    proposer: str
    next: str
    rule: str
    step: str
    run: str = ""


OnFallback = Callable[[Fallback], object]


@dataclass(frozen=True)
class Proposal:
    """A plan that passed the checker.

    Attributes:
        proposer: who proposed it.
        plan: the plan.
        certificate: the checker's.
    """

    proposer: str
    plan: Plan
    certificate: Certificate


def propose(
    domain: Domain,
    proposers: Sequence[Proposer],
    ledger: Ledger | None = None,
    on_fallback: OnFallback | None = None,
) -> tuple[Proposal, Sequence[Proposer]]:
    """The first plan that the checker admits, and the proposers that are left.

    Args:
        domain: what the plans are checked against.
        proposers: one or more, asked in order.
        ledger: where refusals are logged; None for nowhere.
        on_fallback: called where the next is asked.

    Raises:
        PlanRefused: the last proposer's plan is refused as well.
        LedgerError: the log cannot be written.
    """
    for position, proposer in enumerate(proposers):
        text = proposer.propose()
        try:
            certificate = check_plan(domain, text)
        except PlanRefused as refusal:
            if ledger is not None:
                _log_refusal(ledger, proposer.name, text, refusal)
            if position == len(proposers) - 1:
                raise
            if on_fallback is not None:
                following = proposers[position + 1].name
                on_fallback(Fallback(proposer.name, following, refusal.rule, refusal.node))
            continue
        rest = proposers[position + 1 :]
        return Proposal(proposer.name, parse_plan(text), certificate), rest
    raise ValueError("propose: no proposer; name at least one")


def fulfil(
    domain: Domain,
    proposers: Sequence[Proposer],
    adapters: Adapters,
    ledger: Ledger,
    *,
    on_plan: Callable[[Proposal], object] | None = None,
    on_step: OnStep | None = None,
    on_fallback: OnFallback | None = None,
    dry_run: bool = False,
) -> tuple[Proposal, Execution]:
    """Run the first plan that is admitted and stopped by no rule.

    Args:
        domain: the domain.
        proposers: one or more, asked in order.
        adapters: carry the calls out.
        ledger: the chain, opened for appending.
        on_plan: called with each plan before it runs.
        on_step: as for `execute`.
        on_fallback: called where the next is asked.
        dry_run: as for `execute`.

    Returns:
        The plan that ran last, and what became of it.

    Raises:
        PlanRefused: no proposer is left, and the last plan was refused.
        BBError: log or journal cannot be written.
    """
    left = proposers
    while True:
        proposal, left = propose(domain, left, ledger, on_fallback)
        if on_plan is not None:
            on_plan(proposal)
        done = execute(
            domain,
            proposal.plan,
            proposal.certificate,
            adapters,
            ledger,
            dry_run=dry_run,
            on_step=on_step,
        )
        if not left or not is_violation(done):
            return proposal, done
        entry = {"event": "fallback", "at": now(), "run": done.run, "rule": done.rule}
        ledger.append({**entry, "proposer": proposal.proposer, "next": left[0].name})
        if on_fallback is not None:
            on_fallback(Fallback(proposal.proposer, left[0].name, done.rule, done.step, done.run))
        if not dry_run:
            _give_way(ledger, done.run)


def is_violation(done: Execution) -> bool:
    """Whether a rule stopped a plan of which nothing stands."""
    stopped = done.rule in ("guard", "precondition", "invariant")
    return stopped and done.status in ("failed", "undone") and not done.stands


def _give_way(ledger: Ledger, run: str) -> None:
    """Keep a run whose place another takes from going on later: that would do things twice."""
    with open_journal(ledger.path) as journal:
        journal.forget(run)


def _log_refusal(ledger: Ledger, proposer: str, text: str, refusal: PlanRefused) -> None:
    digest = Redactor(load_log_key(ledger.path.with_suffix(".key"))).digest(text)
    ledger.append(
        {
            "event": "refused",
            "at": now(),
            "proposer": proposer,
            "plan_digest": digest,
            "step": refusal.node,
            "rule": refusal.rule,
        }
    )
