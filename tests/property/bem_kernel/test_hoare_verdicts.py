"""Verdicts on random programs are those of running them from every state."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest

from bem_kernel.hoare.annotations import parse_annotations
from bem_kernel.hoare.check import hoare_check
from bem_kernel.hoare.formula import predicate
from bem_kernel.hoare.state import exact_state, layout_of
from bem_kernel.hoare.words import WordBuilder
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.machine import Machine
from bem_kernel.isa.program import Program

HEAD = """
.bits a b
.expert swap: a = b; b = a
.expert mix: a = a ^ b
.data d 2 -1
"""
LINES = (
    "ADD r1, r1, r2",
    "SUB r2, r2, r1",
    "MUL r1, r1, r2",
    "MUL r2, r1, 3, 1",
    "SHL r1, r1, r2",
    "SAR r2, r1, 1",
    "XOR r1, r1, 2",
    "LT r2, r1, r2",
    "NOT r2, r2",
    "SET r1, 3",
    "EXPERT swap",
    "EXPERT mix",
    "LD r2, DATA[d + r1]",
    "ST r1, DATA[d + 1]",
    "LD r1, DATA[d + 1]",
    "ADR r3, DATA[d]",
    'TRAP_IF b, "no"',
    "BEM_LOAD_STATE r0, DATA[d], r0",
)
JUMPS = ("JZ r1, l{}", "JNZ r2, l{}", "JZ a, l{}", "JNZ b, l{}", "JMP l{}")
CLAIMS = ("r1 <= r2", "r1 + r2 == 3", "a -> r1 != 0", "!(a & b)", "r1 * r2 < 6", "d[1] < r1 + 4",
          "r1 >= 0 | r2[0]", "a ^ b <-> r2 > 1")  # fmt: skip
WIDTHS = "width r1 s2\nwidth r2 1\n"


def random_text(rng: Random) -> str:
    """Straight line with jumps forward, so that it always ends."""
    length = rng.randrange(1, 7)
    lines = []
    for i in range(length):
        jump = rng.choice(JUMPS).format(rng.randrange(i + 1, length + 1))
        lines.append(f"l{i}: {jump if rng.random() < 0.3 else rng.choice(LINES)}")
    return HEAD + "\n".join([*lines, f"l{length}:"])


def violated_from(program: Program, claim: str) -> set[tuple[int, ...]]:
    """The starts from which the machine traps or ends in the claim's violation."""
    layout = layout_of(program)
    found: set[tuple[int, ...]] = set()
    holds = predicate(claim, layout)
    for start in product((-2, -1, 0, 1), (0, 1), (0, 1), (0, 1)):
        machine = Machine(program, interpreter="plain")
        machine.set_register(1, start[0])
        machine.set_register(2, start[1])
        for bit in (0, 1):
            machine.memory.planes[bit] = np.uint64(start[2 + bit])
        result = machine.run(100)
        builder = WordBuilder()
        state = exact_state(builder, layout, machine)
        if result.trap is not None or holds(builder, state) == builder.zero:
            found.add(start)
    return found


def compare(seeds: range) -> tuple[int, int]:
    """How many programs were accepted and refuted, all rightly."""
    accepted = refuted = 0
    for seed in seeds:
        rng = Random(seed)
        program, claim = assemble(random_text(rng)), rng.choice(CLAIMS)
        report = hoare_check(program, parse_annotations(f"{WIDTHS}at exit: {claim}", program))
        wrong = violated_from(program, claim)
        assert report.accepted == (not wrong), (seed, claim)
        layout = layout_of(program)
        for refutation in report.refutations:
            example = refutation.example
            bits = tuple(example.words[layout.plane(bit)] & 1 for bit in (0, 1))
            assert (*example.registers[1:3], *bits) in wrong, (seed, claim)
        accepted, refuted = accepted + report.accepted, refuted + (not report.accepted)
    return accepted, refuted


def test_verdicts_are_those_of_running_from_every_state() -> None:
    assert min(compare(range(12))) >= 1


@pytest.mark.slow
def test_more_verdicts() -> None:
    assert min(compare(range(100, 300))) >= 20
