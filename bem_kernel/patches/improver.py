"""A machine that improves itself: the slow path's loop of localising, proposing, proving, applying.

While the machine runs, its losses are watched. Where a stretch went badly, the memory is copied and
the next stretch handed to the slow path, which plays it again, proposes patches, and looks for
proofs, the patch of the highest PoX priority first. What it found is certified and applied between
two steps. A refuted patch is logged with its counterexample, and proposing goes on with what that
taught. A patch after which the machine does worse than before is taken back.

Source: BEM core spec 8.2, 8.3, 10.1; BEM use 3.1, 3.3; BEM evolve 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any

from bem_kernel.errors import PatchError
from bem_kernel.experts.place import Space
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.patches.apply import apply, undo
from bem_kernel.patches.certificate import Evidence, certify, evidence_for
from bem_kernel.patches.history import history
from bem_kernel.patches.obligations import obligations
from bem_kernel.patches.patch import Patch
from bem_kernel.patches.proposer import Proposal, Search, propose_structure, study
from bem_kernel.patches.replay import Window, end_of, window_from
from bem_kernel.patches.structure import structure_hash
from bem_kernel.patches.verify import Refuted, prove, rejection_record
from bem_kernel.runner.layout import EPISODE, EPISODE_STEP, HEAD, STEP, TOTAL_LOSS_Q16
from bem_kernel.runner.machine import ExpertMachine
from bem_kernel.runner.slow_path import Outcome, SlowPath, Workers
from bem_kernel.runner.world import World

_ROUNDS = 8
_KIND = "improve"
_MOST_PATIENCE = 64
_MOST_GROWTH = 16


@dataclass(frozen=True)
class Settings:
    """How a machine improves itself.

    Attributes:
        window_steps: shortest stretch that is judged and studied; after a study that led nowhere
            the next one takes twice as long.
        tolerance_q16: mean loss of a choice up to which nothing is done.
        search: how far proposing goes.
    """

    window_steps: int = 128
    tolerance_q16: int = 1 << 10
    search: Search = field(default_factory=Search)


@dataclass(frozen=True)
class Finding:
    """What the slow path made of a stretch.

    Attributes:
        proposal: of the patch that is proved; None if there is none.
        evidence: its proofs.
        refuted: patches that are wrong, with counterexamples.
    """

    proposal: Proposal | None
    evidence: Evidence | None
    refuted: tuple[tuple[Patch, Refuted], ...]


@dataclass(frozen=True)
class Improvement:
    """A patch that was applied.

    Attributes:
        proposal: with the estimate.
        index: of the log's entry.
        step: before which it came.
        loss_before_q16: mean loss of a choice in the last whole stretch before it, Q16.
    """

    proposal: Proposal
    index: int
    step: int
    loss_before_q16: int


def improve(window: Window, search: Search | None = None) -> Finding:
    """Find a patch that would have made a stretch better, and prove it.

    Args:
        window: of a run.
        search: how far to go.

    Returns:
        The patch of the highest priority that could be proved, and those refuted on the way.

    Raises:
        KernelError: the stretch cannot be played again.
    """
    studied = study(window, search)
    refuted: list[tuple[Patch, Refuted]] = []
    states: list[tuple[int, Mapping[int, bool]]] = []
    for _ in range(_ROUNDS):
        learned = len(states)
        for proposal in propose_structure(studied, search, refuted=states):
            found = prove(obligations(studied.table, proposal.patch))
            if isinstance(found, tuple):
                evidence = evidence_for(proposal.patch, found)
                return Finding(proposal, evidence, tuple(refuted))
            if isinstance(found, Refuted):
                refuted.append((proposal.patch, found))
                states.append((proposal.expert, _state(found)))
        if len(states) == learned:
            break
    return Finding(None, None, tuple(refuted))


class Improver:
    """Watches a machine in one world, and patches it; a context manager around its runs.

    With workers the machine runs on while a stretch is studied; with `workers="idle"` it waits,
    and two runs of the same machine are the same. A log that both this and a later `PatchStore` of
    the machine's image can use is `store.log_path(image)`.

    Attributes:
        applied: patches in force that came from here, in order.
        taken_back: those that made it worse.
        refuted: number of patches that were refuted.

    Args:
        machine: settled, as it is between runs.
        world: in which it runs; one in Python has to be a function of memory and step.
        log: of the machine's patches, not the journal's.
        settings: when and how.
        workers: "threads", "processes" (what they study is pickled), or "idle".

    Raises:
        PatchError: on entering: the log is of another machine, or of one in another state. From a
            run: a finding cannot be certified.
        RunnerError: from a run: the machine runs in another world.
        LedgerError: the log cannot be read or written.
    """

    def __init__(
        self,
        machine: ExpertMachine,
        world: World,
        log: Ledger,
        settings: Settings | None = None,
        *,
        workers: Workers = "threads",
    ) -> None:
        self.applied: list[Improvement] = []
        self.taken_back: list[Improvement] = []
        self.refuted = 0
        self._machine, self._world, self._log = machine, world, log
        self._settings = settings or Settings()
        self._idle = workers == "idle"
        handler = partial(improve, search=self._settings.search)
        self._slow = SlowPath({_KIND: handler}, capacity=1, workers=workers)
        self._begin()
        self._window: Window | None = None
        self._last_q16 = 0
        self._busy = False
        self._patience = self._growth = 1
        self._pause = 0
        self._on_trial: Improvement | None = None

    def __enter__(self) -> Improver:
        self._begin_log()
        self._begin()
        self._machine.hooks.append(self._look)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._machine.hooks.remove(self._look)
        self._slow.close()

    def finish(self) -> None:
        """Wait for the slow path, and apply what it found; between runs."""
        self._slow.wait()
        self._collect()

    def _begin_log(self) -> None:
        """Begin the log, or see to it that it is this machine's."""
        found, expected = structure_hash(self._machine.table), None
        entries = list(read_entries(self._log.path))
        for entry in entries:
            if entry.get("kind") == "patch.base":
                expected = entry.get("structure")
        last = history(entries, str(self._log.path)).last
        expected = expected if last is None else last.after
        if expected is None:
            self._log.append({"kind": "patch.base", "structure": found})
        elif expected != found:
            raise PatchError(
                f"the machine has structure {found[:16]}, its log leads to {str(expected)[:16]}",
                where=str(self._log.path),
                fix="open image and log with PatchStore, which brings them together",
            )

    def _look(self, machine: ExpertMachine) -> None:
        """The hook: after each update of the policy."""
        self._follow_episodes()
        self._collect()
        if int(machine.arrays.clock[STEP]) - self._step < self._stretch:
            return
        self._last_q16 = loss_q16 = self._mean_loss_q16()
        self._judge(loss_q16)
        window, self._window = self._window, None
        if window is not None:
            episodes = (*self._episodes, int(machine.arrays.clock[STEP]) - self._episode_begin)
            self._study(replace(window, episodes=episodes, end=end_of(machine)))
        elif loss_q16 > self._settings.tolerance_q16 and not self._busy:
            self._pause -= 1
            if self._pause < 0:
                self._window = window_from(machine, self._world, ())
        self._begin()

    @property
    def _stretch(self) -> int:
        """Steps after which the present stretch is judged."""
        return self._settings.window_steps * self._growth

    def _study(self, window: Window) -> None:
        self._busy = self._slow.offer(_KIND, window) is not None
        if self._idle:
            self._slow.run_idle()
            self._collect()

    def _begin(self) -> None:
        """Begin a stretch here."""
        clock = self._machine.arrays.clock
        self._step, self._rows = int(clock[STEP]), int(clock[HEAD])
        self._loss_q16 = int(clock[TOTAL_LOSS_Q16])
        self._episode, self._episode_begin = int(clock[EPISODE]), self._step
        self._episodes: list[int] = []

    def _follow_episodes(self) -> None:
        """Note that an episode of the stretch has ended; hooks look at least once in each."""
        clock = self._machine.arrays.clock
        if int(clock[EPISODE]) != self._episode:
            ended = int(clock[EPISODE_STEP])
            self._episodes.append(ended - self._episode_begin)  # 0: it was over, but not closed
            self._episode, self._episode_begin = int(clock[EPISODE]), ended

    def _mean_loss_q16(self) -> int:
        clock = self._machine.arrays.clock
        rows = int(clock[HEAD]) - self._rows
        return (int(clock[TOTAL_LOSS_Q16]) - self._loss_q16) // max(1, rows)

    def _judge(self, loss_q16: int) -> None:
        """Compare the first stretch after a patch with the one before it."""
        tried, self._on_trial = self._on_trial, None
        if tried is None or tried.step > self._step:
            return
        entry = {"kind": "patch.outcome", "of": tried.index}
        entry |= {"before_q16": tried.loss_before_q16, "after_q16": loss_q16}
        self._log.append(entry)
        if loss_q16 > tried.loss_before_q16 and self._is_last(tried):
            undo(self._machine.table, self._log)
            self.applied.remove(tried)
            self.taken_back.append(tried)
            self._wait_longer()

    def _is_last(self, tried: Improvement) -> bool:
        """Whether nobody has patched the machine since."""
        return structure_hash(self._machine.table) == tried.proposal.patch.after

    def _collect(self) -> None:
        for outcome in self._slow.collect():
            self._busy = False
            self._take(outcome)

    def _take(self, outcome: Outcome) -> None:
        """Log what was refuted, and apply what was proved."""
        if outcome.error is not None:
            raise outcome.error
        finding: Finding = outcome.result
        for patch, counterexample in finding.refuted:
            self._log.append(rejection_record(patch, counterexample))
        self.refuted += len(finding.refuted)
        proposal, evidence = finding.proposal, finding.evidence
        if proposal is None or evidence is None:
            self._wait_longer()
            return
        table = self._machine.table
        if structure_hash(table) != proposal.patch.before:
            return  # somebody has patched the machine meanwhile: what was found is of the past
        certificate = certify(table, proposal.patch, evidence)
        self._log.append(_proposal_record(proposal))
        index = apply(table, proposal.patch, certificate, self._log)
        self._begin()
        self._window = None
        done = Improvement(proposal, index, self._step, self._last_q16)
        self.applied.append(done)
        self._on_trial, self._patience, self._growth = done, 1, 1

    def _wait_longer(self) -> None:
        """Let more and longer stretches pass before the next study, as this one led nowhere."""
        self._pause = self._patience
        self._patience = min(2 * self._patience, _MOST_PATIENCE)
        self._growth = min(2 * self._growth, _MOST_GROWTH)


def _state(refuted: Refuted) -> dict[int, bool]:
    """The state bits of a counterexample."""
    return {
        place.base: value
        for place, value in refuted.counterexample
        if place.space is Space.STATE and not place.terms
    }


def _proposal_record(proposal: Proposal) -> dict[str, Any]:
    pox = proposal.pox
    return {
        "kind": "patch.propose",
        "patch": proposal.patch.fingerprint,
        "expert": proposal.expert,
        "focus": list(proposal.focus),
        "pox": {"regret_q16": pox.regret_q16, "gates": pox.gates, "clauses": pox.clauses},
    }
