"""Programs survive their text and their record; runs do not depend on how fuel is divided."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.experts.expert import Expert
from bem_kernel.isa import instructions as isa
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.instructions import Instruction
from bem_kernel.isa.machine import Machine, initial_state
from bem_kernel.isa.program import HostPort, Program
from bem_kernel.isa.record import program_fingerprint, program_from_record, program_record

N_BITS = 4


@st.composite
def programs(draw: st.DrawFn) -> Program:
    rng: Random = draw(st.randoms(use_true_random=False))
    experts = []
    for i in range(draw(st.integers(1, 3))):
        circuit = random_circuit(rng, rng.randrange(4), rng.randrange(1, 8), rng.randrange(3))
        reads = tuple(rng.randrange(N_BITS) for _ in range(circuit.n_inputs))
        writes = tuple(rng.sample(range(N_BITS), circuit.n_outputs))
        experts.append(Expert(f"e{i}[order={i}]", reads, circuit, writes))
    ports = (HostPort("a:ask", (0, 3)), HostPort("b:tell"))
    length = draw(st.integers(0, 8))
    target, bit = st.integers(0, length), st.integers(0, N_BITS - 1)
    instruction: st.SearchStrategy[Instruction] = st.one_of(
        st.builds(isa.expert, st.integers(0, len(experts) - 1)),
        st.builds(isa.trap_if, bit, st.text(max_size=6)),
        st.builds(isa.host, st.integers(0, 1)),
        st.builds(isa.jump_if_zero, bit, target),
        st.builds(isa.jump, target),
        st.builds(isa.log, st.text(max_size=6)),
        st.builds(isa.halt),
    )
    code = tuple(draw(st.lists(instruction, min_size=length, max_size=length)))
    return Program(("a", "b", "p(x,y)", "q.r"), tuple(experts), ports, code)


@settings(max_examples=40)
@given(programs())
def test_text_and_record_give_the_program_back(program: Program) -> None:
    assert assemble(disassemble(program)) == program
    again = program_from_record(program_record(program))
    assert again == program
    assert program_fingerprint(again) == program_fingerprint(program)


@settings(max_examples=40)
@given(programs(), st.lists(st.integers(0, 7), max_size=6))
def test_a_run_in_pieces_is_the_run(program: Program, pieces: list[int]) -> None:
    host = {"a:ask": lambda state: [1, 0], "b:tell": lambda state: []}
    whole = Machine(program, initial_state(program), host).run(sum(pieces))
    machine = Machine(program, initial_state(program), host)
    result = machine.run(0)
    for fuel in pieces:
        if result.trap is None:
            result = machine.run(fuel)
    assert (result.pc, result.trap is None) == (whole.pc, whole.trap is None)
    assert (result.state == whole.state).all()
