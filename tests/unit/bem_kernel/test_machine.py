"""Programs are checked when made; the machine runs them lane by lane."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bem_kernel.errors import MachineError, ProgramError, ShapeError
from bem_kernel.experts.expert import Expert, expert_from_expressions
from bem_kernel.isa import instructions as isa
from bem_kernel.isa.core import Stop
from bem_kernel.isa.instructions import Instruction, Opcode
from bem_kernel.isa.machine import HostCall, Machine, initial_state
from bem_kernel.isa.program import HostPort, Program, bit_numbers
from bem_kernel.lanes import Planes, pack_bits, pack_lanes, unpack_lanes

BITS = ("go", "done", "bad")
NUMBER = {name: i for i, name in enumerate(BITS)}


def expert(name: str, **assignments: str) -> Expert:
    return expert_from_expressions(name, assignments, NUMBER)


FINISH = expert("finish", done="go", bad="!go")


def test_experts_then_halt() -> None:
    program = Program(BITS, (FINISH,), (), (isa.expert(0), isa.halt(), isa.expert(0)))
    machine = Machine(program, pack_bits(np.array([[True, False, False]])))
    result = machine.run(fuel=10)
    assert (result.halted, result.trap, result.pc, result.steps) == (True, None, 3, 2)
    assert unpack_lanes(result.state, 1).tolist() == [0b011]


def test_a_trap_names_its_lanes_and_padding_never_traps() -> None:
    program = Program(BITS, (FINISH,), (), (isa.expert(0), isa.trap_if(2, "no go"), isa.halt()))
    ones = pack_lanes(np.array([1, 1], dtype=np.uint64), 3)
    assert Machine(program, ones, lanes=2).run(9).halted
    mixed = pack_lanes(np.array([1, 0, 0], dtype=np.uint64), 3)
    result = Machine(program, mixed, lanes=3).run(9)
    assert not result.halted
    assert result.trap is not None
    trap = result.trap
    assert (trap.kind, trap.pc, trap.bit, trap.text) == (Stop.RAISED, 1, 2, "no go")
    assert str(trap) == 'instruction 1: TRAP_IF bad, "no go": no go'
    assert result.trap.lanes.tolist() == [0b110]
    assert (result.pc, result.steps) == (1, 2)


def test_what_a_caller_left_in_padding_neither_traps_nor_decides_a_jump() -> None:
    code = (isa.trap_if(2, "bad"), isa.jump_if_zero(0, 3), isa.expert(0), isa.halt())
    program = Program(BITS, (FINISH,), (), code)
    state = np.full((3, 1), 1 << 5, dtype=np.uint64)  # lane 5, where one lane is in use
    result = Machine(program, state, lanes=1).run(9)
    assert result.halted
    assert (result.state == state).all()


def test_jz_jumps_only_if_the_bit_is_zero_in_every_lane() -> None:
    code = (isa.jump_if_zero(0, 2), isa.expert(0), isa.halt())
    program = Program(BITS, (expert("mark", done="true"),), (), code)
    none = Machine(program, initial_state(program, 2), lanes=2).run(9)
    assert unpack_lanes(none.state, 2).tolist() == [0, 0]
    some = Machine(program, pack_lanes(np.array([0, 1], dtype=np.uint64), 3), lanes=2).run(9)
    assert unpack_lanes(some.state, 2).tolist() == [2, 3]


def test_host_results_go_to_the_bits_of_the_port() -> None:
    program = Program(BITS, (), (HostPort("ask", (2, 1)),), (isa.host(0),))
    seen: list[Planes] = []

    def ask(call: HostCall) -> list[int]:
        seen.append(call.state.copy())
        with pytest.raises(ValueError, match="read-only"):
            call.state[0] = 1
        return [0, 1]

    result = Machine(program, initial_state(program), {"ask": ask}).run(9)
    assert unpack_lanes(result.state, 1).tolist() == [0b010]
    assert len(seen) == 1


def test_a_host_may_answer_per_lane() -> None:
    program = Program(BITS, (), (HostPort("ask", (1,)),), (isa.host(0),))
    host = {"ask": lambda call: ~call.state[:1]}
    state = pack_lanes(np.array([1, 0], dtype=np.uint64), 3)
    result = Machine(program, state, host, lanes=2).run(9)
    assert unpack_lanes(result.state, 2).tolist() == [1, 2]
    assert result.state[1, 0] == 2  # padding stays 0


def test_what_a_host_raises_passes_and_the_call_can_be_tried_again() -> None:
    program = Program(BITS, (FINISH,), (HostPort("ask", (0,)),), (isa.host(0), isa.expert(0)))
    answers: list[list[int]] = []

    def ask(_: HostCall) -> list[int]:
        return answers.pop()

    machine = Machine(program, initial_state(program), {"ask": ask})
    with pytest.raises(IndexError):
        machine.run(9)
    assert machine.pc == 0
    answers.append([1])
    assert unpack_lanes(machine.run(9).state, 1).tolist() == [0b011]


def test_fuel_bounds_a_loop_and_running_goes_on_where_it_stopped() -> None:
    program = Program(BITS, (), (), (isa.log("tick"), isa.jump(0)))
    ticks: list[tuple[int, str]] = []
    machine = Machine(program, initial_state(program), log=lambda pc, t: ticks.append((pc, t)))
    assert machine.run(fuel=3).halted is False
    assert ticks == [(0, "tick")] * 2
    assert machine.run(fuel=1).pc == 0
    assert machine.run(fuel=0).steps == 0


def test_the_machine_does_not_touch_the_callers_state() -> None:
    program = Program(BITS, (FINISH,), (), (isa.expert(0),))
    state = initial_state(program)
    Machine(program, state).run(9)
    assert not state.any()


def test_what_cannot_run_is_refused() -> None:
    program = Program(BITS, (), (HostPort("ask", (1,)),), (isa.host(0),))
    state = initial_state(program)
    with pytest.raises(MachineError, match="no host function 'ask'; add it to the host table"):
        Machine(program, state)
    with pytest.raises(MachineError, match="the state has 1 words, 65 lanes need 2"):
        Machine(program, state, {"ask": lambda _: [0]}, lanes=65)
    with pytest.raises(ShapeError, match="machine: 2 planes where 3 are needed"):
        Machine(program, state[:2], {"ask": lambda _: [0]})
    with pytest.raises(MachineError, match=r"host function ask: returned .*; return 1 bits"):
        Machine(program, state, {"ask": lambda _: [0, 1]}).run(1)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (isa.expert(1), r"instruction 0 \(EXPERT\): expert 1 does not exist; use 0 to 0"),
        (isa.host(0), "port 0 does not exist; declare a port first"),
        (isa.trap_if(3, ""), "state bit 3 does not exist; use 0 to 2"),
        (isa.jump_if_zero(0, 2), "target 2 does not exist; use 0 to 1"),
        (isa.jump(-1), "target -1 does not exist"),
        (Instruction(Opcode.HALT, 1), r"\(HALT\): rd is set, which HALT does not take"),
        (Instruction(Opcode.EXPERT, text="x"), "text is set, which EXPERT does not take"),
        (Instruction(Opcode.ADD, rd=32), "rd is 32; use 0 to 31"),
        (Instruction(Opcode.MUL, shift=64), "shift is 64; use 0 to 63"),
        (Instruction(Opcode.SHL_I, imm=64), "amount is 64; use 0 to 63"),
        (Instruction(Opcode.SET, imm=1 << 31), "imm is 2147483648; use -2147483648 to"),
        (Instruction(Opcode.TRAP, text="\ud800"), "is no Unicode text; drop the lone surrogate"),
    ],
)
def test_instructions_refer_to_what_exists(instruction: Instruction, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        Program(BITS, (FINISH,), (), (instruction,))


def test_names_are_checked() -> None:
    with pytest.raises(ProgramError, match="program: bit names: 'a b' is no name"):
        Program(("a b",))
    with pytest.raises(ProgramError, match="bit names: 'a' appears twice; give each once"):
        Program(("a", "a"))
    with pytest.raises(ProgramError, match="port names: 'x:' is no name"):
        Program((), (), (HostPort("x:"),))
    with pytest.raises(ProgramError, match="expert finish: state bit 2 does not exist"):
        Program(("go", "done"), (FINISH,))
    with pytest.raises(ProgramError, match="port p: a bit is written twice"):
        Program(BITS, (), (HostPort("p", (0, 0)),))
    with pytest.raises(ProgramError, match="port p: state bit 7 does not exist"):
        Program(BITS, (), (HostPort("p", (7,)),))


def test_bit_numbers() -> None:
    assert bit_numbers(Program(BITS)) == NUMBER


def test_a_short_run_loads_no_compiler() -> None:
    script = (
        "import sys\n"
        "from bem_kernel.isa.assembler import assemble\n"
        "from bem_kernel.isa.machine import Machine\n"
        "program = assemble('.bits a\\n.expert e: a = !a\\nEXPERT e\\nHALT')\n"
        "assert Machine(program).run(9).halted\n"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
