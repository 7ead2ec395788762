"""The two interpreters agree on random programs; words, text and records give programs back."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.errors import ProgramError
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.place import Field, Place, Scatter, Space, shared_bit
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.encoding import check_instruction, decode, encode, used_fields
from bem_kernel.isa.instructions import FORM, Instruction, Opcode, Operand
from bem_kernel.isa.instructions import Space as AddressSpace
from bem_kernel.isa.machine import Machine
from bem_kernel.isa.program import Data, HostPort, Node, Program
from bem_kernel.isa.record import program_from_record, program_record
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory

N_BITS, N_PORTS, N_EXPERTS = 6, 2, 4
SMALL = (-3, -1, 0, 1, 2, 3, 5, 17, 63, 64)
LARGE = (-(1 << 31), (1 << 31) - 1, 0x1234_5678)
DATA_WORDS = (0, 1, (1 << 64) - 1, 1 << 63, 7 << 48, 8 << 48, 64, 5)


def random_instruction(rng: Random, length: int) -> Instruction:
    """Any instruction, with operands that often mean something."""
    opcode = rng.choice(list(Opcode))
    fields: dict[str, Any] = {}
    for name in used_fields(opcode):
        match name:
            case "rd" | "ra" | "rb":
                fields[name] = rng.choice((0, 1, 2, 3, 4, 31))
            case "imm":
                fields[name] = rng.choice(SMALL if rng.random() < 0.9 else LARGE)
            case "shift":
                fields[name] = rng.choice((0, 1, 16, 32, 63))
            case "count":
                fields[name] = rng.choice((1, 2, 3, 32))
            case "bit":
                fields[name] = rng.randrange(N_BITS)
            case "space":
                fields[name] = rng.choice([*AddressSpace, *[AddressSpace.DATA] * 6])
            case "text":
                fields[name] = rng.choice(("", "a", 'b "quoted" #', "ü\n"))
    kinds = FORM[opcode].operands
    if Operand.TARGET in kinds:
        fields["imm"] = rng.randrange(length + 1)
    elif Operand.EXPERT in kinds:
        fields["imm"] = rng.randrange(N_EXPERTS)
    elif Operand.AMOUNT in kinds:
        fields["imm"] = rng.randrange(64)
    elif fields.get("space") is AddressSpace.HOST:
        fields["imm"] = rng.choice((0, 1, 16, 17, 31, 3))
    return Instruction(opcode, **fields)


def random_experts(rng: Random) -> tuple[Expert, ...]:
    """Two on the state, one with a condition, one on shared memory at a computed address."""
    experts = []
    for i in range(N_EXPERTS - 1):
        circuit = random_circuit(rng, rng.randrange(4), rng.randrange(1, 8), rng.randrange(3))
        reads = tuple(rng.randrange(N_BITS) for _ in range(circuit.n_inputs))
        writes = tuple(rng.sample(range(N_BITS), circuit.n_outputs))
        condition = Condition(rng.randrange(N_BITS), rng.random() < 0.5) if i == 2 else None
        experts.append(Expert(f"e{i}", reads, circuit, writes, condition=condition))
    circuit = random_circuit(rng, 3, 5, 3)
    computed = Place(Space.SHARED, 60, ((Field(0, 3), 40),))  # beyond M for fields above 4
    experts.append(
        Expert("m", (0,), circuit, (1,), (shared_bit(2), computed), (Scatter(computed),) * 2)
    )
    return tuple(experts)


def random_program(rng: Random) -> Program:
    length = rng.randrange(1, 25)
    code = tuple(random_instruction(rng, length) for _ in range(length))
    data = (Data("a", DATA_WORDS), Data("b", (0,) * 8))
    ports = (HostPort("p", (0, 3)), HostPort("q"))
    return Program(("b0", "b1", "b2", "b3", "b4", "b5"), random_experts(rng), ports, code, data)


def ran(program: Program, lanes: int, interpreter: Any, seed: int) -> tuple[object, ...]:
    """Everything a run leaves behind."""
    memory = Memory(
        MachineConfig(
            n_bits=N_BITS,
            n_shared_bits=256,
            n_parameters=4,
            lanes=lanes,
            max_experts=1,
            shared_words=128,
            expert_words=8,
            code_words=256,
            trace_words=8,
            proof_words=8,
            teach_words=0,
        )
    )
    rng = np.random.default_rng(seed)
    memory.planes[:] = rng.integers(0, 1 << 64, memory.planes.shape, dtype=np.uint64)
    memory.shared_bits[:] = rng.integers(0, 1 << 64, memory.shared_bits.shape, dtype=np.uint64)
    heard: list[object] = []

    def answer(call: Any) -> list[int]:
        heard.append((call.argument, call.mailbox.tolist()))
        call.mailbox[0] = call.argument + 1 if call.argument < 100 else 7
        return [1, 0]

    machine = Machine(
        program,
        host={"p": answer, "q": lambda _: []},
        lanes=lanes,
        memory=memory,
        log=lambda pc, text: heard.append((pc, text)),
        interpreter=interpreter,
    )
    for number, value in ((1, 2), (2, -5), (3, 7 << 48), (4, 1)):
        machine.set_register(number, value)
    result = machine.run(200)
    if result.trap is not None:
        assert result.trap.kind.name in FORM[program.code[result.pc].opcode].traps
    trap = None if result.trap is None else (str(result.trap), result.trap.lanes.tolist())
    ended = (result.registers, result.pc, result.halted, trap, result.steps)
    return (*ended, memory.arrays.words.tolist(), heard)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from((1, 64, 100, 4200)))
def test_both_interpreters_do_the_same(seed: int, lanes: int) -> None:
    program = random_program(Random(seed))
    assert ran(program, lanes, "compiled", seed) == ran(program, lanes, "plain", seed)


@pytest.mark.slow
def test_both_interpreters_do_the_same_on_ten_thousand_programs() -> None:
    for seed in range(10_000):
        program = random_program(Random(seed))
        lanes = (1, 64, 100, 4200)[seed % 4]
        assert ran(program, lanes, "compiled", seed) == ran(program, lanes, "plain", seed), seed


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_words_give_instructions_back(seed: int) -> None:
    rng = Random(seed)
    instruction = random_instruction(rng, 9)
    texts = ("", "a", 'b "quoted" #', "ü\n")
    word = encode(instruction, {text: i for i, text in enumerate(texts)})
    assert decode(word, texts) == instruction
    for flipped in (word ^ 1 << bit for bit in range(64)):
        try:
            other = decode(flipped, texts)
            check_instruction(other, "test")
        except ProgramError:
            continue
        assert encode(other, {text: i for i, text in enumerate(texts)}) == flipped


@settings(max_examples=40)
@given(st.integers(0, 1 << 32))
def test_text_and_record_give_programs_back(seed: int) -> None:
    program = random_program(Random(seed))
    length = len(program.code)
    nodes = (Node("start", 0, 1), Node("rest", 1 + seed % 2, length))
    if 1 + seed % 2 < length:
        program = replace(program, nodes=nodes)
    assert assemble(disassemble(program)) == program
    assert program_from_record(program_record(program)) == program
