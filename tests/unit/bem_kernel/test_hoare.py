"""Annotations, loops, calls, memory, answers from outside, proofs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bem_kernel.errors import HoareError
from bem_kernel.hoare import check as checking
from bem_kernel.hoare.annotations import Annotations, parse_annotations
from bem_kernel.hoare.check import Report, hoare_check
from bem_kernel.hoare.formula import predicate
from bem_kernel.hoare.replay import replay
from bem_kernel.hoare.state import Width, layout_of, unknown_state
from bem_kernel.hoare.words import WordBuilder
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.core import Stop
from bem_kernel.logic.cnf import cnf_from_clauses
from bem_kernel.proofs.check import Rejected


def prove(text: str, claims: str) -> Report:
    program = assemble(text)
    return hoare_check(program, parse_annotations(claims, program))


def refused(text: str) -> str:
    return f"^{re.escape(text)}"


COUNT = """
  SET r1, 0
.cfg loop
loop:
  ADD r1, r1, 1
  LT r2, r1, 10
  JNZ r2, loop
"""


def test_a_straight_line_equals_its_weakest_precondition() -> None:
    report = prove(".bits a\n.expert flip: a = !a\n EXPERT flip", "at entry: a\nat exit: !a")
    (edge,) = report.edges
    assert (edge.source, edge.target, edge.path) == ("entry", "exit", (0,))
    assert edge.holds
    assert edge.equal
    assert report.exact == {"entry": True}
    assert report.proofs == 3


def test_a_stronger_precondition_holds_without_being_equal() -> None:
    report = prove(".bits a b\n.expert flip: a = !a\n EXPERT flip", "at entry: a & b\nat exit: !a")
    assert report.accepted
    assert report.edges[0].equal is False
    assert report.exact == {"entry": False}


def test_branches_exclude_each_other() -> None:
    text = " LT r2, r1, 5\n JZ r2, big\n SET r3, 1\n HALT\nbig: SET r3, 2\n"
    assert prove(text, "at exit: r1 < 5 <-> r3 == 1").accepted
    assert not prove(text, "at exit: r1 <= 5 <-> r3 == 1").accepted


def test_a_loop_needs_its_invariant() -> None:
    assert prove(COUNT, "at loop: 0 <= r1 < 10\nat exit: r1 == 10").accepted
    weak = prove(COUNT, "at loop: 0 <= r1\nat exit: r1 == 10")
    assert [(r.example.source, r.example.claim) for r in weak.refutations][-1] == ("loop", "exit")
    assert weak.refutations[-1].steps[-1].result.registers[1] != 10


def test_a_loop_without_an_invariant_is_refused() -> None:
    message = "hoare: a loop from entry comes back to loop (line 5) and meets no annotation; "
    with pytest.raises(HoareError, match=refused(message + "give an invariant, at loop: cond")):
        prove(COUNT, "at exit: r1 == 10")


def test_a_loop_that_constants_bound_is_followed() -> None:
    program = assemble("JMP end\nloop: JMP loop\nend:")
    assert hoare_check(program, Annotations()).accepted


def test_the_same_routine_is_told_apart_by_its_callers() -> None:
    text = """
      SET r1, 1
      CALL twice
      CALL twice
      HALT
    .cfg twice
    twice:
      ADD r1, r1, r1
      RET
    """
    assert prove(text, "at exit: r1 == 4").accepted
    report = prove(text, "at twice: r1 == 1 | r1 == 2\nat exit: r1 == 4")
    sources = [(edge.source, edge.target, edge.path) for edge in report.edges]
    assert ("twice", "twice", (4, 5, 2)) in sources  # from the first call to the second
    assert [r.example.calls for r in report.refutations] == [(2,), (3,)]  # r1 is 2, 1 there
    for refutation in report.refutations:
        assert refutation.steps[-1].pc in (2, 3)


def test_endless_recursion_fills_the_stack() -> None:
    report = prove(".cfg f\nf:\n CALL f", "at f: true")
    (refutation,) = report.refutations
    assert refutation.example.stop is Stop.STACK_FULL
    assert len(refutation.example.calls) == 64


def test_a_return_without_a_call_traps() -> None:
    assert prove("RET", "").refutations[0].example.stop is Stop.STACK_EMPTY
    assert prove("RET", "allow STACK_EMPTY").accepted


def test_data_that_nothing_stores_to_keeps_its_values() -> None:
    text = ".data d 5 6\n.space free 1\n.cfg go\ngo:\n LD r1, DATA[d + 1]\n ST r2, DATA[free]\n"
    assert prove(text, "at go: true\nat exit: r1 == 6 & free == r2").accepted
    stored = text.replace("DATA[free]", "DATA[d + 1]")
    assert not prove(stored, "at go: true\nat exit: r1 == 6").accepted


def test_one_word_under_two_addresses_is_one_word() -> None:
    program = assemble(".data d 1\n SET r1, 9\n ST r1, SHARED[r2]\n LD r3, DATA[d]\n")
    layout = layout_of(program)
    index = layout.data("d")[0] - layout.bases[1]
    at_it = parse_annotations(f"at entry: r2 == {index}\nat exit: r3 == 9", program)
    assert hoare_check(program, at_it).accepted
    beside = parse_annotations(f"at entry: r2 == {index - 8}\nat exit: r3 == 1", program)
    assert hoare_check(program, beside).accepted


@pytest.mark.parametrize("name", ["BEM_STORE_STATE", "BEM_LOAD_STATE"])
def test_words_past_the_end_of_a_space_are_out_of_bounds(name: str) -> None:
    text = f".bits a b\n.data d 1 2\n {name} r0, DATA[d + r1], r0, 2\n"
    assert prove(text, "at entry: r1 == 0").accepted
    for index in (1, -1, 2):
        (refutation,) = prove(text, f"at entry: r1 == {index}").refutations
        assert refutation.example.stop is Stop.BOUNDS


@pytest.mark.parametrize(
    ("instruction", "stop"),
    [
        ("BEM_STORE_STATE r0, CODE[0], r0", Stop.RIGHTS),
        ("BEM_LOAD_STATE r0, CODE[0], r0", None),
        ("BEM_LOAD_STATE r0, STATE[0], r0", Stop.RIGHTS),
        ("BEM_STORE_STATE r0, DATA[d], r1", Stop.LANES),
        ("BEM_STORE_STATE r1, DATA[d], r0", Stop.BITS),
        ("ST r0, STATE[0]", None),
    ],
)
def test_moving_state_traps_as_the_machine_does(instruction: str, stop: Stop | None) -> None:
    report = prove(f".bits a\n.data d 1\n {instruction}\n", "at entry: r1 == 2")
    assert [r.example.stop for r in report.refutations] == ([] if stop is None else [stop])


def test_code_may_be_read_and_not_written() -> None:
    program = assemble("LD r1, CODE[0]\n ADR r2, CODE[0]\n ST r1, [r2]")
    report = hoare_check(program, parse_annotations("at exit: false", program))
    assert [r.example.stop for r in report.refutations] == [Stop.RIGHTS]
    read = assemble("LD r1, CODE[0]")
    word = int(read.words[0])
    assert hoare_check(read, parse_annotations(f"at exit: r1 == {word}", read)).accepted


def test_widths_are_proved() -> None:
    text = ".cfg go\ngo:\n ADD r1, r1, 1\n JNZ r1, go\n"
    report = prove(text, "width r1 3\nat go: true")
    (refutation,) = report.refutations
    assert refutation.example.registers[1] == 7
    assert refutation.steps[0].result.registers[1] == 8
    assert prove(text, "width r1 s3\nat entry: r1 < 0\nat go: r1 < 0").accepted


def test_words_of_data_have_widths_too() -> None:
    text = ".data n 3\n.cfg go\ngo:\n LD r1, DATA[n]\n XOR r1, r1, 7\n ST r1, DATA[n]\n JMP go\n"
    assert prove(text, "width n 3\nat go: n <= 7").accepted
    assert not prove(text.replace("7\n ST", "8\n ST"), "width n 3\nat go: true").accepted
    assert not prove(text.replace("n 3", "n 9"), "width n 3\nat go: true").accepted


def test_always_holds_before_and_after_every_instruction() -> None:
    text = ".bits bad\n.expert set: bad = true\n.expert clear: bad = false\n"
    text += " EXPERT set\n EXPERT clear\n"
    report = prove(text, "always !bad\nat entry: !bad\nat exit: !bad")
    (refutation,) = report.refutations
    assert refutation.example.claim == "always"
    assert [step.pc for step in refutation.steps] == [0]
    first = prove(text, "always !bad").refutations[0]
    assert first.steps == ()  # the start itself violates it
    assert prove(text, "at entry: !bad\nat exit: !bad").accepted


ASK = ".bits yes\n.port ask writes yes\n HOST ask, r1\n LD r2, HOST[ask + 3]\n"


def test_a_host_may_answer_anything() -> None:
    report = prove(ASK + ' TRAP_IF yes "no"\n', "at exit: r2 != 12345")
    trap, ends = report.refutations
    assert trap.example.stop is Stop.RAISED
    assert trap.steps[0].set_bits == ("yes",)
    assert ends.steps[1].registers == {2: 12345}
    assert prove(ASK, "at exit: r2 == 0 | r2 != 0").accepted


def test_a_host_changes_only_its_own() -> None:
    text = ".bits yes other\n.port ask writes yes\n.port b writes other\n HOST ask, r1\n"
    assert prove(
        text + " LD r2, HOST[b + 1]", "at entry: !other\nat exit: !other & r2 == 0"
    ).accepted
    assert prove(text + " LD r2, HOST[ask]", "at exit: r2 == r1").accepted


def test_a_store_to_an_unknown_word_may_ring_or_not() -> None:
    text = ".bits yes\n.port ask writes yes\n ST r1, HOST[r2]\n LD r3, HOST[r2]\n"
    within = "at entry: 0 <= r2 < 16 & !yes\nat exit: "
    assert prove(text, within + "r3 == r1").accepted
    assert [r.example.registers[2] for r in prove(text, within + "!yes").refutations] == [0]
    assert [r.example.registers[2] for r in prove(text, within + "r2 == 0").refutations] == [1]


@pytest.mark.parametrize("name", ["NO_UNIT", "REFUSED", "LATENCY", "BOUNDS"])
def test_a_co_processor_may_trap_as_its_form_says(name: str) -> None:
    text = ".data d 0\n BEM_SAT_CHECK r1, DATA[d]\n"
    names = {"NO_UNIT", "REFUSED", "LATENCY", "BOUNDS"}
    report = prove(text, f"allow {' '.join(names - {name})}")
    (refutation,) = report.refutations
    trap = refutation.steps[-1].result.trap
    assert trap is not None
    assert trap.kind is Stop[name]
    assert prove(text, f"allow {' '.join(names)}\nat exit: r2 == r2").accepted


def test_a_co_processor_may_answer_anything() -> None:
    text = ".bits a\n.space d 2\n.expert e: a = true\n.data batch 1 0 -1\n"
    allowed = "allow NO_UNIT REFUSED LATENCY BOUNDS RIGHTS\n"
    query = text + " BEM_ANN_QUERY r1, r2, DATA[d], 2\n"
    answers = prove(query, allowed + "at exit: r1 != 7 | d[1] != 9")
    assert answers.refutations[0].steps[0].registers == {1: 7}
    assert prove(query, allowed + "at entry: !a\nat exit: !a & batch == 1").accepted
    batch = text + " BEM_EXPERT_BATCH r1, DATA[batch]\n"
    report = prove(batch, allowed + "at entry: !a\nat exit: !a")
    assert report.refutations[0].steps[0].set_bits == ("a",)


def test_annotations_in_cnf() -> None:
    program = assemble(".bits a b\n.expert swap: a = b; b = a\n EXPERT swap\n")
    either, only_b = cnf_from_clauses([[1, 2]], 2), cnf_from_clauses([[-1], [2]], 2)
    holds = hoare_check(program, Annotations({"entry": (only_b,), "exit": (either, "a & !b")}))
    assert holds.accepted
    assert not hoare_check(program, Annotations({"entry": (either,), "exit": ("a",)})).accepted
    wide = Annotations({"exit": (cnf_from_clauses([[3]], 3),)})
    message = "at exit: a formula of 3 variables, the program has 2 state bits; use variable v"
    with pytest.raises(HoareError, match=refused(message)):
        hoare_check(program, wide)


def test_counterexamples_are_small() -> None:
    report = prove(".data d 0\n ADD r3, r1, r2\n ST r4, DATA[d]", "at exit: r3 + r1 < 1000")
    example = report.refutations[0].example
    assert example.registers[1:5] == (500, 0, 0, 0)


def test_unreached_nodes_are_named() -> None:
    report = prove(' HALT\n.cfg never\n  TRAP "no"\n', "at never: false")
    assert report.accepted
    assert report.unreached == ("never",)


def test_a_solver_that_gives_up_proves_nothing() -> None:
    text = " MUL r3, r1, r2\n MUL r4, r2, r1\n"
    program = assemble(text)
    claims = parse_annotations("width r1 s24\nwidth r2 s24\nat exit: r3 == r4", program)
    report = hoare_check(program, claims, budget=5, hand_over=False)
    assert report.edges[0].holds is None
    assert report.edges[0].equal is None
    assert report.exact == {"entry": None}
    assert not report.accepted
    assert not report.refutations


def test_an_implication_without_a_good_proof_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checking, "check_proof", lambda *_: Rejected(3, "[1] is neither"))
    with pytest.raises(HoareError, match=refused("hoare: the proof of own fails at step 3: [1]")):
        prove("SET r1, 1", "at exit: r1 == 1")


def test_a_replay_that_differs_is_a_defect() -> None:
    program = assemble("SET r1, 1\n SET r1, 2")
    report = hoare_check(program, parse_annotations("at exit: r1 == 1", program))
    example = report.refutations[0].example
    layout = layout_of(program)
    with pytest.raises(HoareError, match="does not follow the counterexample: the condition hold"):
        replay(layout, example, predicate("r1 == 2", layout))
    with pytest.raises(HoareError, match="counterexample: it ends at instruction 2 with None"):
        replay(layout, type(example)(**{**vars(example), "end": 1}), None)
    with pytest.raises(HoareError, match="counterexample: it is at instruction 1, not at 0"):
        replay(layout, type(example)(**{**vars(example), "path": (0, 0)}), None)


def value_of(text: str, bits: str = "", **registers: int) -> bool:
    """A formula on one state of a small program."""
    program = assemble(".bits a b p(x,y)\n.data d 5 -6 7\n")
    layout, builder = layout_of(program), WordBuilder()
    state = unknown_state(builder, layout, frozenset(), {}, {})
    for name, value in registers.items():
        state = state.with_register(int(name[1:]), builder.constant(value))
    ones = {n: builder.one if n in bits.split() else builder.zero for n in program.bit_names}
    state = state.with_bits({layout.plane(i): ones[n] for i, n in enumerate(program.bit_names)})
    slot = predicate(text, layout)(builder, state)
    assert slot in (builder.zero, builder.one)
    return slot == builder.one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a & !b", True),
        ("p( x, y ) | b", False),
        ("!a -> b", True),
        ("a ^ a ^ a <-> true", True),
        ("true -> false -> true", True),
        ("b & a | a", True),
        ("!r1 == 3", True),
        ("r1 - r2 - 1 == 8", True),
        ("r1 * -r2 == 20 & r1 * r2 + 20 == 0", True),
        ("-r2 * 2 > r1", True),
        ("d == 5 & d[1] == -6 & d[0x2] == 7", True),
        ("-5 < r2 < 5 <= 5", True),
        ("0 <= r2 < 5", False),
        ("(r1 + r2) * 3 == 3", True),
        ("r2[63] & !r1[1] & r1[2]", True),
        ("r3 + 1 > r3 & r3 * r3 > r3", True),
        ("r1 >= 5 & r1 != 6 & r0 == 0", True),
        ("18446744073709551615 > r3", True),
    ],
)
def test_formulas(text: str, expected: bool) -> None:
    assert value_of(text, "a", r1=5, r2=-4, r3=(1 << 63) - 1) is expected


def test_deep_formulas() -> None:
    assert value_of("!" * 10_000 + "a", "a")
    assert value_of("(" * 5_000 + "a" + ")" * 5_000, "a")
    assert value_of(" -> ".join(["b"] * 3_000), "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a &", "formula: the end: the text ends too early in 'a &'; see bem_kernel"),
        ("a & $", "formula: column 5: unexpected character '$' in 'a & $'"),
        ("a b", "formula: column 3: unexpected 'b' in 'a b'"),
        ("c", "formula: no 'c' in the program; name a state bit, a register or a name of data"),
        ("r32 == 0", "formula: no register r32; use r0 to r31"),
        ("r1[64]", "formula: bit 64 of r1; use 0 to 63"),
        ("d[3] == 0", "formula: d[3]; d has 3 words"),
        ("r1", "formula: a number where a condition should be; compare it: r1 != 0"),
        ("a + 1 == 2", "formula: a condition where a number should be; join conditions by <->"),
        ("a == b", "formula: a condition where a number should be"),
        ("r1*r1*(r1) == 0", "formula: a number of 192 bits; keep within 160"),
        (" " * 20001, "formula: 20001 characters; use at most 20000"),
    ],
)
def test_formulas_that_mean_nothing(text: str, message: str) -> None:
    with pytest.raises(HoareError, match=refused(message)):
        value_of(text)


def test_reading_annotations() -> None:
    program = assemble(".data t 1\n.cfg a\n SET r1, 1\n.cfg b\nb: JMP b\n")
    text = """
    width r1 4   # four bits
    width t s8
    allow RAISED, BOUNDS
    always r1 == 1
    at a: true
    at line 5: r1 == 1
    at b: t == 1
    """
    assert parse_annotations(text, program) == Annotations(
        {"a": ("true",), "b": ("r1 == 1", "t == 1")},
        ("r1 == 1",),
        {1: Width(4)},
        {"t": Width(8, signed=True)},
        frozenset({Stop.RAISED, Stop.BOUNDS}),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ensure x", "annotations: line 1: cannot read 'ensure x'; start the line with width"),
        ("at a", "annotations: line 1: cannot read 'at a'; write at NODE: condition"),
        ("at line 9: true", "annotations: line 1: no node starts in line 9; name a line"),
        ("at nowhere: true", "hoare: no node 'nowhere'; there are block.0"),
        ("width r1 64", "annotations: line 1: cannot read 'r1 64'; write width NAME BITS"),
        ("width r1 s65", "annotations: line 1: cannot read 'r1 s65'"),
        ("width r0 1", "annotations: line 1: no 'r0'; name r1 to r31 or a name of data"),
        ("width x 1", "annotations: line 1: no 'x'"),
        ("allow HALT", "annotations: line 1: no trap 'HALT'; use RAISED, BOUNDS"),
        ("always", "always: the end: the text ends too early"),
    ],
)
def test_annotations_that_mean_nothing(line: str, message: str) -> None:
    with pytest.raises(HoareError, match=refused(message)):
        prove("SET r1, 1", line)


def test_entry_and_exit_are_no_names_of_nodes() -> None:
    with pytest.raises(HoareError, match="a node is called 'exit'; rename the .cfg"):
        prove(".cfg exit\n SET r1, 1\n", "")


def test_too_many_paths_are_refused() -> None:
    tests = "".join(f" JZ r{i}, l{i}\n SET r31, {i}\nl{i}:\n" for i in range(1, 16))
    with pytest.raises(HoareError, match="over 4096 paths from entry; annotate more nodes"):
        prove(tests, "at exit: true")


def test_the_machine_goes_to_an_instruction_inside_calls() -> None:
    from bem_kernel.errors import MachineError
    from bem_kernel.isa.machine import Machine

    machine = Machine(assemble("SET r1, 1\n SET r2, 2\n RET"))
    machine.go_to(2, (1, 2))
    assert machine.run(2).registers[1:3] == (0, 0)
    assert machine.run(1).registers[1:3] == (0, 2)
    for pc, calls in ((-1, ()), (4, ()), (0, (4,)), (0, (0,) * 65)):
        with pytest.raises(MachineError, match="use instructions 0 to 3 and at most 64 calls"):
            machine.go_to(pc, calls)


def test_numbers_of_words() -> None:
    builder = WordBuilder()
    for value in (-(1 << 63), -1, 0, 1, (1 << 63) - 1):
        assert builder.value(builder.constant(value)) == value
    assert builder.value(builder.fresh(2)) is None
    with pytest.raises(HoareError, match="more than 65536 unknown bits; declare widths"):
        builder.fresh(1 << 16)
    assert np.array_equal(builder.formulas([builder.one])[0].cnf.literals, [1, 1])
