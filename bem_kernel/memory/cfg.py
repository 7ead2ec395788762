"""The control-flow graph in CODE: nodes that are ranges of instructions, and their successors.

A node owns the instructions from pc_start to pc_end - 1; no instruction has two owners. Rows of the
table are in order of pc_start, so the node of an instruction is found by bisection.

Source: BEM core spec 2.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import IdentifierError, ProgramError
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import checked
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.memory.slot_map import SlotMap

_NODES, _EDGES, _LENGTH = 0, 1, 2  # cells of the region "state"


@dataclass(frozen=True)
class CfgNode:
    """A node of the graph.

    Attributes:
        identifier: of class CFG.
        pc_start: its first instruction.
        pc_end: one past its last; more than pc_start.
        successors: identifiers of the nodes that may come next, each once.
    """

    identifier: int
    pc_start: int
    pc_end: int
    successors: tuple[int, ...] = ()


def gaps(nodes: Iterable[CfgNode], code_length: int) -> tuple[tuple[int, int], ...]:
    """The ranges (start, end) of instructions that belong to no node, end not included."""
    found, end = [], 0
    for node in sorted(nodes, key=lambda node: node.pc_start):
        if node.pc_start > end:
            found.append((end, node.pc_start))
        end = max(end, node.pc_end)
    if end < code_length:
        found.append((end, code_length))
    return tuple(found)


class CfgTable:
    """The graph of one program, in memory.

    Attributes:
        starts: (capacity,) int64, pc_start by row, for `cfg_kernels.row_at`.
        ends: (capacity,) int64, pc_end by row.
        state: (3,) int64: nodes, edges, instructions.

    Args:
        memory: where the table lies.
        name: as given to `create`.

    Raises:
        SegmentError: memory has no table of that name.
        IdentifierError: its slot map is damaged.
        ProgramError: the table is damaged.
    """

    def __init__(self, memory: Memory, name: str) -> None:
        self.where = f"cfg {name}"
        self.starts: NDArray[np.int64] = memory.region(Segment.CODE, f"{name}.starts")
        self.ends: NDArray[np.int64] = memory.region(Segment.CODE, f"{name}.ends")
        self.state: NDArray[np.int64] = memory.region(Segment.CODE, f"{name}.state")
        self._first_edge: NDArray[np.int64] = memory.region(Segment.CODE, f"{name}.first_edge")
        self._edges: NDArray[np.uint32] = memory.region(Segment.CODE, f"{name}.edges")
        self._slots = SlotMap(memory, name)
        self._check_stored()

    @classmethod
    def create(cls, memory: Memory, name: str, max_nodes: int, max_edges: int) -> CfgTable:
        """Make an empty table, with its slot map in SHARED under the same name.

        Raises:
            SegmentError: the name is taken, or a segment is full.
            IdentifierError: max_nodes is out of range.
        """
        SlotMap.create(memory, name, IdClass.CFG, max_nodes)
        for part, dtype, size in (
            ("starts", np.int64, max_nodes),
            ("ends", np.int64, max_nodes),
            ("first_edge", np.int64, max_nodes + 1),
            ("edges", np.uint32, max_edges),
            ("state", np.int64, 3),
        ):
            memory.allocate(Segment.CODE, f"{name}.{part}", dtype, (size,))
        return cls(memory, name)

    def __len__(self) -> int:
        return int(self.state[_NODES])

    @property
    def code_length(self) -> int:
        """Number of instructions of the program."""
        return int(self.state[_LENGTH])

    def define(self, nodes: Sequence[CfgNode], code_length: int, *, partial: bool = False) -> None:
        """Replace the whole graph, or leave it as it was.

        Args:
            nodes: in any order.
            code_length: instructions of the program.
            partial: allow instructions that belong to no node.

        Raises:
            IdentifierError: an identifier is damaged or not of class CFG.
            ProgramError: nodes overlap, are empty, repeat, leave instructions out or have unknown
                successors, or the table is too small.
        """
        ordered = sorted(nodes, key=lambda node: node.pc_start)
        self._check(ordered, code_length, partial)
        for word in self._slots.identifiers[self._slots.identifiers != 0].tolist():
            self._slots.free(word)
        keys = np.zeros(self._slots.capacity, dtype=np.int64)
        for node in ordered:
            keys[self._slots.allocate(node.identifier)] = node.pc_start
        self._slots.rebalance(keys)  # slots are rows, in order of pc_start
        edge = 0
        for row, node in enumerate(ordered):
            self.starts[row], self.ends[row] = node.pc_start, node.pc_end
            self._first_edge[row] = edge
            following = edge + len(node.successors)
            self._edges[edge:following] = node.successors
            edge = following
        self._first_edge[len(ordered)] = edge
        self.state[:] = (len(ordered), edge, code_length)

    def node(self, identifier: int) -> CfgNode:
        """A node by its identifier.

        Raises:
            IdentifierError: there is none.
        """
        return self._node(self._slots.slot(identifier))

    def nodes(self) -> tuple[CfgNode, ...]:
        """All nodes, in order of pc_start."""
        return tuple(self._node(row) for row in range(len(self)))

    def at(self, pc: int) -> int | None:
        """The identifier of the node that an instruction belongs to; None if of none."""
        row = int(np.searchsorted(self.starts[: len(self)], pc, side="right")) - 1
        if row < 0 or pc >= self.ends[row]:
            return None
        return int(self._slots.identifiers[row])

    def allows(self, pc: int, next_pc: int) -> bool:
        """Whether control may go from one instruction to the next one executed.

        Inside a node that is the following instruction only; from a node's last instruction, the
        first one of a successor.
        """
        source, target = self.at(pc), self.at(next_pc)
        if source is None or target is None:
            return False
        node = self.node(source)
        if pc + 1 < node.pc_end:
            return next_pc == pc + 1
        return target in node.successors and next_pc == self.node(target).pc_start

    def _node(self, row: int) -> CfgNode:
        edges = self._edges[self._first_edge[row] : self._first_edge[row + 1]]
        return CfgNode(
            int(self._slots.identifiers[row]),
            int(self.starts[row]),
            int(self.ends[row]),
            tuple(edges.tolist()),
        )

    def _check(self, ordered: Sequence[CfgNode], code_length: int, partial: bool) -> None:
        """Refuse a graph that does not hold together or does not fit."""
        n_edges = sum(len(node.successors) for node in ordered)
        room = self._slots.capacity, len(self._edges)
        if len(ordered) > room[0] or n_edges > room[1]:
            raise self._refused(
                f"{len(ordered)} nodes and {n_edges} edges",
                f"make a table for more than {room[0]} and {room[1]}",
            )
        known = {node.identifier for node in ordered}
        if len(known) < len(ordered):
            raise self._refused("two nodes have one identifier", "give each node its own")
        end, last = 0, ""
        for node in ordered:
            self._check_node(node, known, code_length)
            label = f"{node.identifier:#010x}"
            if node.pc_start < end:
                raise self._refused(
                    f"nodes {last} and {label} share instruction {node.pc_start}",
                    "give each instruction to one node",
                )
            end, last = node.pc_end, label
        missing = () if partial else gaps(ordered, code_length)
        if missing:
            first, beyond = missing[0]
            raise self._refused(
                f"instructions {first} to {beyond - 1} belong to no node", "add a node for them"
            )

    def _check_node(self, node: CfgNode, known: set[int], code_length: int) -> None:
        if checked(node.identifier, self.where).class_ != IdClass.CFG:
            raise IdentifierError(
                f"{node.identifier:#010x} is of another class",
                where=self.where,
                fix=f"use class {IdClass.CFG.value}",
            )
        label = f"node {node.identifier:#010x}"
        if not 0 <= node.pc_start < node.pc_end <= code_length:
            raise self._refused(
                f"{label} is from {node.pc_start} to {node.pc_end} of {code_length} instructions",
                "give it one instruction or more",
            )
        if len(set(node.successors)) < len(node.successors):
            raise self._refused(f"{label} names a successor twice", "name it once")
        for successor in node.successors:
            if successor not in known:
                raise self._refused(
                    f"{label} has the unknown successor {successor:#x}", "add that node"
                )

    def _check_stored(self) -> None:
        """Refuse regions that `define` would not have made, for instance from a foreign image."""
        count, n_edges, length = (int(cell) for cell in self.state)
        shapes = (self.starts.shape, self.ends.shape, self._first_edge[1:].shape)
        fits = all(shape == (self._slots.capacity,) for shape in shapes)
        if not fits or count != len(self._slots) or not 0 <= n_edges <= len(self._edges):
            raise self._refused("the table is damaged", "load another image of the memory")
        firsts = self._first_edge[: count + 1]
        rising = (np.diff(firsts) >= 0).all() and (np.diff(self.starts[:count]) > 0).all()
        if not rising or firsts[0] != 0 or firsts[-1] != n_edges:
            raise self._refused("the table is damaged", "load another image of the memory")
        self._check(self.nodes(), length, partial=True)

    def _refused(self, what: str, fix: str) -> ProgramError:
        return ProgramError(what, where=self.where, fix=fix)
