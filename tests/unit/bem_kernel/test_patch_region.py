"""Patches of the machine's program: regions that do the same, or what is claimed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.errors import ExpertError, HoareError, PatchError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.machine import Machine
from bem_kernel.isa.program import Program
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image, save_image
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from bem_kernel.patches.apply import apply, undo
from bem_kernel.patches.certificate import certify
from bem_kernel.patches.patch import EVERYWHERE, Patch, Scope
from bem_kernel.patches.predicates import is_equivalent, is_safe
from bem_kernel.patches.program import install_program, read_program
from bem_kernel.patches.propose import drafted, propose_region
from bem_kernel.patches.record import patch_from_record, patch_record
from bem_kernel.patches.region import Region, difference, edited, node_region
from bem_kernel.patches.store import PatchStore
from bem_kernel.patches.structure import structure_hash
from bem_kernel.patches.verify import Proved, Refuted, counterexample_record, verify

HEAD = ".bits a b c bad\n.expert swap: a = b; b = a\n.expert flip: c = !c\n"
LOOP = """
.cfg start
  SET r1, 0
.cfg loop
loop:
  {body}
  ADD r1, r1, 1
  LT r2, r1, 5
  JNZ r2, loop
.cfg end
  EXPERT flip
"""
FAR = ".circuit far reads a writes M[0+1*M[8:2]]\n.out %0\n"
TWICE = "EXPERT swap\n EXPERT swap\n MUL r3, r1, 2"
ONCE = "ADD r3, r1, r1"
CLAIMS = "at loop: 0 <= r1 < 5 & !bad\nat entry: !bad\nat exit: r1 == 5 & !bad"


def program(body: str, head: str = HEAD, text: str = LOOP) -> Program:
    return assemble(head + text.format(body=body))


def new_table(installed: Program, claims: str = "", lanes: int = 1) -> ExpertTable:
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8}
    memory = Memory(MachineConfig(n_bits=8, n_shared_bits=64, lanes=lanes, **sizes))
    table = ExpertTable(memory)
    install_program(table, installed, claims)
    return table


@pytest.fixture
def log(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "log.jsonl")


def proposed(table: ExpertTable, after: Program, scope: Scope = EVERYWHERE, **how: bool) -> Patch:
    region = difference(read_program(table.memory).program, after, **how)
    return propose_region(table, region, scope=scope, reason="x")


def applied(table: ExpertTable, patch: Patch, log: Ledger) -> Patch:
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved), verdict
    apply(table, patch, verdict.certificate, log)
    return patch


def refuted(table: ExpertTable, patch: Patch) -> Refuted:
    verdict = verify(table, patch)
    assert isinstance(verdict, Refuted), verdict
    return verdict


def run(table: ExpertTable) -> tuple[tuple[int, ...], list[list[int]]]:
    machine = Machine(read_program(table.memory).program, memory=table.memory)
    assert machine.run(100).halted
    return machine.registers, machine.state.tolist()


def test_a_shorter_region_that_does_the_same(log: Ledger) -> None:
    table = new_table(program(TWICE), CLAIMS)
    registers, state = run(table)
    patch = applied(table, proposed(table, program(ONCE)), log)
    region = patch.region
    assert region is not None and (region.start, region.end, len(region.code)) == (1, 4, 1)
    now = read_program(table.memory)
    assert now.program == program(ONCE) and now.annotations == CLAIMS
    table.memory.planes[:] = 0
    assert run(table) == (registers, state)
    assert undo(table, log).patch == patch
    assert read_program(table.memory).program == program(TWICE)
    assert structure_hash(table) == patch.before


def test_one_that_does_something_else_is_refuted(log: Ledger) -> None:
    table = new_table(program(TWICE), CLAIMS)
    found = refuted(table, proposed(table, program("EXPERT swap\n MUL r3, r1, 2")))
    assert found.claim.startswith("instruction 2 and what comes instead do the same up to")
    values = dict(found.named)
    assert values["s[0]"] != values["s[1]"]  # swapping once shows only there
    verify(table, proposed(table, program("EXPERT swap\n MUL r3, r1, 2")), log=log)
    (entry,) = read_entries(log.path)
    assert entry["kind"] == "patch.reject" and set(entry["counterexample"].values()) == {1}
    found = refuted(table, proposed(table, program("MUL r3, r1, 6")))
    assert counterexample_record(found)["r1"] == sum(
        value << int(name[3:-1]) for name, value in found.named if name.startswith("r1[")
    )


def test_registers_count_only_where_they_are_read(log: Ledger) -> None:
    table = new_table(program("ADD r4, r1, 1\n SUB r3, r4, 1"))
    patch = proposed(table, program("OR r3, r1, 0"))
    found = refuted(table, patch)  # r4 is among the results of the program
    assert found.claim.endswith("do the same up to instruction 3")
    text = LOOP + " SET r4, 0\n"
    table = new_table(program("ADD r4, r1, 1\n SUB r3, r4, 1", text=text))
    applied(table, proposed(table, program("OR r3, r1, 0", text=text)), log)


def test_a_node_gets_other_code(log: Ledger) -> None:
    table = new_table(program(ONCE), CLAIMS + "\nat end: r1 == 5 & !bad")
    before = read_program(table.memory).program
    flips = program("EXPERT flip\n EXPERT flip\n EXPERT flip").code[1:4]
    region = node_region(before, "end", flips)
    patch = applied(table, propose_region(table, region, reason="x"), log)
    (node,) = [n for n in read_program(table.memory).program.nodes if n.name == "end"]
    assert (node.start, node.end) == (region.start, region.start + 3) and patch.replaced == ()
    with pytest.raises(
        PatchError, match="region: no node 'stop' in the program; write start, loop"
    ):
        node_region(before, "stop", flips)
    with pytest.raises(PatchError, match="annotations: no mark 'end' in the program"):
        propose_region(table, replace(region, end=region.start + 3, nodes=()), reason="x")


def test_branches_and_traps(log: Ledger) -> None:
    text = " {body}\nodd: EXPERT flip\nend: SET r2, 0"
    test = 'AND r2, r1, 1\n JNZ r2, odd\n TRAP_IF bad, "bad"\n JMP end'
    table = new_table(program(test, text=text))
    same = 'SHL r2, r1, 63\n LT r2, r2, 0\n JNZ r2, odd\n TRAP_IF bad, "bad"\n JMP end'
    for wrong, claim in (
        (same.replace('"bad"', '"worse"'), "are left alike"),
        (same.replace("odd", "end"), "are left alike"),
        (same.replace('TRAP_IF bad, "bad"', ""), "are left alike"),
        (same.replace("TRAP_IF", "EXPERT flip\n TRAP_IF"), "do the same up to instruction 2"),
    ):
        assert refuted(table, proposed(table, program(wrong, text=text))).claim.endswith(claim)
    applied(table, proposed(table, program(same, text=text)), log)


def test_a_subroutine_with_its_return(log: Ledger) -> None:
    text = " CALL twice\n {body}\n HALT\ntwice: ADD r3, r2, r2\n OR r1, r3, 0\n RET"
    other = text.replace("ADD r3, r2, r2\n OR r1, r3, 0", "SHL r1, r2, 1")
    table = new_table(program("SET r4, 0", text=text))
    end = len(read_program(table.memory).program.code)
    whole = program("SET r4, 0", text=other).code[3:]
    patch = propose_region(table, Region(3, end, whole), reason="x")
    assert refuted(table, patch).claim.endswith("do the same up to the caller")  # r3 is a result
    table = new_table(program("SET r3, 0", text=text))
    applied(table, propose_region(table, Region(3, end, whole), reason="x"), log)


def test_a_scope_and_an_annotation_are_where_the_region_starts(log: Ledger) -> None:
    flip = program("JZ c, over\n EXPERT swap\nover:")
    plain = program("")
    table = new_table(flip)
    patch = proposed(table, plain)
    assert dict(refuted(table, patch).named)["s[2]"]
    never = Scope((2,), compile_expressions(["!c"], ["c"]))
    scoped = proposed(table, plain, never)
    verdict = verify(table, scoped)
    assert isinstance(verdict, Proved)
    with pytest.raises(PatchError, match="the certificate is for another scope"):
        apply(table, patch, verdict.certificate, log)
    table = new_table(flip, "at entry: !c\nat loop: !c & 0 <= r1 <= 5")
    applied(table, proposed(table, plain), log)
    table = new_table(flip, "at entry: c\nat loop: !c & 0 <= r1 <= 5")  # which it does not keep
    assert refuted(table, proposed(table, plain)).claim == "entry -> loop holds along [0]"


def test_control_flow_changes_within_what_is_claimed(log: Ledger) -> None:
    """Ten rounds in steps of one, or of two: not the same, and nobody has claimed that it is."""
    table = new_table(program("EXPERT flip"), CLAIMS)
    after = program("EXPERT flip\n JZ c, on\n EXPERT swap\non:")
    refuted(table, proposed(table, after))
    patch = proposed(table, after, preserves=False)
    assert is_safe(table, patch) and not is_equivalent(table, patch, EVERYWHERE)
    applied(table, patch, log)
    unsafe = program("EXPERT flip\n SET r1, 7")
    found = refuted(table, proposed(table, unsafe, preserves=False))
    assert found.claim.startswith("loop -> ") and "holds along [1, 2, " in found.claim
    table = new_table(program("EXPERT flip"))
    with pytest.raises(PatchError, match="region patch: nothing is claimed of the program"):
        verify(table, proposed(table, after, preserves=False))


def test_annotations_go_with_their_marks(log: Ledger) -> None:
    table = new_table(program(TWICE), CLAIMS)
    bare = replace(program(ONCE), nodes=())
    with pytest.raises(PatchError, match="annotations: no mark 'loop' in the program; write .cfg"):
        propose_region(table, Region(0, 8, bare.code[:6] + bare.code[6:]), reason="x")
    with pytest.raises(HoareError, match="a loop from entry comes back to loop"):
        verify(
            *(lambda t: (t, proposed(t, program(ONCE))))(new_table(program(TWICE), "at exit: !bad"))
        )
    with pytest.raises(PatchError, match="no mark 'block.1' in the program"):
        text = LOOP.replace(".cfg loop\n", "")
        new_table(replace(program("", text=text), nodes=()), "at block.1: !bad")


def test_what_a_region_may_not_be(log: Ledger) -> None:
    table = new_table(program(TWICE))
    for region, message in (
        (Region(2, 9, ()), "region: instructions 2 to 8 of 8; propose it again"),
        (Region(0, 2, ()), "region, instructions 0 to 1: instruction 6 jumps to 1, into"),
    ):
        with pytest.raises(PatchError, match=message):
            propose_region(table, region, reason="x")
    host = HEAD + ".port ask writes a\n"
    for head, before, after, message in (
        (host, "HOST ask", "", r"region 1 to 1: instruction 1 \(ST\) reaches out of"),
        (HEAD, 'LOG "x"', "", r"region 1 to 1: instruction 1 \(LOG\) reaches out of"),
        (HEAD, "LD r5, SHARED[99]", "LD r5, SHARED[98]", r"\(LD\) reaches out of the program"),
        (HEAD, "BEM_LOAD_STATE r1, DATA[0], r0", "", r"\(BEM_LOAD_STATE\) reaches out of the pro"),
        (HEAD + FAR, "EXPERT far", "", r"\(EXPERT\) computes an address"),
        (HEAD, "LD r5, CODE[0]", "", r"\(LD\) may read the program's own code"),
        (HEAD, "SET r5, 3\nin: SUB r5, r5, 1\n JNZ r5, in", "", "a loop inside, at instr.* 2"),
        (HEAD, "", "CALL out\n JMP on\nout: RET\non:", "calls are 1 deep, 0 before"),
    ):
        table = new_table(program(before, head))
        patch = proposed(table, program(after, head))
        with pytest.raises(PatchError, match=message):
            verify(table, patch)
    with pytest.raises(PatchError, match="differ in state bits, experts, ports or data"):
        difference(program(""), program("", HEAD + ".data x 1\n"))


def test_too_many_ways() -> None:
    body = "".join(
        f" JZ r{i}, l{i}\n XOR r20, r20, r{i}\nl{i}: SET r{i}, 0\n" for i in range(1, 10)
    )
    table = new_table(program(body))
    with pytest.raises(PatchError, match="region 1 to 27: over 256 ways; take a smaller region"):
        verify(table, propose_region(table, Region(1, 28, ()), reason="x"))


def test_many_lanes() -> None:
    """A region that never looks at all lanes at once may be changed for all of them."""
    installed, after = program(TWICE), program(ONCE)
    table = new_table(installed, lanes=64)
    assert isinstance(verify(table, proposed(table, after)), Proved)
    table = new_table(program("JZ a, on\non:"), lanes=64)
    with pytest.raises(
        PatchError, match=r"region 1 to 1: instruction 1 \(JZ_BIT\) looks at all 64"
    ):
        verify(table, proposed(table, program("")))
    with pytest.raises(
        PatchError, match="program: annotations are about one lane, the machine has"
    ):
        new_table(installed, CLAIMS, lanes=64)


def test_what_does_not_fit_is_not_installed() -> None:
    table = new_table(program(ONCE))
    with pytest.raises(PatchError, match="program: 9 state bits, the machine has 8; make a larger"):
        install_program(table, replace(program(ONCE), bit_names=tuple("abcdefghi")))
    with pytest.raises(
        PatchError, match=r"program: a program of 405 instructions, \d+ bytes; keep"
    ):
        install_program(table, program("ADD r1, r1, r1\n" * 400))
    assert read_program(table.memory).program == program(ONCE)
    bare = ExpertTable(Memory(MachineConfig(n_bits=8)))
    with pytest.raises(
        PatchError, match="CODE.patches.program: the machine has no program; install"
    ):
        propose_region(bare, Region(0, 0, ()), reason="x")
    bare.memory.allocate(Segment.CODE, "patches.program", np.uint8, (8,))[:] = 7
    with pytest.raises(PatchError, match="CODE.patches.program: the record is damaged; restore"):
        read_program(bare.memory)


def test_experts_may_come_with_a_region(log: Ledger) -> None:
    head = HEAD + ".expert both: a = b; b = a; c = !c\n"
    text = " {body}\n"
    table = new_table(program("EXPERT swap\n EXPERT flip", text=text))
    after = program("EXPERT both", head, text)
    patch = applied(table, proposed(table, after), log)
    assert read_program(table.memory).program == after
    assert patch.region is not None and [e.name for e in patch.region.experts] == ["both"]
    undo(table, log)
    assert structure_hash(table) == patch.before


def test_sabotage(log: Ledger) -> None:
    table = new_table(program(TWICE))
    good = proposed(table, program(ONCE))
    verdict = verify(table, good)
    assert isinstance(verdict, Proved)
    assert good.region is not None
    code = tuple(replace(i, rb=2) for i in good.region.code)  # r1 + r2
    bad = replace(good, region=replace(good.region, code=code))
    with pytest.raises(PatchError, match="the certificate is for another patch"):
        apply(table, bad, verdict.certificate, log)
    honest = drafted(table, bad)
    with pytest.raises(PatchError, match="the certificate is for another patch"):
        apply(table, honest, verdict.certificate, log)
    evidence = replace(verdict.evidence, patch=honest.fingerprint)
    with pytest.raises(
        PatchError, match=r"no proof that instructions 1 to 3 and what comes .*up to"
    ):
        certify(table, honest, evidence)
    apply(table, good, verdict.certificate, log)
    with pytest.raises(ExpertError, match="expert table: sealed"):
        install_program(table, program(TWICE))


def test_records_and_images(tmp_path: Path) -> None:
    table = new_table(program(TWICE), CLAIMS)
    patch = proposed(table, program('TRAP_IF bad, "x"\n ADD r3, r1, r1'))
    assert patch_from_record(patch_record(patch)) == patch
    image = tmp_path / "m.image"
    save_image(table.memory, image)
    with PatchStore(image) as store:
        patch = proposed(store.table, program(ONCE))
        verdict = verify(store.table, patch)
        assert isinstance(verdict, Proved)
        store.apply(patch, verdict.certificate)
    assert read_program(load_image(image)).program == program(ONCE)
    with PatchStore(image) as store:
        assert store.undo().patch == patch
    assert read_program(load_image(image)).program == program(TWICE)


def test_a_region_around_a_loop_goes_round_with_it(log: Ledger) -> None:
    """The whole loop is one region: back at its start is one of its exits."""
    table = new_table(program("EXPERT swap"))
    before = read_program(table.memory).program
    loop = Region(1, 5, program("EXPERT flip\n EXPERT swap\n EXPERT flip").code[1:7])
    assert edited(before, loop).code[6].imm == 1
    applied(table, propose_region(table, loop, reason="x"), log)
