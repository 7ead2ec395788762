"""CFG tables: nodes, successors, look-up by instruction, and graphs that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bem_kernel.errors import IdentifierError, KernelError, ProgramError, SegmentError
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import Identifier, encode
from bem_kernel.memory.cfg import CfgNode, CfgTable, gaps
from bem_kernel.memory.cfg_kernels import NO_NODE, row_at
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image, save_image
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

A, B, C, D = (encode(Identifier(IdClass.CFG, 0, local)) for local in (30, 10, 20, 5))
LOOP = (
    CfgNode(B, 2, 5, (C, A)),
    CfgNode(A, 0, 2, (B,)),
    CfgNode(C, 5, 9, ()),
)


@pytest.fixture
def memory() -> Memory:
    return Memory(MachineConfig())


@pytest.fixture
def table(memory: Memory) -> CfgTable:
    return CfgTable.create(memory, "main", max_nodes=4, max_edges=6)


def test_nodes_come_back_in_order(table: CfgTable) -> None:
    table.define(LOOP, 9)
    assert table.nodes() == (LOOP[1], LOOP[0], LOOP[2])
    assert table.node(B) == LOOP[0]
    assert (len(table), table.code_length) == (3, 9)
    with pytest.raises(IdentifierError, match="has no slot"):
        table.node(D)


def test_every_instruction_has_its_node_or_none(table: CfgTable) -> None:
    nodes = (CfgNode(A, 1, 3), CfgNode(B, 3, 4, (D,)), CfgNode(D, 6, 8))
    table.define(nodes, 10, partial=True)
    owners = [None, A, A, B, None, None, D, D, None, None]
    assert [table.at(pc) for pc in range(-1, 11)] == [None, *owners, None]
    rows = [row_at(table.starts, table.ends, len(table), pc) for pc in range(-1, 11)]
    row_of = {None: NO_NODE, A: 0, B: 1, D: 2}
    assert rows == [NO_NODE, *(row_of[owner] for owner in owners), NO_NODE]
    assert row_at(table.starts, table.ends, 0, 1) == NO_NODE


def test_control_follows_edges_from_last_to_first_instructions(table: CfgTable) -> None:
    table.define(LOOP, 9)
    moves = {(pc, to) for pc in range(-1, 10) for to in range(-1, 10) if table.allows(pc, to)}
    inside = {(0, 1), (2, 3), (3, 4), (5, 6), (6, 7), (7, 8)}
    assert moves == inside | {(1, 2), (4, 5), (4, 0)}


def test_a_new_graph_replaces_the_old_one(table: CfgTable) -> None:
    table.define(LOOP, 9)
    table.define((CfgNode(D, 0, 3, (D,)),), 3)
    assert table.nodes() == (CfgNode(D, 0, 3, (D,)),)
    assert table.at(5) is None
    with pytest.raises(IdentifierError, match="has no slot"):
        table.node(A)
    table.define((), 0)
    assert table.nodes() == ()
    table.define(LOOP, 9)
    assert table.at(4) == B


CONCEPT = encode(Identifier(IdClass.CONCEPT, 0, 1))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((CfgNode(A, 0, 2), CfgNode(B, 1, 9)), r"nodes 0x.* and 0x.* share instruction 1; give"),
        ((CfgNode(A, 0, 4), CfgNode(B, 6, 9)), r"instructions 4 to 5 belong to no node; add"),
        ((CfgNode(A, 2, 9),), "instructions 0 to 1 belong to no node"),
        ((CfgNode(A, 0, 8),), "instructions 8 to 8 belong to no node"),
        ((), "instructions 0 to 8 belong to no node"),
        ((CfgNode(A, 0, 0), CfgNode(B, 0, 9)), "is from 0 to 0 of 9 instructions; give it one"),
        ((CfgNode(A, 0, 10),), "is from 0 to 10 of 9 instructions"),
        ((CfgNode(A, -1, 9),), "is from -1 to 9 of 9"),
        ((CfgNode(A, 0, 4), CfgNode(A, 4, 9)), "two nodes have one identifier"),
        ((CfgNode(A, 0, 9, (B,)),), r"node 0x.* has the unknown successor 0x.*; add that node"),
        ((CfgNode(A, 0, 9, (A, A)),), "names a successor twice; name it once"),
        ((CfgNode(CONCEPT, 0, 9),), "is of another class; use class 3"),
        ((CfgNode(A ^ 1, 0, 9),), "is no identifier; make identifiers with"),
        (
            tuple(CfgNode(encode(Identifier(IdClass.CFG, 1, i)), i, i + 1) for i in range(9)),
            "9 nodes and 0 edges; make a table for more than 4 and 6",
        ),
    ],
)
def test_graphs_that_do_not_hold_together_leave_the_old_one(
    table: CfgTable, nodes: tuple[CfgNode, ...], message: str
) -> None:
    table.define(LOOP, 9)
    with pytest.raises(KernelError, match=f"cfg main: .*{message}"):
        table.define(nodes, 9)
    assert table.nodes() == (LOOP[1], LOOP[0], LOOP[2])


def test_gaps_are_found() -> None:
    assert gaps((), 0) == ()
    assert gaps((), 3) == ((0, 3),)
    assert gaps((CfgNode(B, 6, 7), CfgNode(A, 1, 4)), 7) == ((0, 1), (4, 6))


def test_programs_may_read_and_not_write_the_table(memory: Memory, table: CfgTable) -> None:
    table.define(LOOP, 9)
    address = memory.address(Segment.CODE, "main.starts")
    assert [memory.load(address + row) for row in range(3)] == [0, 2, 5]
    with pytest.raises(SegmentError, match="of CODE is read-only"):
        memory.store(address, 1)


def test_it_comes_back_from_an_image(memory: Memory, table: CfgTable, tmp_path: Path) -> None:
    table.define(LOOP, 9)
    save_image(memory, tmp_path / "image")
    assert CfgTable(load_image(tmp_path / "image"), "main").nodes() == table.nodes()


@pytest.mark.parametrize(
    ("part", "index", "value"),
    [
        ("state", 0, 2),
        ("state", 0, -1),
        ("state", 1, 99),
        ("state", 2, 4),
        ("starts", 1, 0),
        ("starts", 2, 1 << 62),
        ("ends", 0, 3),
        ("first_edge", 1, 99),
        ("first_edge", 0, -3),
        ("edges", 0, 12345),
    ],
)
def test_a_damaged_table_is_refused(
    memory: Memory, table: CfgTable, part: str, index: int, value: int
) -> None:
    table.define(LOOP, 9)
    memory.region(Segment.CODE, f"main.{part}")[index] = value
    with pytest.raises(ProgramError, match="cfg main: "):
        CfgTable(memory, "main")


def test_row_at_is_searchsorted() -> None:
    rng = np.random.default_rng(1)
    starts = np.unique(rng.integers(0, 1000, 200)).astype(np.int64)
    ends = np.append(starts[1:], 1000).astype(np.int64)
    for pc in range(-3, 1003):
        row = int(np.searchsorted(starts, pc, side="right")) - 1
        found = row_at(starts, ends, len(starts), pc)
        assert found == (row if row >= 0 and pc < ends[row] else NO_NODE)
