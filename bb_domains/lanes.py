"""Every call there could ever be, as a lane; which of them are admissible, two circuits at a time.

A lane is a tool with handle slots. The preconditions of all lanes are one circuit over atoms
gathered per lane, their effects are set and clear planes, and the invariants are one circuit over
the states that follow; so the cost does not grow with the number of tools but by 64 lanes a word.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bb_domains.calls import ToolTexts
from bb_domains.fluents import SELF
from bb_domains.layout import Layout
from bb_domains.logic import CompiledTool
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import evaluate
from bem_kernel.lanes import pack_bits, unpack_bits, words_for

_ONES = ~np.uint64(0)


@dataclass(frozen=True)
class Lane:
    """A call in terms of slots: what it needs bound, what it writes.

    Attributes:
        tool: name of the tool.
        slots: slot per handle argument, and of `self` if the tool binds an object.
        needs, forbids: bound bits that must be 1, and that must be 0.
        sets, clears: state bits that the step writes.
        uses: ordinals of the handles it is given.
    """

    tool: str
    slots: Mapping[str, int] = field(hash=False)
    needs: int
    forbids: int
    sets: int
    clears: int
    uses: int

    def apply(self, bits: int) -> int:
        """The state bits after the step."""
        return bits & ~self.clears | self.sets


def all_lanes(
    layout: Layout, tools: Mapping[str, CompiledTool], texts: Mapping[str, ToolTexts]
) -> tuple[Lane, ...]:
    """Every lane of a domain, tool after tool in declared order."""
    return tuple(
        lane
        for name, tool in tools.items()
        for lane in _tool_lanes(layout, name, tool, texts[name].n_keys)
    )


def _tool_lanes(
    layout: Layout, name: str, compiled: CompiledTool, n_keys: int | None
) -> Iterator[Lane]:
    """Lanes of one tool: no object is given twice, and no more are bound than there are keys."""
    ranges = [range(layout.slots[kind]) for kind in compiled.objects.values()]
    for values in itertools.product(*ranges):
        slots = dict(zip(compiled.objects, values, strict=True))
        given = [(h.object, slots[arg]) for arg, h in compiled.tool.handles.items()]
        if len(set(given)) < len(given):
            continue
        if compiled.tool.binds and n_keys is not None and slots[SELF] >= n_keys:
            continue
        yield _make_lane(layout, name, compiled, slots)


def _make_lane(layout: Layout, name: str, compiled: CompiledTool, slots: Mapping[str, int]) -> Lane:
    needs = uses = forbids = sets = clears = 0
    for arg, handle in compiled.tool.handles.items():
        uses |= 1 << layout.ordinal(handle.object, slots[arg])
        needs |= 1 << layout.bound_bit(handle.object, slots[arg])
    if compiled.tool.binds:
        kind, slot = compiled.tool.binds.object, slots[SELF]
        sets = forbids = 1 << layout.bound_bit(kind, slot)
        if slot:
            needs |= 1 << layout.bound_bit(kind, slot - 1)
    for effect in compiled.effects:
        bit = 1 << layout.bit(effect.atom, slots)
        if effect.value:
            sets |= bit
        else:
            clears |= bit
    return Lane(name, slots, needs, forbids, sets, clears, uses)


class Admission:
    """Which lanes are admissible in a state.

    Args:
        layout: the state bits.
        tools: the tools' logic.
        lanes: all lanes.
        violated: the invariant circuit.
    """

    def __init__(
        self,
        layout: Layout,
        tools: Mapping[str, CompiledTool],
        lanes: Sequence[Lane],
        violated: Circuit,
    ) -> None:
        self._n_bits, self._lanes, self._violated = layout.n_bits, lanes, violated
        self._n_atoms = max(len(tool.pre_atoms) for tool in tools.values())
        self._pre = _pre_circuit(tools, self._n_atoms)
        self._gather = _gather(layout, tools, lanes, self._n_atoms)
        n_planes = self._n_atoms + len(tools)
        self._selectors = np.zeros((n_planes, words_for(len(lanes))), dtype=np.uint64)
        chosen = np.array([[lane.tool == name for name in tools] for lane in lanes])
        self._selectors[self._n_atoms :] = pack_bits(chosen)
        self._sets = self._planes([lane.sets for lane in lanes])
        self._clears = self._planes([lane.clears for lane in lanes])

    def admissible(self, bits: int) -> tuple[int, ...]:
        """Lanes whose precondition and handles hold and after which no invariant is broken."""
        row = bit_row(bits, self._n_bits)
        holds = self._holds(row)
        if self._violated.gates:
            planes = np.where(row[:, None], _ONES, np.uint64(0))
            broken = evaluate(self._violated, (planes & ~self._clears) | self._sets)
            holds &= ~unpack_bits(broken, len(self._lanes))[:, 0]
        return tuple(
            i
            for i in np.flatnonzero(holds).tolist()
            if bits & self._lanes[i].needs == self._lanes[i].needs
            and not bits & self._lanes[i].forbids
        )

    def pre_holds(self, bits: int, lane: int) -> bool:
        """Whether a lane's precondition holds, whatever is bound."""
        return bool(self._holds(bit_row(bits, self._n_bits))[lane])

    def _holds(self, row: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(lanes,) bool: the preconditions in the state with these (bits,) bool."""
        planes = self._selectors.copy()
        if self._n_atoms:
            planes[: self._n_atoms] = pack_bits(row[self._gather])
        return unpack_bits(evaluate(self._pre, planes), len(self._lanes))[:, 0]

    def _planes(self, masks: Sequence[int]) -> NDArray[np.uint64]:
        """(bits, words) uint64: one mask of state bits per lane."""
        return pack_bits(np.array([bit_row(mask, self._n_bits) for mask in masks]))


def bit_row(bits: int, n_bits: int) -> NDArray[np.bool_]:
    """(n_bits,) bool of the low bits of an integer."""
    octets = np.frombuffer(bits.to_bytes((n_bits + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(octets, bitorder="little")[:n_bits].astype(np.bool_)


def _pre_circuit(tools: Mapping[str, CompiledTool], n_atoms: int) -> Circuit:
    """OR over tools of selector AND precondition; inputs are the atoms, then the selectors."""
    builder = CircuitBuilder(n_atoms + len(tools))
    holds = builder.const(False)
    for i, tool in enumerate(tools.values()):
        pre = builder.embed(tool.pre, range(len(tool.pre_atoms)))[0]
        holds = builder.or_(holds, builder.and_(n_atoms + i, pre))
    return builder.build([holds])


def _gather(
    layout: Layout, tools: Mapping[str, CompiledTool], lanes: Sequence[Lane], n_atoms: int
) -> NDArray[np.intp]:
    """(lanes, n_atoms) state bit of the k-th atom of each lane's precondition; 0 past its last."""
    table = np.zeros((len(lanes), n_atoms), dtype=np.intp)
    for i, lane in enumerate(lanes):
        for k, atom in enumerate(tools[lane.tool].pre_atoms):
            table[i, k] = layout.bit(atom, lane.slots)
    return table
