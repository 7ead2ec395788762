"""The control-flow graph of a program: basic blocks as nodes, and where control may go from each.

A block ends where control may leave the straight line. A RET may go on after any CALL. Blocks never
straddle a `.cfg` mark; one that starts 5 instructions after the mark `main` is `main.5`, one that
no mark covers `block.12`, by its first instruction.

Source: BEM core spec 2.4.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import LOCAL_BITS, Identifier, encode
from bem_kernel.isa.instructions import FORM, Instruction, Opcode, Operand
from bem_kernel.isa.program import Node, Program
from bem_kernel.memory.cfg import CfgNode, CfgTable
from bem_kernel.memory.memory import Memory

_NEVER_GO_ON = (Opcode.HALT, Opcode.JMP, Opcode.CALL, Opcode.RET, Opcode.TRAP)


def basic_blocks(program: Program) -> tuple[Node, ...]:
    """The blocks in order; together they are the whole code."""
    length = len(program.code)
    starts = {0} if length else set()
    for pc, instruction in enumerate(program.code):
        if _leaves(instruction):
            starts |= {pc + 1, instruction.imm} if _has_target(instruction) else {pc + 1}
    for node in program.nodes:
        starts |= {node.start, node.end}
    bounds = [*sorted(pc for pc in starts if pc < length), length]
    return tuple(Node(_block_name(program, start), start, end) for start, end in pairwise(bounds))


def _block_name(program: Program, start: int) -> str:
    before = bisect_right([node.start for node in program.nodes], start) - 1
    node = program.nodes[before] if before >= 0 else None
    if node is None or start >= node.end:
        return f"block.{start}"
    return node.name if start == node.start else f"{node.name}.{start - node.start}"


def control_flow(program: Program) -> tuple[CfgNode, ...]:
    """The blocks with identifiers of class CFG, by number of the block, and their successors."""
    blocks = basic_blocks(program)
    identifier = {block.start: block_identifier(i) for i, block in enumerate(blocks)}
    returns = {pc + 1 for pc, i in enumerate(program.code) if i.opcode is Opcode.CALL}
    nodes = []
    for block in blocks:
        after = sorted(following(program.code[block.end - 1], block.end, returns))
        successors = tuple(identifier[pc] for pc in after if pc in identifier)
        nodes.append(CfgNode(identifier[block.start], block.start, block.end, successors))
    return tuple(nodes)


def block_identifier(number: int) -> int:
    """The identifier of a block: shard and local part count through."""
    shard, local = divmod(number, 1 << LOCAL_BITS)
    return encode(Identifier(IdClass.CFG, shard, local))


def store_control_flow(program: Program, memory: Memory, name: str = "cfg") -> CfgTable:
    """Put the graph of a program into CODE.

    Raises:
        SegmentError: the memory has no room, or has a table of that name.
    """
    nodes = control_flow(program)
    edges = sum(len(node.successors) for node in nodes)
    table = CfgTable.create(memory, name, max(1, len(nodes)), edges)
    table.define(nodes, len(program.code))
    return table


def _has_target(instruction: Instruction) -> bool:
    return Operand.TARGET in FORM[instruction.opcode].operands


def _leaves(instruction: Instruction) -> bool:
    return _has_target(instruction) or instruction.opcode in _NEVER_GO_ON


def following(last: Instruction, end: int, returns: set[int]) -> set[int]:
    """Where control may go from the last instruction of a block.

    Args:
        last: the instruction; HALT goes nowhere.
        end: the instruction after it.
        returns: the instructions after CALLs.
    """
    found = {last.imm} if _has_target(last) else set()
    if last.opcode is Opcode.RET:
        found |= returns
    if last.opcode not in _NEVER_GO_ON:
        found.add(end)
    return found
