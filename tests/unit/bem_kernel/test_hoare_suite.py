"""The two processes of the benchmark suite verify; seeded faults are refuted by a run.

Source: BEM benchmark suite 5.3.1.
"""

from __future__ import annotations

import pytest

from bem_kernel.hoare.annotations import parse_annotations
from bem_kernel.hoare.check import Report, hoare_check
from bem_kernel.hoare.replay import prepare
from bem_kernel.hoare.state import layout_of
from bem_kernel.isa.assembler import assemble

BOUNDS = """
.bits push
.port ask writes push                   # word 1 of the mailbox: a number to keep
.space buffer 8
.const SIZE 8
.data table 3 1 4 1 5
.const LAST 4
  SET r1, 0                             # how many numbers are kept
.cfg serve
serve:
  HOST ask, r1
  LD r5, HOST[ask + 1]
  JZ push, take
  LT r2, r1, SIZE
  JZ r2, serve
  ST r5, DATA[buffer + r1]
  ADD r1, r1, 1
  JMP serve
take:
  JZ r1, lookup
  SUB r1, r1, 1
  LD r5, DATA[buffer + r1]
  JMP serve
lookup:
  CALL clamp
  LD r6, DATA[table + r5]
  HALT
.cfg clamp
clamp:                                  # r5 into 0 to LAST
  LT r2, r5, 0
  JZ r2, high
  SET r5, 0
  RET
high:
  SET r3, LAST
  LT r2, r3, r5
  JZ r2, fine
  SET r5, LAST
fine:
  RET
"""

BOUNDS_CLAIMS = """
always table[0] == 3 & table[1] == 1 & table[2] == 4 & table[3] == 1 & table[4] == 5
at serve: 0 <= r1 <= 8
at clamp: r1 == 0
at exit: r1 == 0 & 0 <= r5 <= 4
at exit: r6 == 3 | r6 == 1 | r6 == 4 | r6 == 5
"""

BAD = """
.bits confirmed refunded bad
.expert refund: refunded = true; bad = bad | refunded | !confirmed
.port ask writes confirmed
  SET r1, 3
.cfg wait
wait:
  HOST ask, r1
  JNZ confirmed, pay
  SUB r1, r1, 1
  JNZ r1, wait
  HALT
pay:
  JNZ refunded, done
  EXPERT refund
done:
"""

BAD_CLAIMS = """
width r1 2
always !bad
at entry: !bad & !refunded
at wait: r1 != 0 & !refunded
at exit: refunded -> confirmed
"""

BOUNDS_FAULTS = {
    "room for one more": ("LT r2, r1, SIZE", "LT r2, r1, SIZE+1"),
    "wrong branch at the check": ("JZ r2, serve", "JNZ r2, serve"),
    "missing check for room": ("  JZ r2, serve\n", ""),
    "missing check for an empty buffer": ("  JZ r1, lookup\n", ""),
    "wrong register in the check": ("LT r2, r1, SIZE", "LT r2, r5, SIZE"),
    "counts by two": ("ADD r1, r1, 1", "ADD r1, r1, 2"),
    "starts at minus one": ("SET r1, 0", "SET r1, -1"),
    "one past the last": (".const LAST 4", ".const LAST 5"),
    "missing clamp of negative numbers": ("  SET r5, 0\n", ""),
    "clamp not called": ("  CALL clamp\n", ""),
    "clamps the wrong way": ("LT r2, r3, r5", "LT r2, r5, r3"),
    "the wrong index": ("DATA[table + r5]", "DATA[table + 1 + r5]"),
}

BAD_FAULTS = {
    "wrong branch on the confirmation": ("JNZ confirmed, pay", "JZ confirmed, pay"),
    "missing confirmation": ("  JNZ confirmed, pay\n", "  JMP pay\n"),
    "refunds twice": ("  EXPERT refund\ndone:", "  EXPERT refund\n  EXPERT refund\ndone:"),
    "inverted guard of the expert": ("!confirmed", "confirmed"),
    "the host writes the wrong bit": ("ask writes confirmed", "ask writes bad"),
    "counts past zero": ("SUB r1, r1, 1", "SUB r1, r1, 2"),
    "pays without asking": ("SET r1, 3", "EXPERT refund\n  SET r1, 3"),
}

EXPECTED = {
    "room for one more": {("serve", "serve"), ("serve", "always")},
    "wrong branch at the check": {("serve", "serve")},
    "missing check for room": {("serve", "serve")},
    "missing check for an empty buffer": {("serve", "no trap BOUNDS")},
    "wrong register in the check": {("serve", "serve")},
    "counts by two": {("serve", "serve")},
    "starts at minus one": {("entry", "serve")},
    "one past the last": {("clamp", "no trap BOUNDS")},
    "missing clamp of negative numbers": {("clamp", "no trap BOUNDS")},
    "clamp not called": {("serve", "no trap BOUNDS")},
    "clamps the wrong way": {("clamp", "no trap BOUNDS")},
    "the wrong index": {("clamp", "no trap BOUNDS")},
    "wrong branch on the confirmation": {("wait", "always"), ("wait", "exit")},
    "missing confirmation": {("wait", "always"), ("wait", "exit")},
    "refunds twice": {("wait", "always")},
    "inverted guard of the expert": {("wait", "always")},
    "the host writes the wrong bit": {("wait", "always")},
    "counts past zero": {("wait", "wait")},
    "pays without asking": {("entry", "always")},
}
"""What must be among the refuted: node and claim."""

PROCESSES = {"bounds": (BOUNDS, BOUNDS_CLAIMS), "bad": (BAD, BAD_CLAIMS)}
FAULTS = [("bounds", name, *edit) for name, edit in BOUNDS_FAULTS.items()]
FAULTS += [("bad", name, *edit) for name, edit in BAD_FAULTS.items()]


def verdict(text: str, claims: str) -> Report:
    program = assemble(text)
    return hoare_check(program, parse_annotations(claims, program))


@pytest.mark.parametrize("name", PROCESSES)
def test_the_processes_verify(name: str) -> None:
    report = verdict(*PROCESSES[name])
    assert report.accepted
    assert not report.unreached
    assert not report.refutations
    assert report.proofs > len(report.edges)


def test_there_are_at_least_twelve_faults() -> None:
    assert len(FAULTS) >= 12


@pytest.mark.parametrize(("process", "fault", "good", "faulty"), FAULTS)
def test_faults_are_refuted_by_a_run(process: str, fault: str, good: str, faulty: str) -> None:
    text, claims = PROCESSES[process]
    assert text.count(good) >= 1, fault
    program = assemble(text.replace(good, faulty, 1))
    report = hoare_check(program, parse_annotations(claims, program))
    assert not report.accepted, fault
    assert report.refutations
    for refutation in report.refutations:
        example = refutation.example
        machine, _ = prepare(layout_of(program), example)
        assert machine.pc == example.pc
        assert [step.pc for step in refutation.steps] == list(example.path)
        if example.stop is not None:
            trap = refutation.steps[-1].result.trap
            assert trap is not None
            assert trap.kind is example.stop
    found = {(r.example.source, r.example.claim) for r in report.refutations}
    assert found >= EXPECTED[fault]


def test_a_fault_that_only_loses_time_is_none() -> None:
    late = BAD.replace("  SUB r1, r1, 1\n  JNZ r1, wait", "  JNZ r1, wait\n  SUB r1, r1, 1")
    assert late != BAD
    assert verdict(
        late, BAD_CLAIMS
    ).accepted  # it asks for ever; that a program ends is not claimed
