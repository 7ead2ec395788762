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

from bem_kernel.circuits.builder import CircuitBuilder, simplify
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.composition import cofactor
from bem_kernel.errors import KernelError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.lanes import Bits
from bem_kernel.patches.edits import perform
from bem_kernel.patches.flips import Flips, Limits, Product, best_flips
from bem_kernel.patches.fold import joined
from bem_kernel.patches.localise import Suspect, localise
from bem_kernel.patches.obligations import obligations
from bem_kernel.patches.patch import Entry, Kind, Patch, Scope
from bem_kernel.patches.propose import drafted, is_findable, propose_split
from bem_kernel.patches.replay import Moment, Playback, Window, replay, twin_of
from bem_kernel.patches.trials import Laboratory

PROVENANCE = (("by", "proposer"),)
_FORBIDDEN = -(1 << 40)


@dataclass(frozen=True)
class Search:
    """How far proposing goes.

    Attributes:
        suspects: steps to localise.
        steps: most steps of an expert whose outputs are tried.
        horizon: steps whose rewards count as an expert's doing.
        bits: most state bits to consider for a split, beside those that the expert reads.
        patches: most patches to pilot.
        flips: limits of the search for coefficients.
    """

    suspects: int = 16
    steps: int = 64
    horizon: int = 1
    bits: int = 8
    patches: int = 4
    flips: Limits = field(default_factory=Limits)


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
        cases: by expert, states (rows, N) bool and gains of inverting outputs (rows, outputs).
    """

    window: Window
    table: ExpertTable
    playback: Playback
    suspects: tuple[Suspect, ...]
    cases: Mapping[int, tuple[Bits, NDArray[np.int64]]]


@dataclass(frozen=True)
class Division:
    """A way to split an expert.

    Attributes:
        bit: the state bit.
        flips: by value of the bit, then by output.
        gain: on the cases.
    """

    bit: int
    flips: tuple[tuple[Flips, ...], tuple[Flips, ...]]
    gain: int


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
    suspects = localise(playback, wanted.suspects, horizon=wanted.horizon)
    laboratory = Laboratory(playback, wanted.horizon)
    blame: dict[int, int] = defaultdict(int)
    impacts = {suspect.step: suspect.impact for suspect in suspects}
    for moment in playback.moments:
        for identifier, _ in laboratory.batch(moment):
            blame[identifier] += impacts.get(moment.step, 0)
    cases = {}
    for identifier in sorted((word for word in blame if blame[word]), key=lambda w: -blame[w]):
        moments = _chosen(laboratory, playback.moments, identifier, set(impacts), wanted.steps)
        trials = [laboratory.invert_outputs(moment, identifier) for moment in moments]
        bits = np.concatenate([trial.bits for trial in trials])
        cases[identifier] = (bits, np.concatenate([trial.gains for trial in trials]))
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
    drafts: list[tuple[int, Patch]] = []
    for identifier, (bits, gains) in studied.cases.items():
        expert = studied.table.expert(identifier)
        bits, gains = _with_refuted(bits, gains, (at for word, at in refuted if word == identifier))
        for division in divisions(expert, bits, gains, wanted):
            drafts += [(identifier, patch) for patch in _patches(studied, identifier, division)]
            if len(drafts) >= wanted.patches:
                break
    found = []
    for identifier, patch in drafts[: wanted.patches]:
        pox = pilot(studied, patch)
        if pox is not None and pox.regret_q16 > 0:
            found.append(Proposal(patch, pox, identifier, focus))
    return tuple(sorted(found, key=lambda each: -each.pox.priority_q16))


def divisions(
    expert: Expert, bits: Bits, gains: NDArray[np.int64], search: Search
) -> tuple[Division, ...]:
    """Ways to split an expert, the one that gains most first; of equals, on a bit that it reads.

    Args:
        expert: the parent.
        bits: (rows, N) bool, states.
        gains: (rows, outputs) int64, reward gained by inverting an output.
        search: how far to go.
    """
    most = int(np.maximum(gains, 0).sum())
    price = 1 + most // 32
    own = list(dict.fromkeys(expert.reads))
    found = []
    for bit in (*own, *_separating(bits, gains, own, search.bits)):
        flips = []
        for value in (False, True):
            rows = bits[:, bit] == value
            inputs = bits[rows][:, list(expert.reads)]
            flips.append(
                tuple(
                    best_flips(inputs, gains[rows, output], search.flips, price=price)
                    for output in range(gains.shape[1])
                )
            )
        division = Division(bit, (flips[0], flips[1]), sum(f.gain for f in (*flips[0], *flips[1])))
        if division.gain > 0:
            found.append(division)
    return tuple(
        sorted(found, key=lambda each: (price * _size(each) - each.gain, each.bit not in own))
    )


def corrected(circuit: Circuit, flips: Sequence[Flips]) -> Circuit:
    """A circuit with ANF coefficients flipped, by output."""
    builder = CircuitBuilder(circuit.n_inputs)
    outputs = builder.embed(circuit, range(circuit.n_inputs))
    for output, flip in enumerate(flips):
        for product in flip.products:
            outputs[output] = builder.xor(outputs[output], _product(builder, product))
    return builder.build(outputs)


def unchanged(expert: Expert, division: Division) -> Scope:
    """The lanes in which no flip of a division acts: where old and new have to agree."""
    bits = tuple(dict.fromkeys((division.bit, *expert.reads)))
    builder = CircuitBuilder(len(bits))
    acting = builder.const(False)
    for value, flips in enumerate(division.flips):
        case = 0 if value else builder.not_(0)
        for flip in flips:
            inverted = builder.const(False)
            for product in flip.products:
                places = [bits.index(expert.reads[i]) for i in product]
                inverted = builder.xor(inverted, _product(builder, places))
            acting = builder.or_(acting, builder.and_(case, inverted))
    return Scope(bits, builder.build([builder.not_(acting)]))


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


def _patches(studied: Study, identifier: int, division: Division) -> list[Patch]:
    """The split, and, where one expert runs in many lanes, the same as one circuit."""
    table, config = studied.table, studied.window.memory.config
    expert = table.expert(identifier)
    circuits = []
    for value, flips in enumerate(division.flips):
        held = {i: bool(value) for i, bit in enumerate(expert.reads) if bit == division.bit}
        circuits.append(cofactor(corrected(expert.circuit, flips), held))
    reason = f"{expert.name} did better with {_size(division)} flips, split on s[{division.bit}]"
    scope = unchanged(expert, division)
    split = propose_split(
        table,
        identifier,
        division.bit,
        circuits=(circuits[0], circuits[1]),
        scope=scope,
        reason=reason,
        provenance=PROVENANCE,
    )
    if studied.window.config.each_lane or config.lanes == 1:
        return [split]
    both = joined(split.added[0].expert, split.added[1].expert)
    whole = replace(both, name=expert.name, circuit=simplify(both.circuit))
    entry = Entry(identifier, whole, is_findable(table, identifier))
    merged = Patch(Kind.REPLACE, "", "", reason, PROVENANCE, (identifier,), (entry,), scope=scope)
    return [split, drafted(table, merged)]


def _separating(bits: Bits, gains: NDArray[np.int64], own: Sequence[int], count: int) -> list[int]:
    """Other state bits whose two cases would gain most by inverting whole outputs."""
    ones = bits.astype(np.int64).T @ gains
    worth = (np.maximum(ones, 0) + np.maximum(gains.sum(axis=0) - ones, 0)).sum(axis=1)
    worth[bits.all(axis=0) | ~bits.any(axis=0)] = -1  # no two cases
    worth[list(own)] = -1
    order = np.argsort(-worth, kind="stable")[:count]
    return [int(bit) for bit in order if worth[bit] > 0]


def _chosen(
    laboratory: Laboratory,
    moments: Sequence[Moment],
    identifier: int,
    suspects: set[int],
    count: int,
) -> list[Moment]:
    """Steps in which an expert ran: the suspects, and others evenly spread."""
    ran = [moment for moment in moments if identifier in dict(laboratory.batch(moment))]
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


def _mean_gates(playback: Playback, table: ExpertTable) -> int:
    choices = [choice.expert for choice in playback.trace]
    sizes = {word: len(table.expert(word).circuit.gates) for word in set(choices)}
    return sum(sizes[word] for word in choices) // max(1, len(choices))


def _product(builder: CircuitBuilder, product: Product | list[int]) -> int:
    slot = builder.const(True)
    for i in product:
        slot = builder.and_(slot, i)
    return slot


def _size(division: Division) -> int:
    return sum(len(flip.products) for flips in division.flips for flip in flips)
