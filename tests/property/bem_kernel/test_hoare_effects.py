"""What the table of effects says is what the machine does, instruction by instruction."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.place import Field, Place, Scatter, shared_bit
from bem_kernel.experts.place import Space as Bits
from bem_kernel.hoare.effects import EFFECTS, effect, weakest_precondition
from bem_kernel.hoare.moment import Branch, Effect, Moment
from bem_kernel.hoare.state import exact_state, layout_of
from bem_kernel.hoare.words import WordBuilder
from bem_kernel.isa.encoding import used_fields
from bem_kernel.isa.instructions import (
    FORM,
    MAILBOX_WORDS,
    Instruction,
    Opcode,
    Operand,
    Space,
)
from bem_kernel.isa.machine import Machine
from bem_kernel.isa.program import Data, HostPort, Program

N_BITS, LENGTH = 5, 4
NUMBERS = (0, 1, 2, 3, 5, 8, 63, 64, -1, -3, 1 << 31, (1 << 63) - 1, -(1 << 63), 0x1234_5678_9ABC)
ADDRESSES = (0, 1, 2, 7 << 48, (7 << 48) + 2, 1 << 48, 3 << 48, 8 << 48, (8 << 48) + 17, 9 << 48)
OUTSIDE = [op for op in Opcode if op.name.startswith("BEM_") and not op.name.endswith("_STATE")]
INSIDE = [op for op in Opcode if op not in OUTSIDE]


def experts(rng: Random) -> tuple[Expert, ...]:
    circuit = random_circuit(rng, 3, 6, 2)
    plain = Expert("e", (0, 1, 2), circuit, (3, 0), condition=Condition(4, rng.random() < 0.5))
    computed = Place(Bits.SHARED, 60, ((Field(0, 3), rng.choice((40, 1, -20))),))
    moving = Place(Bits.STATE, 1, ((Field(1, 2), 1),))
    circuit = random_circuit(rng, 3, 6, 4)
    reads = (shared_bit(2), computed)
    scatters = (Scatter(computed, 0), Scatter(moving), Scatter(shared_bit(63)))
    return plain, Expert("m", (0,), circuit, (1,), reads, scatters)


def random_instruction(rng: Random, opcode: Opcode) -> Instruction:
    fields: dict[str, Any] = {}
    for name in used_fields(opcode):
        match name:
            case "rd" | "ra" | "rb":
                fields[name] = rng.randrange(5)
            case "imm":
                fields[name] = rng.choice((0, 1, 2, 3, 4, -1, 17, 100, -(1 << 31)))
            case "shift":
                fields[name] = rng.choice((0, 1, 32, 63))
            case "count":
                fields[name] = rng.choice((1, 1, 2, 3))
            case "bit":
                fields[name] = rng.randrange(N_BITS)
            case "space":
                fields[name] = rng.choice([*Space, *[Space.DATA, Space.ANY, Space.SHARED] * 2])
            case _:
                pass
    kinds = FORM[opcode].operands
    if Operand.TARGET in kinds:
        fields["imm"] = rng.randrange(LENGTH + 1)
    elif Operand.EXPERT in kinds:
        fields["imm"] = rng.randrange(2)
    elif Operand.AMOUNT in kinds:
        fields["imm"] = rng.randrange(64)
    elif fields.get("space") is Space.HOST:
        fields["imm"] = rng.choice((0, 1, 2, 17, 16, 40))
    return Instruction(opcode, **fields)


def random_machine(rng: Random, instruction: Instruction) -> Machine:
    code = (instruction, *[Instruction(Opcode.HALT)] * (LENGTH - 1))
    bits = tuple(f"b{i}" for i in range(N_BITS))
    data = (Data("d", (1, 2, 3)), Data("e", (4,)))
    ports = (HostPort("p", (1,)), HostPort("q", (2, 3)))
    program = Program(bits, experts(rng), ports, code, data)
    host = {"p": lambda _: [1], "q": lambda _: [0, 1]}
    machine = Machine(program, host=host, interpreter="plain")
    for i in range(1, 5):
        machine.set_register(i, rng.choice(ADDRESSES if rng.random() < 0.4 else NUMBERS))
    words = machine.memory.arrays.words
    for name in ("d", "e"):
        for place in layout_of(program).data(name):
            words[place] = np.uint64(rng.choice(NUMBERS) % (1 << 64))
    machine.memory.shared_bits[0] = np.uint64(rng.getrandbits(64))
    for bit in range(N_BITS):
        machine.memory.planes[bit] = np.uint64(rng.getrandbits(1))
    return machine


def taken(builder: WordBuilder, done: Effect) -> Branch | None:
    """The branch whose guard is the constant 1, of constants."""
    assert all(b.guard in (builder.zero, builder.one) for b in done.branches)
    found = [b for b in done.branches if b.guard == builder.one]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("opcode", INSIDE)
def test_effects_are_what_the_machine_does(opcode: Opcode) -> None:
    rng, trapped, went = Random(int(opcode)), 0, 0
    for _ in range(150 if opcode.name.endswith("_STATE") else 30):
        instruction = random_instruction(rng, opcode)
        machine = random_machine(rng, instruction)
        calls = tuple(rng.randrange(LENGTH + 1) for _ in range(rng.choice((0, 1, 64))))
        machine.go_to(0, calls)
        layout, builder = layout_of(machine.program), WordBuilder()
        done = effect(Moment(builder, layout, 0, calls, exact_state(builder, layout, machine)))
        trap = machine.run(1).trap
        traps = {stop for stop, guard in done.traps.items() if guard == builder.one}
        assert traps == (set() if trap is None else {trap.kind}), (instruction, trap)
        branch = taken(builder, done)
        trapped += trap is not None
        if trap is not None:
            assert branch is None
            continue
        went += 1
        assert branch is not None
        assert branch.pc == machine.pc, instruction
        after = exact_state(builder, layout, machine)
        chosen = set() if branch.choice is None else set(branch.choice.words)
        assert branch.state.registers == after.registers, instruction
        for place, word in after.words.items():
            if place not in chosen:
                assert branch.state.words[place] == word, (instruction, place)
            else:  # the host's answer is one of those that are allowed for
                assert any(
                    slot not in (builder.zero, builder.one) for slot in branch.state.words[place]
                )
    assert went or opcode in (Opcode.TRAP,)
    assert trapped or not FORM[opcode].traps


def test_every_instruction_has_an_effect() -> None:
    assert set(EFFECTS) == set(Opcode)
    for opcode in OUTSIDE:
        rng = Random(int(opcode))
        machine = random_machine(rng, random_instruction(rng, opcode))
        builder, layout = WordBuilder(), layout_of(machine.program)
        done = effect(Moment(builder, layout, 0, (), exact_state(builder, layout, machine)))
        assert {stop.name for stop in done.traps} == set(FORM[opcode].traps)
        assert [branch.pc for branch in done.branches] == [1]


def test_a_doorbell_may_answer_anything_in_its_own_window() -> None:
    rng = Random(0)
    ring = Instruction(Opcode.ST, rd=1, space=Space.HOST, imm=MAILBOX_WORDS)
    machine = random_machine(rng, ring)
    machine.set_register(1, 5)
    builder, layout = WordBuilder(), layout_of(machine.program)
    before = exact_state(builder, layout, machine)
    (branch,) = effect(Moment(builder, layout, 0, (), before)).branches
    changed = {p for p, word in branch.state.words.items() if word != before.words[p]}
    window = layout.bases[Space.HOST] + MAILBOX_WORDS
    assert changed == {*range(window, window + 16), layout.plane(2), layout.plane(3)}
    assert branch.state.words[window] == builder.constant(5)


def test_the_weakest_precondition_of_an_assignment_is_substitution() -> None:
    rng = Random(0)
    machine = random_machine(rng, Instruction(Opcode.ADD_I, rd=2, ra=1, imm=3))
    layout = layout_of(machine.program)
    for value in (-3, 0, 4, 5):
        machine.set_register(1, value)
        builder = WordBuilder()
        moment = Moment(builder, layout, 0, (), exact_state(builder, layout, machine))

        def after(b: WordBuilder, state: Any) -> int:
            return b.less(state.registers[2], b.constant(8))

        assert weakest_precondition(moment, after) == builder.constant(int(value + 3 < 8))[0]


def test_the_weakest_precondition_forbids_traps() -> None:
    rng = Random(0)
    machine = random_machine(rng, Instruction(Opcode.LD, rd=2, ra=1, imm=0, space=Space.DATA))
    layout = layout_of(machine.program)
    for value in (-1, 0, 3, 4):
        machine.set_register(1, value)
        builder = WordBuilder()
        moment = Moment(builder, layout, 0, (), exact_state(builder, layout, machine))
        holds = weakest_precondition(moment, lambda b, _: b.one)
        assert holds == (builder.one if 0 <= value <= 3 else builder.zero)
