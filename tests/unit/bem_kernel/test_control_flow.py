"""Basic blocks and where control may go from them."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import decode
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.control_flow import (
    basic_blocks,
    block_identifier,
    control_flow,
    store_control_flow,
)
from bem_kernel.isa.instructions import Instruction, Opcode
from bem_kernel.isa.machine import Machine
from bem_kernel.isa.program import Program
from bem_kernel.isa.trace import trace
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory

TEXT = """
  SET r1, 2
.cfg main
loop:
  CALL twice
  SUB r1, r1, 1
  JNZ r1, loop
  JMP end
.cfg
  TRAP "never"
.cfg twice
twice:
  ADD r2, r2, r2
  RET
end:
"""


def test_blocks_and_edges() -> None:
    program = assemble(TEXT)
    blocks = {block.name: (block.start, block.end) for block in basic_blocks(program)}
    assert blocks == {
        "block.0": (0, 1),
        "main": (1, 2),
        "main.1": (2, 4),
        "main.3": (4, 5),
        "block.5": (5, 6),
        "twice": (6, 8),
    }
    names = {block_identifier(i): name for i, name in enumerate(blocks)}
    edges = {
        names[node.identifier]: [names[word] for word in node.successors]
        for node in control_flow(program)
    }
    assert edges == {
        "block.0": ["main"],
        "main": ["twice"],
        "main.1": ["main", "main.3"],
        "main.3": [],
        "block.5": [],
        "twice": ["main.1"],
    }


def test_identifiers_count_through_the_shards() -> None:
    for number in (0, 16383, 16384, 99_999):
        fields = decode(block_identifier(number)).identifier
        assert (fields.class_, fields.shard << 14 | fields.local) == (IdClass.CFG, number)


def test_the_empty_program_has_no_blocks() -> None:
    assert control_flow(assemble("")) == ()
    assert len(store_control_flow(assemble(""), Memory(MachineConfig()))) == 0


def random_program(rng: Random) -> Program:
    length = rng.randrange(2, 30)
    kinds = (Opcode.JMP, Opcode.JZ, Opcode.JNZ, Opcode.CALL, Opcode.RET, Opcode.ADD_I, Opcode.NOT)
    code = []
    for _ in range(length):
        opcode = rng.choice(kinds)
        fields = {"imm": rng.randrange(length + 1)} if opcode not in kinds[4::2] else {}
        if opcode in (Opcode.JZ, Opcode.JNZ, Opcode.ADD_I, Opcode.NOT):
            fields["ra"] = rng.randrange(3)
        if opcode in (Opcode.ADD_I, Opcode.NOT):
            fields["rd"] = rng.randrange(3)
        code.append(Instruction(opcode, **fields))
    return Program((), code=tuple(code))


def test_programs_go_where_the_graph_says() -> None:
    moves = 0
    for seed in range(150):
        program = random_program(Random(seed))
        table = store_control_flow(program, Memory(MachineConfig(max_experts=1)))
        assert [node.identifier for node in table.nodes()] == [
            node.identifier for node in control_flow(program)
        ]
        pcs = [step.pc for step in trace(Machine(program, interpreter="plain"), 60)]
        for before, after in pairwise(pcs):
            assert table.allows(before, after), (seed, before, after)
            moves += before + 1 != after
    assert moves > 500
