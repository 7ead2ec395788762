"""What each instruction does, in both interpreters; host windows, co-processors, traps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from bem_kernel.errors import ExpertError, MachineError
from bem_kernel.experts.expert import expert_from_expressions
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.attach import units_for
from bem_kernel.isa.core import Stop
from bem_kernel.isa.disassembler import disassemble
from bem_kernel.isa.instructions import STACK_DEPTH, Opcode
from bem_kernel.isa.machine import HostCall, Interpreter, Machine, RunResult
from bem_kernel.isa.units import Answer, Request
from bem_kernel.lanes import pack_lanes, unpack_lanes
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.search.index import NearestIndex

LEAST, MOST = -(1 << 63), (1 << 63) - 1


@pytest.fixture(params=get_args(Interpreter))
def interpreter(request: pytest.FixtureRequest) -> Any:
    return request.param


def run(text: str, interpreter: Any, fuel: int = 1000, **options: Any) -> RunResult:
    return Machine(assemble(text, "t.bem"), interpreter=interpreter, **options).run(fuel)


@pytest.mark.parametrize(
    ("operation", "a", "b", "expected"),
    [
        ("ADD", MOST, 1, LEAST),
        ("SUB", LEAST, 1, MOST),
        ("MUL", MOST, MOST, 1),
        ("MUL", -7, 3, -21),
        ("SHL", 1, 63, LEAST),
        ("SHL", 1, 64, 1),  # the amount counts modulo 64
        ("SHR", -1, 1, MOST),
        ("SHR", -1, -1, 1),
        ("SAR", LEAST, 63, -1),
        ("SAR", -5, 1, -3),
        ("AND", -1, 12, 12),
        ("OR", 10, 5, 15),
        ("XOR", -1, 5, -6),
        ("LT", LEAST, MOST, 1),
        ("LT", 3, 3, 0),
    ],
)
def test_arithmetic(operation: str, a: int, b: int, expected: int, interpreter: Any) -> None:
    machine = Machine(assemble(f"{operation} r3, r1, r2"), interpreter=interpreter)
    machine.set_register(1, a)
    machine.set_register(2, b)
    assert machine.run(9).registers[3] == expected
    if -(1 << 31) <= b < 1 << 31 and not (operation.startswith("S") and not 0 <= b < 64):
        machine = Machine(assemble(f"{operation} r3, r1, {b}"), interpreter=interpreter)
        machine.set_register(1, a)
        assert machine.run(9).registers[3] == expected


@pytest.mark.parametrize("shift", [0, 1, 16, 32, 63])
@pytest.mark.parametrize("a", [0, -1, 3 << 16, MOST, LEAST])
def test_fixed_point_products_have_128_bits(a: int, shift: int, interpreter: Any) -> None:
    for b in (-1, 5, -(3 << 15), MOST, LEAST):
        machine = Machine(assemble(f"MUL r3, r1, r2, {shift}"), interpreter=interpreter)
        machine.set_register(1, a)
        machine.set_register(2, b)
        exact = (a * b >> shift) & ((1 << 64) - 1)
        assert machine.run(9).registers[3] % (1 << 64) == exact


def test_r0_is_always_zero(interpreter: Any) -> None:
    result = run("SET r0, 5\nADD r1, r0, 2\nNOT r0, r0\nLD r0, DATA[x]\n.data x 9", interpreter)
    assert result.registers[:2] == (0, 2)


def test_factorial_by_recursion(interpreter: Any) -> None:
    text = """
        .const N 20
        .space saved 32
          SET r1, N
          CALL factorial
          HALT
        factorial:                  # r2 <- r1!
          JNZ r1, deeper
          SET r2, 1
          RET
        deeper:
          ST r1, DATA[saved + r3]
          ADD r3, r3, 1
          SUB r1, r1, 1
          CALL factorial
          SUB r3, r3, 1
          LD r1, DATA[saved + r3]
          MUL r2, r2, r1
          RET
    """
    result = run(text, interpreter)
    assert result.halted
    assert result.registers[2] == 2432902008176640000


def test_calls_are_bounded_and_returns_need_a_call(interpreter: Any) -> None:
    deep = run("again:\n  CALL again", interpreter)
    assert deep.trap is not None
    assert (deep.trap.kind, deep.steps) == (Stop.STACK_FULL, STACK_DEPTH + 1)
    assert str(deep.trap) == "t.bem: line 2 (instruction 0): 64 calls deep; at most 64 may be open"
    empty = run("HALT\nRET", interpreter)
    assert empty.halted
    empty = run("\n\n  RET", interpreter)
    assert str(empty.trap) == "t.bem: line 3 (instruction 0): RET without CALL"


def test_jumps_on_registers_and_bits(interpreter: Any) -> None:
    text = ".bits on off\n.expert set: on = true\nEXPERT set\nJZ on end\nSET r1 1\nJNZ off end\n"
    text += "ADD r1 r1 2\nJNZ r0 end\nADD r1 r1 4\nJZ r0 end\nADD r1 r1 8\nend:"
    assert run(text, interpreter).registers[1] == 7


def test_data_has_its_first_values_and_addresses(interpreter: Any) -> None:
    text = """
        .data table 10 0x20 -3
        .space buffer 2
          SET r1, 2
          LD r2, DATA[table + r1]
          LD r3, DATA[table + 1]
          ADR r4, DATA[buffer + r0]
          ST r2, [r4 + 1]
          LD r5, DATA[buffer + 1]
    """
    assert run(text, interpreter).registers[2:6] == (-3, 32, (7 << 48) + 3, -3)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("LD r1, DATA[0]", Stop.BOUNDS, r"DATA\[0\] does not exist; it has 0 words"),
        (".space x 3\nLD r1, DATA[x + 3]", Stop.BOUNDS, r"DATA\[3\] does not exist; it has 3"),
        ("SET r1, -1\nLD r1, DATA[r1]", Stop.BOUNDS, "the address -1 is in no space"),
        ("SET r1, -1\nST r1, [r1]", Stop.BOUNDS, "the address -1 is in no space; write SPACE"),
        ("SET r1, 9\nSHL r1, r1, 48\nLD r1, [r1]", Stop.BOUNDS, "is in no space"),
        ("SET r1, -1\nADR r2, DATA[r1]", Stop.BOUNDS, "the address -1 is in no space"),
        ("ST r1, CODE[0]", Stop.RIGHTS, r"a program may not access CODE\[0\] this way"),
        ("SET r1, 5\nBEM_LOAD_STATE r0, DATA[0], r1", Stop.LANES, "5 lanes; the machine has 3"),
        (".bits b\nSET r1 1\nBEM_LOAD_STATE r1, DATA[0], r0", Stop.BITS, "state bit 1 and those"),
        (".bits b\nBEM_LOAD_STATE r0, DATA[0], r0, 2", Stop.BITS, "do not all exist; there are 1"),
        (".bits b\nBEM_STORE_STATE r0, DATA[0], r0", Stop.BOUNDS, r"DATA\[0\] does not exist"),
        (".bits b\nBEM_STORE_STATE r0, CODE[0], r0", Stop.RIGHTS, r"may not access CODE\[0\]"),
        (".bits b\nBEM_LOAD_STATE r0, STATE[0], r0", Stop.RIGHTS, r"may not access STATE\[0\]"),
        ('TRAP "no"', Stop.RAISED, "no$"),
        ('SET r1, 1\nTRAP_IF r0, "a"\nTRAP_IF r1, "b"', Stop.RAISED, "b$"),
        ("BEM_SAT_CHECK DATA[0]", Stop.NO_UNIT, "no co-processor for BEM_SAT_CHECK is attached"),
    ],
)
def test_traps_say_what_and_where(text: str, kind: Stop, message: str, interpreter: Any) -> None:
    result = run(text, interpreter, lanes=3)
    assert result.trap is not None
    assert result.trap.kind is kind
    assert not result.halted
    last = len(text.splitlines())
    with pytest.raises(MachineError, match=f"t.bem: line {last} .instruction .*{message}"):
        raise MachineError(str(result.trap))


def test_code_can_be_read_but_not_written(interpreter: Any) -> None:
    program = assemble("LD r1, CODE[1]\nHALT")
    assert Machine(program, interpreter=interpreter).run(9).registers[1] == int(program.words[1])


def test_a_host_window_carries_numbers(interpreter: Any) -> None:
    calls: list[tuple[int, list[int]]] = []

    def ask(call: HostCall) -> list[int]:
        calls.append((call.argument, call.mailbox.tolist()[:3]))
        call.mailbox[0] = -call.mailbox[1]
        return [1]

    text = """
        .bits seen
        .port other
        .port ask writes seen
          SET r2, 41
          ST r2, HOST[ask + 2]
          HOST ask, r2
          LD r3, HOST[ask + 1]
          LD r4, HOST[ask]          # what was sent last
          HOST ask
    """
    machine = Machine(assemble(text), host={"other": lambda _: [], "ask": ask})
    result = machine.run(99)
    assert result.registers[3:5] == (-41, 41)
    assert calls == [(41, [0, 41, 0]), (0, [-41, 41, 0])]
    assert unpack_lanes(result.state, 1).tolist() == [1]


def test_a_doorbell_may_be_computed(interpreter: Any) -> None:
    calls: list[str] = []
    host = {name: lambda _, name=name: calls.append(name) or [] for name in ("a", "b")}
    text = ".port a\n.port b\nSET r1, 16\nST r0, HOST[r1]\nADR r2, HOST[a]\nST r0, [r2]"
    assert run(text, interpreter, host=host).halted
    assert calls == ["b", "a"]


def test_state_goes_to_memory_and_back(interpreter: Any) -> None:
    text = """
        .bits a b c
        .space block 4
          SET r1, 70
          BEM_STORE_STATE r0, DATA[block], r1, 2
          SET r2, 1
          BEM_LOAD_STATE r2, DATA[block], r1, 2
          LD r3, DATA[block + 1]
    """
    values = np.arange(100, dtype=np.uint64) % 4
    state = pack_lanes(values, 3)
    result = run(text, interpreter, state=state, lanes=100)
    moved = np.where(np.arange(100) < 70, (values & 1) | values << 1, values)
    assert unpack_lanes(result.state, 100).tolist() == moved.tolist()
    assert result.registers[3] == int(state[0, 1]) & 63


def test_a_machine_runs_in_a_memory_of_the_callers(interpreter: Any) -> None:
    memory = Memory(MachineConfig(n_bits=8, n_shared_bits=64, lanes=2, n_parameters=2))
    program = assemble(".bits a\n.space x 1\nLD r1, SHARED[8]\nADD r1, r1, 1\nST r1, SHARED[8]\n")
    for expected in (1, 2):
        assert Machine(program, memory=memory, lanes=2, interpreter=interpreter).run(9).halted
        assert memory.theta.tolist() == [expected, 0]
    with pytest.raises(
        MachineError, match="another program left 1 words in SHARED.program.data, 0 are"
    ):
        Machine(assemble("HALT"), memory=memory, lanes=2)
    with pytest.raises(MachineError, match="the memory has 8 state bits and 2 lanes, the program"):
        Machine(program, memory=memory, lanes=65)


def table_in(memory: Memory) -> ExpertTable:
    table = ExpertTable(memory)
    bits = {"a": 0, "b": 1}
    for name, text in (("set", "true"), ("clear", "false"), ("copy", "a")):
        table.add(expert_from_expressions(name, {"b": text}, bits))
    return table


CONFIG = MachineConfig(
    n_bits=2, n_shared_bits=64, n_parameters=1, lanes=70, max_experts=8, expert_words=1 << 12
)


def test_batches_of_experts_by_mask_and_by_lane(interpreter: Any) -> None:
    memory = Memory(CONFIG)
    table = table_in(memory)
    choices = " ".join(str((-1, 0, 2)[lane % 3]) for lane in range(70))
    text = f"""
        .bits a b
        .data low 0xffffffff 0
        .data high 0 0x3f
        .data batch 2 0 0 2 0
        .data all 1 1 -1
        .data lanes -1 0
        .data choices {choices}
          ADR r1, DATA[low]
          ST r1, DATA[batch + 2]
          ADR r1, DATA[high]
          ST r1, DATA[batch + 4]
          BEM_EXPERT_BATCH r2, DATA[batch]
          BEM_STORE_STATE r3, DATA[low], r0
          SET r3, 1
          BEM_STORE_STATE r3, DATA[low], r0
          BEM_EXPERT_BATCH r4, DATA[all]
          ADR r1, DATA[choices]
          ST r1, DATA[lanes + 1]
          BEM_EXPERT_BATCH r5, DATA[lanes]
    """
    state = np.zeros((2, 2), dtype=np.uint64)
    state[0] = (1 << 64) - 1
    program = assemble(text)
    machine = Machine(
        program,
        state,
        lanes=70,
        memory=memory,
        units=units_for(program, table=table),
        interpreter=interpreter,
    )
    result = machine.run(99)
    assert result.halted, result.trap
    assert (result.registers[2], result.registers[4], result.registers[5]) == (38, 70, 46)
    data = memory.region(Segment.SHARED, "program.data").tolist()
    assert data[:2] == [0xFFFF_FFFF, 0x3F]
    after = [0 if lane % 3 == 0 else 1 for lane in range(70)]
    assert (unpack_lanes(result.state, 70) >> 1).tolist() == after
    statistics = machine.statistics[Opcode.BEM_EXPERT_BATCH]
    assert statistics.calls == 3
    assert statistics.work == statistics.most + statistics.work - statistics.most > 0


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (".data d 2 0 -1 1 -1", Stop.REFUSED, "a lane is in the masks of two experts"),
        (".data d 65", Stop.REFUSED, "a batch of 65 experts; use 0 to 64, or -1 for one per lane"),
        (".data d -2", Stop.REFUSED, "a batch of -2 experts"),
        (".data d 1 8 -1", Stop.REFUSED, "there is no slot 8; use 0 to 7"),
        (".data d 1 -5 -1", Stop.REFUSED, "there is no slot -5"),
        (".data d 1 -1 -1", Stop.REFUSED, "there is no slot -1; use 0 to 7"),
        (".data d 1 5 -1", Stop.REFUSED, "slot 5 holds no expert; nothing was changed"),
        (".data d 1 0", Stop.BOUNDS, r"DATA\[1\] does not exist; it has 2 words"),
        (".data d -1 0", Stop.BOUNDS, r"STATE\[0\] does not exist"),
    ],
)
def test_a_bad_batch_traps(text: str, kind: Stop, message: str) -> None:
    memory = Memory(CONFIG)
    program = assemble(f".bits a b\n{text}\nBEM_EXPERT_BATCH r1, DATA[d]")
    units = units_for(program, table=table_in(memory))
    result = Machine(program, lanes=70, memory=memory, units=units).run(9)
    assert result.trap is not None
    assert result.trap.kind is kind
    with pytest.raises(MachineError, match=message):
        raise MachineError(str(result.trap))


def test_a_batch_without_a_table_takes_the_programs_experts() -> None:
    text = ".bits a b\n.expert one: a = true\n.expert two: b = true\n.data d 1 1 -1\n"
    result = run(text + "BEM_EXPERT_BATCH DATA[d]", None)
    assert unpack_lanes(result.state, 1).tolist() == [2]


def test_the_nearest_slots_are_written_to_a_buffer() -> None:
    words = np.array([0x04000000, 0x04000003, 0x0400FFFF], dtype=np.uint32)
    index = NearestIndex(words)
    text = """
        .data query 0x04000002
        .space found 4
          LD r1, DATA[query]
          BEM_ANN_QUERY r2, r1, DATA[found], 2
          LD r3, DATA[found]
          LD r4, DATA[found + 1]
          SET r1, -1
          BEM_ANN_QUERY r2, r1, DATA[found], 2
    """
    program = assemble(text)
    machine = Machine(program, units=units_for(program, index=index))
    result = machine.run(4)
    assert result.registers[2:5] == (2, 1, 0)
    refused = machine.run(9).trap
    assert refused is not None
    assert refused.text == "BEM_ANN_QUERY: -1 is no identifier; use 32 bits"


def test_a_table_is_searched_and_its_statistics_grow() -> None:
    memory = Memory(CONFIG)
    table = table_in(memory)
    second = list(table)[1]
    text = f"""
        .bits a b
        .data query {second}
        .data stats 0 1 2 65536
          LD r1, DATA[query]
          BEM_ANN_QUERY r2, r1, DATA[stats], 1
          BEM_UPDATE_STATS r3, DATA[stats]
          BEM_UPDATE_STATS r3, DATA[stats]
          ST r0, DATA[stats]
          SET r1, 7
          ST r1, DATA[stats]
          BEM_UPDATE_STATS r3, DATA[stats]
    """
    program = assemble(text)
    machine = Machine(program, memory=memory, lanes=70, units=units_for(program, table=table))
    trap = machine.run(99).trap
    statistics = table.statistics(second)
    assert (statistics.wins, statistics.visits, statistics.dual_q16) == (2, 4, 131072)
    assert machine.registers[2:4] == (1, 4)
    assert trap is not None
    assert trap.text.startswith("BEM_UPDATE_STATS: slot 7 holds no expert")


def test_words_go_to_the_ledger(tmp_path: Path) -> None:
    text = ".data entry 2 255 -1\nBEM_LOG_APPEND r1, DATA[entry]\nBEM_LOG_APPEND r1, DATA[entry]"
    program = assemble(text)
    with Ledger(tmp_path / "log") as ledger:
        result = Machine(program, units=units_for(program, ledger=ledger)).run(9)
    assert result.registers[1] == 1
    entries = list(read_entries(tmp_path / "log"))
    assert [entry["words"] for entry in entries] == [["00000000000000ff", "f" * 16]] * 2
    assert (entries[1]["event"], entries[1]["pc"]) == ("words", 1)


class Slow:
    bound = 10

    def call(self, request: Request) -> Answer:
        return Answer(request.pc + 100, request.value)


def test_a_unit_is_held_to_its_bound_and_counted() -> None:
    program = assemble("BEM_SAT_CHECK r1, DATA[0]\nSET r2, 11\nBEM_ANN_QUERY r3, r2, DATA[0], 1")
    units = dict.fromkeys((Opcode.BEM_SAT_CHECK, Opcode.BEM_ANN_QUERY), Slow())
    machine = Machine(program, units=units)
    result = machine.run(9)
    assert result.registers[1] == 100
    assert result.trap is not None
    assert (result.trap.kind, result.trap.pc) == (Stop.LATENCY, 2)
    assert result.trap.text == "the co-processor took 11 units of work, more than it may"
    assert machine.statistics[Opcode.BEM_ANN_QUERY].most == 11
    assert machine.statistics[Opcode.BEM_SAT_CHECK].calls == 1


def test_an_expert_that_does_not_fit_the_memory_is_refused_at_loading() -> None:
    text = ".bits a\n.circuit e reads M[64] writes a\n.out %0\nEXPERT e"
    with pytest.raises(ExpertError, match="expert e: needs 65 bits of shared memory"):
        run(text, None)


def test_a_computed_address_that_does_not_exist_traps(interpreter: Any) -> None:
    text = ".bits a\n.circuit e reads M[3+64*M[0:1]] writes a\n.out %0\nEXPERT e"
    memory = Memory(MachineConfig(n_bits=1, n_shared_bits=64, n_parameters=1, lanes=1))
    assert run(text, interpreter, memory=memory).halted
    memory.shared_bits[0] = 1
    result = run(text, interpreter, memory=memory)
    assert result.trap is not None
    assert result.trap.text == "expert e computed an address that does not exist"


def test_a_long_run_goes_on_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    from bem_kernel.isa import machine as module

    program = assemble("SET r1, 30000\nagain:\nSUB r1, r1, 1\nADD r2, r2, r1\nJNZ r1, again")
    monkeypatch.setattr(module, "WARM_NS", 1)
    machine = Machine(program)
    result = machine.run(10**6)
    assert (result.steps, result.registers[2]) == (90_001, 29_999 * 15_000)
    assert machine._loop is not None
    monkeypatch.setattr(module, "WARM_NS", 1 << 62)
    machine = Machine(program)
    assert machine.run(10**6) is not None
    assert machine._loop is None
    assert machine.registers[2] == result.registers[2]


@pytest.mark.parametrize(
    "name", ["SAT_CHECK", "PROOF_CHECK", "HOARE_CHECK", "APPLY_PATCH", "LOG_APPEND", "UPDATE_STATS"]
)
def test_what_is_not_attached_traps(name: str, interpreter: Any) -> None:
    result = run(f"SET r1, 5\nBEM_{name} r1, DATA[0]", interpreter)
    assert result.trap is not None
    assert (result.trap.kind, result.registers[1]) == (Stop.NO_UNIT, 5)
    assert result.trap.text == f"no co-processor for BEM_{name} is attached"


def test_compiled_runs_come_up_for_air(monkeypatch: pytest.MonkeyPatch) -> None:
    from bem_kernel.isa import machine as module

    monkeypatch.setattr(module, "_COMPILED_SLICE_STEPS", 7)
    result = run("SET r1, 100\nagain:\nSUB r1, r1, 1\nJNZ r1, again", "compiled", fuel=150)
    assert (result.steps, result.halted, result.registers[1]) == (150, False, 25)


def test_a_name_of_two_meanings_is_disassembled_as_a_number() -> None:
    program = assemble(".bits x y\n.data w 1 2\n.data x 3\nLD r1, DATA[2]\nLD r2, DATA[w + 1]")
    text = disassemble(program)
    assert "LD r1, DATA[2]" in text
    assert "LD r2, DATA[w + 1]" in text
    assert assemble(text) == program
