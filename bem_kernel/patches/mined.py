"""Invariants mined from runs: what always held, and what of it every expert keeps.

Candidates are what held in every state seen: bits with one value, and bits of which one implies
another. Those that some expert breaks are dropped until all that are left keep each other, which is
the largest such set (Houdini; Flanagan and Leino 2001). What is left is a proposal and no more:
an invariant binds all later patches, so whether it was meant is for people to say.

Source: BEM use 2.3 (new or refined invariants).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.errors import PatchError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.lanes import Bits, unpack_bits
from bem_kernel.patches.formula import Formula
from bem_kernel.patches.invariant import read_invariants
from bem_kernel.patches.patch import Invariant, Patch, Predicate
from bem_kernel.patches.propose import Provenance, propose_invariants
from bem_kernel.patches.replay import Playback
from bem_kernel.sat.check import Unsatisfiable, check

MOST_BITS = 24
"""Bits that candidates are about: those that experts write, the lowest first."""

_LEAST_ROWS = 16  # states in which an implication has to have said something
_PROVENANCE: Provenance = (("by", "mined"),)


def propose_mined(table: ExpertTable, playback: Playback, *, bits: Sequence[int] = ()) -> Patch:
    """An invariant patch of all that held in a run and that every expert keeps.

    Args:
        table: of the machine as it is; not changed.
        playback: of a run of it.
        bits: state bits to look at; none: those that experts write.

    Raises:
        PatchError: a bit does not exist, or nothing of the kind is left that the machine does not
            keep already.
        KernelError: the machine is damaged.
    """
    lanes = table.memory.config.lanes
    moments = [unpack_bits(moment.planes, lanes) for moment in playback.moments]
    now = unpack_bits(np.ascontiguousarray(table.memory.planes), lanes)
    about = list(bits) or _written(table)[:MOST_BITS]
    if not all(0 <= bit < now.shape[1] for bit in about):
        raise PatchError(
            f"bits {about}", where="mined invariants", fix=f"use state bits 0 to {now.shape[1] - 1}"
        )
    found = inductive(table, list(candidates(np.concatenate([*moments, now]), about)))
    if not found:
        raise PatchError(
            "nothing that held is kept by all experts",
            where="mined invariants",
            fix="name other bits, or leave the machine as it is",
        )
    reason = f"held in {len(moments)} steps, and no expert breaks it"
    return propose_invariants(table, found, reason=reason, provenance=_PROVENANCE)


def candidates(states: Bits, bits: Sequence[int]) -> Iterator[Invariant]:
    """What holds in all states, and is not about bits that are said to have one value.

    Args:
        states: (rows, N) bool.
        bits: state bits to look at.
    """
    free = []
    for bit in bits:
        column = states[:, bit]
        if column.all() or not column.any():
            yield _invariant(f"s{bit}" if column.all() else f"!s{bit}", (bit,))
        else:
            free.append(bit)
    for first, second in permutations(free, 2):
        a, b = states[:, first], states[:, second]
        implies, excludes = not (a & ~b).any(), not (a & b).any()
        if implies and min(a.sum(), (~b).sum()) >= _LEAST_ROWS:
            yield _invariant(f"!s{first} | s{second}", (first, second))
        if excludes and first < second and min(a.sum(), b.sum()) >= _LEAST_ROWS:
            yield _invariant(f"!s{first} | !s{second}", (first, second))


def inductive(table: ExpertTable, wanted: Sequence[Invariant]) -> tuple[Invariant, ...]:
    """The largest part of some invariants that every expert of a machine keeps together.

    Args:
        table: of the machine, whose own invariants are taken to hold.
        wanted: candidates.

    Raises:
        PatchError: the machine's invariants are damaged.
    """
    kept = read_invariants(table.memory)
    names = {each.name for each in kept}
    left = [each for each in wanted if each.name not in names]
    experts = [table.expert(word) for word in table]
    while True:
        holding = [each.holds for each in (*kept, *left)]
        broken = set()
        for expert in experts:
            for place, invariant in enumerate(left):
                formula = Formula((expert,), holding)
                for holds in holding:
                    formula.require(formula.holds(holds))
                effect = formula.effect(expert)
                after = -formula.holds(invariant.holds, effect)
                obligation = formula.asserting("", [[effect.applies], [after]])
                if not isinstance(check(obligation.cnf), Unsatisfiable):
                    broken.add(place)
        if not broken:
            return tuple(left)
        left = [each for place, each in enumerate(left) if place not in broken]


def _written(table: ExpertTable) -> list[int]:
    return sorted({bit for word in table for bit in table.expert(word).writes})


def _invariant(text: str, bits: tuple[int, ...]) -> Invariant:
    circuit = compile_expressions([text], [f"s{bit}" for bit in bits])
    return Invariant(text, Predicate(bits, circuit))
