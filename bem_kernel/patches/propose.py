"""Proposals: patches of the common kinds, made from a machine as it is.

Each is tried on a copy of the table, so that it says where it leads. None of them is believed: what
is claimed here, `verify` has to prove.

Source: BEM core spec 8.3, 8.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.gray import sim
from bem_kernel.identifiers.ident import LOCAL_BITS, decode, encode_words
from bem_kernel.patches.edits import perform
from bem_kernel.patches.fold import without_condition
from bem_kernel.patches.invariant import read_invariants
from bem_kernel.patches.patch import EVERYWHERE, Entry, Invariant, Kind, Patch, Scope
from bem_kernel.patches.region import Region
from bem_kernel.patches.structure import copied_table, structure_hash

Provenance = tuple[tuple[str, str], ...]

_NAME_ROOM = 48  # bytes of a parent's name in its children's; a bit and a value follow

OCTAVE_Q16 = 1 << 16
"""A charge that halves a weight."""


def drafted(table: ExpertTable, patch: Patch) -> Patch:
    """A patch with the hashes of the structures that it leads from and to.

    Raises:
        PatchError: it changes nothing, or cannot be performed.
        KernelError: an expert does not fit, or there is no room.
    """
    before = structure_hash(table)
    twin = copied_table(table)
    perform(twin, patch)
    after = structure_hash(twin)
    if before == after:
        raise PatchError(
            "changes nothing", where=f"{patch.kind.value} patch", fix="leave the machine as it is"
        )
    return replace(patch, before=before, after=after)


def propose_replace(
    table: ExpertTable,
    identifier: int,
    circuit: Circuit,
    *,
    scope: Scope = EVERYWHERE,
    reason: str,
    provenance: Provenance = (),
) -> Patch:
    """Give an expert another circuit.

    Args:
        table: of the machine.
        identifier: of the expert.
        circuit: of the same inputs and outputs.
        scope: where the two circuits agree.
        reason: why.
        provenance: from whom.

    Raises:
        KernelError: there is no such expert, or the circuit does not fit it.
    """
    old = table.expert(identifier)
    entry = Entry(identifier, replace(old, circuit=circuit), is_findable(table, identifier))
    patch = Patch(Kind.REPLACE, "", "", reason, provenance, (identifier,), (entry,), scope=scope)
    return drafted(table, patch)


def propose_split(
    table: ExpertTable,
    identifier: int,
    bit: int,
    *,
    circuits: tuple[Circuit, Circuit] | None = None,
    keep_charge_q16: int = 0,
    scope: Scope = EVERYWHERE,
    reason: str,
    provenance: Provenance = (),
) -> Patch:
    """Split an expert in two, one for each value of a state bit.

    The children lie as near to the parent's identifier as is free, so that the ANN unit finds them
    where it found the parent, and begin with its dual. A parent with a condition of its own has it
    folded into their circuits.

    Args:
        table: of the machine.
        identifier: of the parent.
        bit: any state bit.
        circuits: for 0 and 1, of the parent's inputs and outputs; None: the parent's own.
        keep_charge_q16: octaves to charge a parent that stays; 0: it goes.
        scope: where each child agrees with the parent.
        reason: why.
        provenance: from whom.

    Raises:
        KernelError: there is no such expert, the circuits do not fit it, or there is no room.
    """
    parent = table.expert(identifier)
    words = free_near(table, identifier, 2)
    entries = []
    for value, word in enumerate(words):
        circuit = parent.circuit if circuits is None else circuits[value]
        child = without_condition(replace(parent, circuit=circuit))
        short = parent.name.encode()[:_NAME_ROOM].decode(errors="ignore")
        name = f"{short}/{bit}={value}"
        gated = replace(child, name=name, condition=Condition(bit, bool(value)))
        entries.append(Entry(word, gated, is_findable(table, identifier), (identifier,)))
    patch = Patch(
        Kind.SPLIT,
        "",
        "",
        reason,
        provenance,
        () if keep_charge_q16 else (identifier,),
        tuple(entries),
        ((identifier, keep_charge_q16),) if keep_charge_q16 else (),
        scope=scope,
    )
    return drafted(table, patch)


def propose_merge(
    table: ExpertTable,
    identifiers: Sequence[int],
    expert: Expert,
    *,
    scope: Scope = EVERYWHERE,
    reason: str,
    provenance: Provenance = (),
) -> Patch:
    """Let one expert take the place of several; its identifier is near the first one's.

    Args:
        table: of the machine.
        identifiers: of two experts or more.
        expert: what it does, for instance one of them without its condition.
        scope: where it agrees with each of them.
        reason: why.
        provenance: from whom.

    Raises:
        KernelError: there is no such expert, or it does not fit.
    """
    old = tuple(identifiers)
    findable = any(is_findable(table, word) for word in old)
    entry = Entry(free_near(table, old[0], 1)[0], expert, findable, old)
    patch = Patch(Kind.MERGE, "", "", reason, provenance, old, (entry,), scope=scope)
    return drafted(table, patch)


def propose_retire(
    table: ExpertTable, identifiers: Sequence[int], *, reason: str, provenance: Provenance = ()
) -> Patch:
    """Take experts out.

    Raises:
        KernelError: there is no such expert.
    """
    return drafted(table, Patch(Kind.RETIRE, "", "", reason, provenance, tuple(identifiers)))


def propose_add(
    table: ExpertTable,
    expert: Expert,
    *,
    near: int | None = None,
    findable: bool = True,
    reason: str,
    provenance: Provenance = (),
) -> Patch:
    """Enter an expert.

    Args:
        table: of the machine.
        expert: any that fits.
        near: an identifier of class `expert`, near which it should lie; None: the first one's.
        findable: whether the ANN unit may find it.
        reason: why.
        provenance: from whom.

    Raises:
        KernelError: it does not fit, or there is no room.
    """
    first = int(encode_words(IdClass.EXPERT, np.zeros(1, np.int64), np.zeros(1, np.int64))[0])
    word = free_near(table, first if near is None else near, 1)[0]
    entry = Entry(word, expert, findable)
    return drafted(table, Patch(Kind.ADD, "", "", reason, provenance, added=(entry,)))


def propose_remap(
    table: ExpertTable, order: Sequence[int], *, reason: str, provenance: Provenance = ()
) -> Patch:
    """Move experts to slots 0, 1, 2 … in an order of their identifiers.

    Raises:
        PatchError: the order is not of the machine's experts, or is the present one.
    """
    return drafted(table, Patch(Kind.REMAP, "", "", reason, provenance, order=tuple(order)))


def propose_invariants(
    table: ExpertTable,
    invariants: Sequence[Invariant],
    *,
    reason: str,
    provenance: Provenance = (),
) -> Patch:
    """Let a machine keep more invariants than it does, or stronger ones.

    Args:
        table: of the machine.
        invariants: beside those of other names that it keeps.
        reason: why.
        provenance: from whom.

    Raises:
        KernelError: a bit does not exist, or there is no room.
    """
    names = {invariant.name for invariant in invariants}
    kept = [each for each in read_invariants(table.memory) if each.name not in names]
    both = (*kept, *invariants)
    return drafted(table, Patch(Kind.INVARIANT, "", "", reason, provenance, invariants=both))


def propose_region(
    table: ExpertTable,
    region: Region,
    *,
    scope: Scope = EVERYWHERE,
    reason: str,
    provenance: Provenance = (),
) -> Patch:
    """Replace instructions of the machine's program; see `region.difference` for two programs.

    Args:
        table: of the machine.
        region: what goes and what comes.
        scope: states in which the program may come to the region's start, beside what its
            annotation there says.
        reason: why.
        provenance: from whom.

    Raises:
        KernelError: the machine has no program, or what comes does not fit it.
    """
    patch = Patch(Kind.REGION, "", "", reason, provenance, scope=scope, region=region)
    return drafted(table, patch)


def is_findable(table: ExpertTable, identifier: int) -> bool:
    """Whether the ANN unit may find an expert.

    Raises:
        IdentifierError: there is none.
    """
    return bool(table.live[table.slots.slot(identifier)])


def free_near(table: ExpertTable, identifier: int, count: int) -> tuple[int, ...]:
    """The identifiers nearest to one, in its shard, that no expert has; of equals, the lowest.

    Raises:
        IdentifierError: the identifier is damaged.
        PatchError: the shard has too few.
    """
    shard = decode(identifier).identifier.shard
    locals_ = np.arange(1 << LOCAL_BITS)
    words = encode_words(IdClass.EXPERT, np.full_like(locals_, shard), locals_)
    free = words[~np.isin(words, table.slots.identifiers)]
    if len(free) < count:
        raise PatchError(f"shard {shard} is full", where="patch", fix="use another shard")
    distance = -sim(np.array([identifier], dtype=np.uint32), free).astype(np.int64).ravel()
    return tuple(int(word) for word in free[np.argsort(distance, kind="stable")[:count]])
