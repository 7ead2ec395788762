"""The plan executor: runs a certified plan as a program of the machine, once.

Every call, its result and every change of the plan state is an entry of the hash-chained log
(`run_log`), and in the journal (`journal`) for as long as the run may have to go on. After a crash,
`resume` replays what was answered and goes on from there (`carrier` says what is called again). The
first failure stops the run: calls under way are waited for, and what was done is taken back as far
as the tools declare how.

    done        every step succeeded
    failed      a step failed; what was done before stands, but for `undone`
    in_doubt    nobody knows whether a call had its effect; `resume` finds out, or is told
    undone      a step failed, and nothing of what was done stands
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext

from bb_core.errors import BBError
from bb_core.plan import Plan, parse_plan, plan_text
from bb_domains.domain import Domain
from bb_domains.privacy import Redactor, load_log_key
from bb_domains.tools import Adapters
from bb_runtime.carrier import UNDO, Carrier, StepOutcome, Word, check_words
from bb_runtime.check import Certificate, check_plan
from bb_runtime.errors import ExecutionRefused
from bb_runtime.execution import Execution, OnStep
from bb_runtime.journal import Journal, RunRecord, is_ok, journal_path
from bb_runtime.plan_host import PlanHost
from bb_runtime.plan_program import plan_program
from bb_runtime.run_log import RunLog, now
from bem_kernel.ledger.chain import Ledger

__all__ = ["Execution", "StepOutcome", "execute", "plan_program", "resume"]

_active: set[str] = set()
_active_lock = threading.Lock()


def execute(
    domain: Domain,
    plan: Plan,
    certificate: Certificate,
    adapters: Adapters,
    ledger: Ledger,
    *,
    dry_run: bool = False,
    redactor: Redactor | None = None,
    on_step: OnStep | None = None,
    undo: bool = True,
    at_once: int | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> Execution:
    """Run a plan.

    Args:
        domain: the plan's domain.
        plan: the plan.
        certificate: from `check_plan`, for this plan and domain.
        adapters: carry the calls out; they must bear `at_once` calls from several threads.
        ledger: the chain, opened for appending; the journal is beside it.
        dry_run: call no tool and check no guard; everything else happens.
        redactor: hides private values; None for the key file beside the ledger.
        on_step: called after each step, for whoever watches.
        undo: whether to take steps back, where their tools declare how, if a later one fails.
        at_once: most calls under way at a time; None for what the domain says.
        pause: waits between two tries of a call, in seconds.

    Returns:
        What became of it; a failing tool or guard is no exception.

    Raises:
        ExecutionRefused: the certificate does not fit; nothing was called.
        BBError: log or journal cannot be written; no further call is made.
    """
    program = plan_program(domain, plan, certificate, at_once)
    run = uuid.uuid4().hex
    log = RunLog(domain, ledger, _redactor(ledger, redactor), run)
    with _claimed(run), _journal(ledger, dry_run=dry_run) as journal:
        log.begin(plan, program, dry_run=dry_run)
        if journal is not None:
            text = plan_text(plan)
            journal.begin(
                RunRecord(run, now(), domain.name, domain.fingerprint, "running", "", text)
            )
        carried = None if dry_run else adapters
        carrier = Carrier(domain, plan, certificate, carried, journal, log, pause=pause)
        return PlanHost(carrier, on_step, undo=undo).forward(program)


def resume(
    domain: Domain,
    run: str,
    adapters: Adapters,
    ledger: Ledger,
    *,
    words: Mapping[str, Word] | None = None,
    give_up: bool = False,
    redactor: Redactor | None = None,
    on_step: OnStep | None = None,
    undo: bool = True,
    pause: Callable[[float], object] = time.sleep,
) -> Execution:
    """Go on with a run that a crash, an interrupt, a failure or a doubt has stopped.

    Args:
        domain: the domain of its plan, unchanged; the plan is checked anew.
        run: its identifier, or the beginning of it; "" for the last one.
        adapters: carry the calls out.
        ledger: the chain it was written to.
        words: by step in doubt, whether it happened, or what it answered.
        give_up: take back what was done instead of going on.
        redactor: as for `execute`.
        on_step: as for `execute`.
        undo: as for `execute`.
        pause: as for `execute`.

    Raises:
        ExecutionRefused: the run has ended, is under way, or is of another domain.
        PlanRefused: the plan is no longer admissible.
        BBError: there is no such run, or log or journal cannot be used.
    """
    with closing(Journal(journal_path(ledger.path))) as journal:
        record = journal.find(run)
        with _claimed(record.run):
            record = journal.find(record.run)
            plan = plan_to_resume(record, domain)
            certificate = check_plan(domain, plan)
            program = plan_program(domain, plan, certificate)
            said = dict(words or {})
            check_words(said, record.calls)
            _check_answers(domain, plan, said)
            log = RunLog(domain, ledger, _redactor(ledger, redactor), record.run, resumed=True)
            giving_up = give_up or _is_going_back(record)
            log.resume(giving_up=giving_up)
            finished = not giving_up and all(is_ok(record, step.id) for step in plan.steps)
            carrier = Carrier(
                domain,
                plan,
                certificate,
                adapters,
                journal,
                log,
                record.calls,
                said,
                finished,
                pause,
            )
            going = PlanHost(carrier, on_step, undo=undo)
            return going.back(record) if giving_up else going.forward(program)


@contextmanager
def _claimed(run: str) -> Iterator[None]:
    """Keep a run from going on twice in this process; other processes lack the log."""
    with _active_lock:
        if run in _active:
            raise ExecutionRefused(f"run {run} is under way", where="resume", fix="wait for it")
        _active.add(run)
    try:
        yield
    finally:
        with _active_lock:
            _active.discard(run)


def _redactor(ledger: Ledger, given: Redactor | None) -> Redactor:
    return given or Redactor(load_log_key(ledger.path.with_suffix(".key")))


def _is_going_back(record: RunRecord) -> bool:
    """Whether steps were being taken back; then the run never goes forward again."""
    return record.status == "undoing" or any(name.startswith(UNDO) for name in record.calls)


def is_under_way(run: str) -> bool:
    """Whether this process is carrying a run out."""
    with _active_lock:
        return run in _active


def plan_to_resume(record: RunRecord, domain: Domain) -> Plan:
    """The plan of a run that may go on.

    Raises:
        ExecutionRefused: it may not.
    """
    if record.fingerprint != domain.fingerprint:
        what = f"run {record.run} is of another version of domain {record.domain}"
        raise ExecutionRefused(what, where="resume", fix="name the domain it was made with")
    if record.plan is None:
        what = f"run {record.run} has ended: {record.status}"
        raise ExecutionRefused(what, where="resume", fix="run the plan anew, if you mean that")
    return parse_plan(record.plan)


def _check_answers(domain: Domain, plan: Plan, words: Mapping[str, Word]) -> None:
    """Refuse a bare yes where later steps need what was answered.

    Raises:
        BBError: such a word.
    """
    for step in plan.steps:
        if words.get(step.id) is True and domain.schema.tools[step.tool].binds:
            raise BBError(
                f"step {step.id} binds an object, so a yes is not enough",
                where="resume",
                fix="say what it answered, as JSON",
            )


def _journal(ledger: Ledger, *, dry_run: bool) -> nullcontext[None] | Journal:
    return nullcontext() if dry_run else Journal(journal_path(ledger.path))
