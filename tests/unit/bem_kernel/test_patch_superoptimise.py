"""Hot experts and hot code become smaller by patches that are proved, and do what they did."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expression
from bem_kernel.errors import SynthesisError
from bem_kernel.experts.expert import Condition, Expert, expert_from_expressions, step
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.instructions import Instruction, Opcode
from bem_kernel.isa.machine import Machine
from bem_kernel.isa.program import Program
from bem_kernel.isa.trace import trace
from bem_kernel.ledger.chain import Ledger
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply
from bem_kernel.patches.patch import Patch, Scope
from bem_kernel.patches.program import install_program, read_program
from bem_kernel.patches.propose import propose_replace
from bem_kernel.patches.superoptimise import (
    HotExpert,
    hot_experts,
    hot_spans,
    propose_shorter,
    propose_smaller,
    shorter_program,
    smaller_circuit,
)
from bem_kernel.patches.verify import Proved, verify
from bem_kernel.runner.slow_path import SlowPath
from bem_kernel.synthesis.fusion import Care, fused
from bem_kernel.synthesis.regions import optimised_region, straight_lines, visits
from bem_kernel.synthesis.straight_line import ARITHMETIC, shortened

BITS = {name: i for i, name in enumerate("abcdef")}
CODE = """
.bits a b c d e f
.expert mark: c = a ^ b; d = a & b | a & c | b & c
.expert undo: c = c ^ a ^ b
.expert last: e = d & a | d & !a; d = a & b
.expert cold: f = f & a | f & !a
  SET r1, 0
loop:
  EXPERT mark
  MUL r3, r1, 2
  EXPERT undo
  ADD r3, r3, r3
  EXPERT last
  ADD r1, r1, 1
  LT r2, r1, 6
  JNZ r2, loop
  ADD r4, r3, 0
  LOG "done"
  EXPERT cold
"""


def random_states(n_bits: int, words: int = 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 1 << 63, (n_bits, words), dtype=np.uint64)


def new_table(program: Program | None = None, lanes: int = 64) -> ExpertTable:
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8, "lanes": lanes}
    table = ExpertTable(Memory(MachineConfig(n_bits=8, n_shared_bits=64, **sizes)))
    if program is not None:
        install_program(table, program)
    return table


def applied(table: ExpertTable, patch: Patch | None, folder: Path) -> None:
    assert patch is not None
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved), verdict
    apply(table, patch, verdict.certificate, Ledger(folder / "log.jsonl"))


def test_hot_code_is_found_shortened_proved_and_patched(tmp_path: Path) -> None:
    before = assemble(CODE)
    table = new_table(before)
    steps = list(trace(Machine(before), 1000))
    counts = visits((step.pc for step in steps), len(before.code))
    assert hot_spans(table, counts)[0] == (1, 8)
    applied(table, propose_shorter(table, (1, 8), 1500), tmp_path)
    after = read_program(table.memory).program
    assert len(after.code) == len(before.code) - 3  # one expert, and one of two additions
    assert [e.name for e in after.experts][4:] == ["fused(mark,undo,last)"]
    state = random_states(6)
    ends = [Machine(p, state, lanes=256).run(1000) for p in (before, after)]
    assert (ends[0].state == ends[1].state).all()
    assert ends[0].registers == ends[1].registers and ends[1].halted
    assert ends[1].steps == ends[0].steps - 3 * 6
    assert propose_shorter(table, (0, 1), 50) is None  # SET alone


def test_marks_and_annotations_stay(tmp_path: Path) -> None:
    text = """
.bits a b bad
.expert swap: a = b; b = a
.cfg start
  SET r1, 0
.cfg loop
loop:
  EXPERT swap
  ADD r1, r1, 2
  EXPERT swap
  SUB r1, r1, 1
  LT r2, r1, 5
  JNZ r2, loop
"""
    claims = "at loop: 0 <= r1 < 5 & !bad\nat entry: !bad\nat exit: r1 == 5 & !bad"
    table = new_table(lanes=1)
    install_program(table, assemble(text), claims)
    applied(table, propose_shorter(table, (1, 6), 400), tmp_path)
    after = read_program(table.memory)
    assert [(node.name, node.start) for node in after.program.nodes] == [("start", 0), ("loop", 1)]
    assert after.annotations == claims and len(after.program.code) == 4
    assert Machine(after.program).run(99).registers[1] == 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_random_programs_do_the_same(seed: int) -> None:
    rng = Random(seed)
    texts = ["a ^ b & c", "!d | a", "e & (a | c)", "b ^ e", "c & !a | f & a", "d"]
    lines = [".bits a b c d e f"]
    for i in range(4):
        targets = rng.sample("abcdef", 2)
        lines.append(f".expert e{i}: {'; '.join(f'{t} = {rng.choice(texts)}' for t in targets)}")
    for pc in range(12):
        r = [rng.randrange(1, 5) for _ in range(3)]
        kind = rng.choice(("expert", "expert", "two", "number", "set", "jump"))
        operation = rng.choice(("ADD", "SUB", "AND", "OR", "XOR", "LT"))
        lines.append(f"l{pc}:")
        lines.append(
            {
                "expert": f"EXPERT e{rng.randrange(4)}",
                "two": f"{operation} r{r[0]}, r{r[1]}, r{r[2]}",
                "number": f"{operation} r{r[0]}, r{r[1]}, {rng.randrange(-2, 9)}",
                "set": f"SET r{r[0]}, {rng.randrange(-2, 9)}",
                "jump": f"JZ {rng.choice('abcdef')}, l{min(pc + rng.randrange(1, 4), 11)}",
            }[kind]
        )
    before = assemble("\n".join(lines) + "\n")
    after = shorter_program(before, 1000).program
    state = random_states(6, words=1, seed=seed)
    for lane in range(8):
        one = state >> np.uint64(lane) & np.uint64(1)
        ends = [Machine(program, one).run(99) for program in (before, after)]
        assert (ends[0].state == ends[1].state).all() and ends[0].registers == ends[1].registers
        assert ends[1].steps <= ends[0].steps


def test_an_expert_that_does_nothing_goes(tmp_path: Path) -> None:
    table = new_table(assemble(CODE))
    (cold,) = [span for span in straight_lines(assemble(CODE)) if span[0] == 11]
    applied(table, propose_shorter(table, cold, 50), tmp_path)
    assert len(read_program(table.memory).program.code) == 11


def test_the_scope_opens_more(tmp_path: Path) -> None:
    text = ".bits a b\n.expert e: b = b & a\n  EXPERT e\n"
    table = new_table(assemble(text))
    assert propose_shorter(table, (0, 1), 50) is None
    scope = Scope((0,), compile_expression("a", ["a"]))
    applied(table, propose_shorter(table, (0, 1), 50, scope=scope), tmp_path)
    assert read_program(table.memory).program.code == ()


def test_the_hottest_expert_gets_a_smaller_circuit(tmp_path: Path) -> None:
    table = new_table()
    majority = expert_from_expressions("m", {"d": "a & b | a & c | b & c"}, BITS)
    words = [table.add(expert_from_expressions("x", {"e": "a & b"}, BITS)), table.add(majority)]
    table.visits[:2] = 10, 3
    assert hot_experts(table) == (words[1], words[0])
    applied(table, propose_smaller(table, words[1], 100), tmp_path)
    smaller = table.expert(words[1])
    assert len(smaller.circuit.gates) == 4
    state = random_states(8)
    assert (step(smaller, state) == step(majority, state)).all()
    assert propose_smaller(table, words[0], 50) is None


def test_the_slow_path_looks_for_the_circuit_while_the_machine_runs(tmp_path: Path) -> None:
    table = new_table()
    majority = expert_from_expressions("m", {"d": "a & b | a & c | b & c"}, BITS)
    word = table.add(majority)
    with SlowPath({"smaller": smaller_circuit}) as slow:
        slow.offer("smaller", HotExpert(table.expert(word), 200))
        slow.wait()
        (outcome,) = slow.collect()
    applied(table, propose_replace(table, word, outcome.result, reason="hot"), tmp_path)
    assert len(table.expert(word).circuit.gates) == 4


def test_what_a_condition_or_a_scope_rules_out_is_open(tmp_path: Path) -> None:
    table = new_table()
    chosen = expert_from_expressions("c", {"d": "a & b | !a & c"}, BITS)
    gated = Expert("g", chosen.reads, chosen.circuit, chosen.writes, condition=Condition(0, True))
    word, other = table.add(gated), table.add(chosen)
    applied(table, propose_smaller(table, word, 50), tmp_path)
    assert not table.expert(word).circuit.gates  # where a is 1, it is b
    both = compile_expression("a & f | a & !f", ["a", "f"])  # f is not read
    patch = propose_smaller(table, other, 50, scope=Scope((0, 5), both))
    assert patch is not None and not patch.added[0].expert.circuit.gates
    assert isinstance(verify(table, patch), Proved)


@pytest.mark.parametrize("seed", range(4))
def test_one_expert_does_what_several_do_one_after_the_other(seed: int) -> None:
    rng = Random(seed)
    texts = ["a ^ b & c", "!d | a", "e & (a | c)", "b ^ e", "c & !a | f & a", "d"]
    experts = []
    for i in range(4):
        targets = rng.sample("abcdef", 2)
        expert = expert_from_expressions(f"e{i}", {t: rng.choice(texts) for t in targets}, BITS)
        condition = Condition(rng.randrange(6), bool(seed & 1)) if i % 2 else None
        experts.append(
            Expert(expert.name, expert.reads, expert.circuit, expert.writes, condition=condition)
        )
    state = random_states(6, seed=seed)
    expected = state
    for expert in experts:
        expected = step(expert, expected)
    fusion = fused(experts, 60, name="all")
    after = state if fusion.expert is None else step(fusion.expert, state)
    assert (after == expected).all()
    assert fusion.after == 0 or fusion.expert is not None
    care = Care((0,), compile_expression("a", ["a"]))
    narrow = fused(experts, 60, name="some", care=care)
    after = state if narrow.expert is None else step(narrow.expert, state)
    assert ((after ^ expected) & state[0] == 0).all()


SHORTER = [
    ("SHL r1, r1, 1\n SHL r1, r1, 2", 1),
    ("MUL r3, r1, 2\n ADD r3, r3, 0\n SET r4, 5\n ADD r4, r4, 7", 2),
    ("NOT r2, r1\n ADD r2, r2, 1", 1),
    ("AND r3, r1, r2\n OR r4, r1, r2\n ADD r5, r3, r4\n SET r3, 0\n SET r4, 0", 3),
    ("SUB r3, r1, r2\n SUB r3, r1, r3", 1),
    ("XOR r1, r1, r2\n XOR r2, r1, r2\n XOR r1, r1, r2", 3),  # the exchange is as short as can be
]


@pytest.mark.parametrize(("text", "length"), SHORTER)
def test_arithmetic_becomes_shorter_and_the_patch_is_proved(
    text: str, length: int, tmp_path: Path
) -> None:
    table = new_table(assemble(f".bits a\n  {text}\n"))
    count = len(read_program(table.memory).program.code)
    patch = propose_shorter(table, (0, count), 2000)
    assert (patch is None) == (length == count)
    if patch is not None:
        applied(table, patch, tmp_path)
    assert len(read_program(table.memory).program.code) == length


DECEIVING = [  # a shorter candidate is right for almost all numbers
    ("AND r1, r2, 5\n AND r2, r0, r1\n AND r1, r1, 5\n LT r2, r3, r1\n SUB r1, r0, 7", 3),
    ("SET r3, -3\n XOR r3, r1, r3\n OR r1, r1, 63\n LT r1, r3, 0\n SUB r3, r0, 63", 3),
    ("SHL r1, r1, 1\n LT r3, r1, r2\n XOR r3, r3, 1\n LT r3, r3, 1\n SHL r1, r1, 1", 3),
]


@pytest.mark.parametrize(("text", "length"), DECEIVING)
def test_numbers_that_refute_a_candidate_lead_to_one_that_is_proved(text: str, length: int) -> None:
    before = assemble(f".bits a\n  {text}\n")
    result = shorter_program(before, 4000)
    assert len(result.program.code) == length and result.changed == 1 and result.proofs
    rng = Random(1)
    for _ in range(50):
        given = [rng.choice((rng.randrange(-9, 9), rng.randrange(1 << 30))) for _ in range(3)]
        prologue = tuple(Instruction(Opcode.SET, rd=r + 1, imm=n) for r, n in enumerate(given))
        ends = [
            Machine(Program((), code=(*prologue, *program.code))).run(99).registers
            for program in (before, result.program)
        ]
        assert ends[0] == ends[1]


def test_a_candidate_that_is_always_refuted_is_not_taken() -> None:
    code = (Instruction(Opcode.ADD_I, rd=1, ra=1, imm=1), Instruction(Opcode.ADD_I, 1, 1, imm=1))
    end, asked = time.monotonic_ns() + 10**10, []
    assert shortened(code, [1], end, refute=lambda new: asked.append(new) or {1: 5}) == code
    assert asked and all(len(new) == 1 for new in asked)


def test_what_is_dead_afterwards_goes() -> None:
    code = (Instruction(Opcode.SET, rd=1, imm=7), Instruction(Opcode.ADD_I, rd=2, ra=3, imm=1))
    end = time.monotonic_ns() + 10**9
    assert shortened(code, [2], end) == code[1:]
    assert shortened(code, [], end) == ()
    assert shortened(code, [1, 2], end) == code


def test_the_results_of_instructions_are_those_of_the_machine() -> None:
    rng = Random(3)
    code = [Instruction(Opcode.SET, rd=r, imm=rng.randrange(-9, 99)) for r in range(1, 5)]
    for opcode in sorted(ARITHMETIC - {Opcode.SET}):
        two = not opcode.name.endswith("_I") and opcode is not Opcode.NOT
        imm = rng.randrange(64) if opcode.name.endswith("_I") else 0
        shift = rng.randrange(8) if opcode.name.startswith("MUL") else 0
        rd, ra, rb = rng.sample(range(1, 5), 3)
        code.append(Instruction(opcode, rd, ra, rb if two else 0, imm=imm, shift=shift))
    result = Machine(Program((), code=tuple(code))).run(1000).registers
    constants = shortened(code, range(1, 5), time.monotonic_ns() + 5 * 10**9)
    again = Machine(Program((), code=constants)).run(1000).registers
    assert result[:5] == again[:5] and len(constants) < len(code)


def test_what_is_no_straight_line_is_refused() -> None:
    program = assemble(CODE)
    with pytest.raises(SynthesisError, match=r"instruction 8 \(JNZ\) is neither arithmetic nor"):
        optimised_region(program, (7, 9), 10)
    shared = assemble(
        ".bits a\n.circuit put reads a writes M[3]\n.out %0\n  EXPERT put\n  SET r1, 1\n"
    )
    assert straight_lines(shared) == ((1, 2),)
    with pytest.raises(SynthesisError, match="fusion: expert put: has addresses that it computes"):
        fused(shared.experts, 10, name="x")
