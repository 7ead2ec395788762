"""U_struct_propose: from a stretch of a run to patches that would have made it better.

Localised steps say which expert cost most, and trials of its outputs say where each of them had
better been the other value. The state bit that separates those cases best, and the fewest ANF
coefficients that make the difference in each case, give two children; their scope is every lane in
which no flip acts, so what changes is named and all the rest is proved to stay. Each patch is then
piloted: the stretch is played again with it, and what it gained there is its PoX estimate.

Source: BEM core spec 8.2, 8.3; BEM use 2.3; BEM evolve 2.4, 6 (PoX).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import KernelError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.lanes import Bits
from bem_kernel.patches.correction import (
    Correction,
    Reach,
    children,
    corrections,
    unchanged,
    whole,
)
from bem_kernel.patches.edits import perform
from bem_kernel.patches.flips import LARGEST_GAIN
from bem_kernel.patches.localise import Suspect, localise
from bem_kernel.patches.obligations import obligations
from bem_kernel.patches.patch import Entry, Kind, Patch
from bem_kernel.patches.propose import OCTAVE_Q16, drafted, free_near, is_findable
from bem_kernel.patches.replay import Moment, Playback, Window, replay, twin_of
from bem_kernel.patches.trials import Laboratory

PROVENANCE = (("by", "proposer"),)
_FORBIDDEN = -(1 << 40)


@dataclass(frozen=True)
class Search:
    """How far proposing goes.

    Attributes:
        suspects: steps to localise.
        experts: most experts to study, those that cost most.
        steps: most steps of each whose outputs are tried.
        horizon: steps whose rewards count as an expert's doing.
        patches: most corrections to pilot.
        keep_octaves: halvings of the weight of a parent that stays beside its children; 0: it goes.
        reach: how far the search for corrections goes.
    """

    suspects: int = 16
    experts: int = 4
    steps: int = 256
    horizon: int = 1
    patches: int = 4
    keep_octaves: int = 0
    reach: Reach = field(default_factory=Reach)


@dataclass(frozen=True)
class Pox:
    """What a patch is estimated to be worth, from its pilot, and what proving it costs.

    Attributes:
        regret_q16: Delta_R, by how much the mean loss of a choice fell, Q16.
        gates: Delta_C, gates that a choice evaluates less; negative if more.
        clauses: C_verif, clauses of its obligations.
    """

    regret_q16: int
    gates: int
    clauses: int

    @property
    def score(self) -> int:
        """A gate is worth 1 in Q16 of loss; safety and information are not estimated."""
        return self.regret_q16 + self.gates

    @property
    def priority_q16(self) -> int:
        """Score by verification cost, Q16."""
        return (self.score << 16) // max(1, self.clauses)


@dataclass(frozen=True)
class Proposal:
    """A patch with what speaks for it.

    Attributes:
        patch: not yet believed.
        pox: its estimate.
        expert: identifier of the expert that it changes.
        focus: G(τ), the steps that led to it.
    """

    patch: Patch
    pox: Pox
    expert: int
    focus: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Study:
    """What a stretch of a run teaches.

    Attributes:
        window: the stretch.
        table: of the machine, as it was then.
        playback: of the stretch, for its trace and loss; its machine is used up.
        suspects: G(τ).
        cases: by expert, states (rows, N) bool and gains of inverting outputs (rows, outputs), of
            rewards beyond 2**20 their high bits.
    """

    window: Window
    table: ExpertTable
    playback: Playback
    suspects: tuple[Suspect, ...]
    cases: Mapping[int, tuple[Bits, NDArray[np.int64]]]


def study(window: Window, search: Search | None = None) -> Study:
    """Play a stretch again, localise what went wrong, and try the outputs of who did it.

    Args:
        window: of the run.
        search: how far to go.

    Raises:
        KernelError: the stretch cannot be played again.
    """
    wanted = search or Search()
    playback = replay(window)
    laboratory = Laboratory(playback, wanted.horizon)
    suspects = localise(laboratory, wanted.suspects)
    blame: dict[int, int] = defaultdict(int)
    impacts = {suspect.step: suspect.impact for suspect in suspects}
    for moment in playback.moments:
        if moment.step in impacts:
            for identifier, trials in laboratory.invert_outputs(moment).items():
                blame[identifier] += int(trials.gains.max(axis=1, initial=0).sum())
    cases = {}
    costly = sorted((word for word in blame if blame[word]), key=lambda word: -blame[word])
    for identifier in costly[: wanted.experts]:
        moments = _chosen(laboratory, playback.moments, identifier, set(impacts), wanted.steps)
        tried = [laboratory.invert_outputs(moment)[identifier] for moment in moments]
        bits = np.concatenate([trials.bits for trials in tried])
        gains = np.concatenate([trials.gains for trials in tried])
        cases[identifier] = (bits, gains >> _shift(playback))
    return Study(window, twin_of(window).table, playback, suspects, cases)


def propose_structure(
    studied: Study,
    search: Search | None = None,
    *,
    refuted: Sequence[tuple[int, Mapping[int, bool]]] = (),
) -> tuple[Proposal, ...]:
    """U_struct_propose: patches that would have made a stretch of a run better.

    Args:
        studied: the stretch.
        search: how far to go.
        refuted: experts with states, by bit, in which a patch of theirs was refuted: no flip of
            theirs acts there.

    Returns:
        Those that did better when piloted, the highest priority first.

    Raises:
        KernelError: the machine is damaged.
    """
    wanted = search or Search()
    focus = tuple(sorted(suspect.step for suspect in studied.suspects))
    found: list[Proposal] = []
    for identifier, (bits, gains) in studied.cases.items():
        expert = studied.table.expert(identifier)
        bits, gains = _with_refuted(bits, gains, (at for word, at in refuted if word == identifier))
        best = corrections(expert, bits, gains, wanted.reach)[: wanted.patches]
        for patch in (each for one in best for each in _patches(studied, identifier, one, wanted)):
            pox = pilot(studied, patch)
            if pox is not None and pox.regret_q16 > 0:
                found.append(Proposal(patch, pox, identifier, focus))
        if found:  # of another expert when this one has been mended
            break
    return tuple(sorted(found, key=lambda each: -each.pox.priority_q16))


def pilot(studied: Study, patch: Patch) -> Pox | None:
    """Play a stretch again with a patch in it.

    Args:
        studied: the stretch.
        patch: of its table.

    Returns:
        What came of it; None if the machine stopped on the way.
    """
    owed = obligations(studied.table, patch)
    twin = twin_of(studied.window)
    try:
        with twin.table.lifted_seal():  # a copy, which is thrown away
            perform(twin.table, patch)
        after = replay(studied.window, twin)
    except KernelError:
        return None
    before = studied.playback
    return Pox(
        before.loss_q16 - after.loss_q16,
        _mean_gates(before, studied.table) - _mean_gates(after, twin.table),
        sum(len(obligation.cnf.offsets) - 1 for obligation in owed),
    )


def _patches(
    studied: Study, identifier: int, correction: Correction, search: Search
) -> list[Patch]:
    """A split, or a circuit in the old one's place, or both.

    An expert has one condition, so one that has it is not split again. Where lanes share a choice,
    children would leave each other's lanes alone, so the pilot decides.
    """
    table, config = studied.table, studied.window.memory.config
    expert, scope = table.expert(identifier), unchanged(correction)
    reason = f"{expert.name} would have done better: {correction}"
    findable, found = is_findable(table, identifier), []
    divides = correction.bit is not None and expert.condition is None
    if divides:
        words = free_near(table, identifier, 2)
        entries = tuple(
            Entry(word, child, findable, (identifier,))
            for word, child in zip(words, children(expert, correction), strict=True)
        )
        gone = () if search.keep_octaves else (identifier,)
        charges = ((identifier, search.keep_octaves * OCTAVE_Q16),) if search.keep_octaves else ()
        found.append(Patch(Kind.SPLIT, "", "", reason, PROVENANCE, gone, entries, charges))
    if not divides or (config.lanes > 1 and not studied.window.config.each_lane):
        entry = Entry(identifier, whole(expert, correction), findable)
        found.append(Patch(Kind.REPLACE, "", "", reason, PROVENANCE, (identifier,), (entry,)))
    return [drafted(table, replace(patch, scope=scope)) for patch in found]


def _chosen(
    laboratory: Laboratory,
    moments: Sequence[Moment],
    identifier: int,
    suspects: set[int],
    count: int,
) -> list[Moment]:
    """Steps in which an expert ran: the suspects, and others evenly spread."""
    ran = [moment for moment in moments if identifier in laboratory.batch(moment)]
    first = [moment for moment in ran if moment.step in suspects][:count]
    others = [moment for moment in ran if moment.step not in suspects]
    room = min(count - len(first), len(others))
    return first + [others[i * len(others) // room] for i in range(room)]


def _with_refuted(
    bits: Bits, gains: NDArray[np.int64], states: Iterable[Mapping[int, bool]]
) -> tuple[Bits, NDArray[np.int64]]:
    """Cases with more rows, in which any flip would be dear."""
    rows = []
    for state in states:
        row = np.zeros(bits.shape[1], dtype=np.bool_)
        row[list(state)] = list(state.values())
        rows.append(row)
    if not rows:
        return bits, gains
    dear = np.full((len(rows), gains.shape[1]), _FORBIDDEN, dtype=np.int64)
    return np.concatenate([bits, rows]), np.concatenate([gains, dear])


def _shift(playback: Playback) -> int:
    """Low bits of a gain that do not count, so that sums of squares fit 64 bits."""
    span = playback.limits.greatest - playback.limits.least
    return max(0, span.bit_length() - LARGEST_GAIN.bit_length())


def _mean_gates(playback: Playback, table: ExpertTable) -> int:
    choices = [choice.expert for choice in playback.trace]
    sizes = {word: len(table.expert(word).circuit.gates) for word in set(choices)}
    return sum(sizes[word] for word in choices) // max(1, len(choices))
