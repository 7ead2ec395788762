"""Reachability: programs without annotations, depths, lemmas, tampered evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import HoareError
from bem_kernel.hoare.reach import Bounded, Method, Reached, Unreachable, reach
from bem_kernel.hoare.reach_program import program_system
from bem_kernel.hoare.reach_proof import Evidence, Reason, check_unreachable
from bem_kernel.hoare.transition import TransitionSystem, cone
from bem_kernel.isa.assembler import assemble


def ring(length: int, *, bad_at_both: int) -> TransitionSystem:
    """One token goes round; bad: it is in two places. Not inductive until all pairs are known."""
    builder = CircuitBuilder(length)
    bad = builder.and_(0, bad_at_both)
    following = [(i - 1) % length for i in range(length)]
    step = builder.build([*following, builder.const(True), bad])
    return TransitionSystem((True, *(False,) * (length - 1)), step)


def counter(width: int, *, bad: int) -> TransitionSystem:
    """Counts by two from 0, or stays where it is if its input says so; bad at a number."""
    builder = CircuitBuilder(width + 1)
    carry, following = builder.not_(width), [0]
    for bit in range(1, width):
        following.append(builder.xor(bit, carry))
        carry = builder.and_(bit, carry)
    here = builder.const(True)
    for bit in range(width):
        here = builder.and_(here, bit if bad >> bit & 1 else builder.not_(bit))
    step = builder.build([*following, builder.const(True), here])
    return TransitionSystem((False,) * width, step)


def test_k_induction_needs_depth_and_lemmas_do_not() -> None:
    system = ring(6, bad_at_both=3)
    deep = reach(system, method=Method.INDUCTION)
    assert isinstance(deep, Unreachable)
    assert deep.evidence.reason.depth > 1 and not deep.evidence.reason.lemmas
    short = reach(system, method=Method.LEMMAS)
    assert isinstance(short, Unreachable)
    assert short.evidence.reason.depth == 0 and short.evidence.reason.lemmas


def test_states_that_differ_make_induction_complete() -> None:
    found = reach(counter(4, bad=5), method=Method.INDUCTION)
    assert isinstance(found, Unreachable) and found.evidence.reason.pairs
    lemma = reach(counter(20, bad=5), method=Method.LEMMAS)  # a million states
    assert isinstance(lemma, Unreachable) and lemma.evidence.reason.lemmas == ((-1,),)


def test_a_shortest_run() -> None:
    found = reach(counter(8, bad=40), depth=64, method=Method.INDUCTION)
    assert isinstance(found, Reached) and len(found.path) == 21
    assert reach(counter(8, bad=40), depth=20, method=Method.INDUCTION) == Bounded(20)
    assert isinstance(reach(counter(8, bad=40), method=Method.LEMMAS), Reached)
    assert reach(ring(6, bad_at_both=3), method=Method.LEMMAS, questions=3) == Bounded(0)


def test_only_the_cone_counts() -> None:
    builder = CircuitBuilder(12)
    noise = [builder.xor(i, (i + 1) % 10) for i in range(10)]
    step = builder.build([*noise, 11, 10, builder.const(True), 10])
    part = cone(TransitionSystem((False,) * 12, step))
    assert part.state == (10, 11) and part.system.step.n_inputs == 2


@pytest.fixture
def proved() -> tuple[TransitionSystem, Evidence]:
    system = ring(5, bad_at_both=2)
    found = reach(system, method=Method.LEMMAS)
    assert isinstance(found, Unreachable)
    check_unreachable(system, found.evidence)
    return system, found.evidence


def test_tampered_evidence(proved: tuple[TransitionSystem, Evidence]) -> None:
    system, evidence = proved
    lemmas = evidence.reason.lemmas
    for other, message in (
        (replace(evidence, proofs=evidence.proofs[1:]), "2 proofs for 3 formulas"),
        (replace(evidence, reason=replace(evidence.reason, lemmas=lemmas[1:])), "the proof of '"),
        (replace(evidence, reason=Reason(0, ((-1,), *lemmas))), "the proof of 'begin' fails"),
        (replace(evidence, reason=Reason(0, ((9,), *lemmas))), "a reason of depth 0 with literals"),
        (replace(evidence, reason=Reason(1, lemmas, ((0, 2),))), "pairs .* at depth 1"),
        (replace(evidence, reason=Reason(-1, lemmas)), "a reason of depth -1"),
    ):
        with pytest.raises(HoareError, match=message):
            check_unreachable(system, other)
    with pytest.raises(HoareError, match="the proof of '"):
        check_unreachable(ring(5, bad_at_both=0), evidence)


def test_systems_that_are_none() -> None:
    with pytest.raises(HoareError, match="2 state bits, a step of 1 inputs and 2 outputs"):
        TransitionSystem((None, None), Circuit(1, (), (0, 0)))


CALLS = """.bits on bad
.port ask writes on
.space kept 4
.expert go_wrong: bad = true
again:
  HOST ask
  ADD r1, r1, 1
  CALL keep
  LD r3, DATA[kept + 3]
  JZ r3, again
  JZ on, again
  EXPERT go_wrong
  HALT
.cfg keep
keep:
  LT r2, r1, 4
  JZ r2, done
  ST r1, DATA[kept + r1]
done:
  RET
"""


def test_calls_memory_and_hosts() -> None:
    system = program_system(assemble(CALLS), "bad")
    found = reach(system.system)
    assert isinstance(found, Reached)
    run = system.replayed(found.path)
    assert sum(step.text.startswith("HOST") for step in run.steps) == 3
    assert run.steps[-1].set_bits == ("bad",)


def test_a_trap_is_an_end() -> None:
    trapping = CALLS.replace("  JZ r2, done\n", "").replace("kept 4", "kept 3")
    trapping = trapping.replace("kept + 3", "kept + 2")
    system = program_system(assemble(trapping), "r1 > 3")
    assert isinstance(reach(system.system), Unreachable)  # the store traps first


def test_bad_in_the_middle_of_a_block_and_at_the_beginning() -> None:
    program = assemble("  SET r1, 3\n  SET r1, 4\n  HALT\n")
    for bad, steps in (("r1 == 3", 1), ("r1 == 4", 2), ("r1 == 0", 0)):
        system = program_system(program, bad)
        found = reach(system.system)
        assert isinstance(found, Reached), bad
        assert len(system.replayed(found.path).steps) == steps
    assert isinstance(reach(program_system(program, "r1 == 5").system), Unreachable)


def test_recursion_is_refused() -> None:
    text = "f:\n  CALL f\n  CALL f\n  CALL f\n" * 1
    system = program_system(assemble(text), "r1 == 1")
    assert isinstance(reach(system.system, depth=100), Unreachable)
    deep = "".join(
        f"f{i}:\n  JZ r1, f{i}a\n  CALL f{i + 1}\nf{i}a:\n  CALL f{i + 1}\n" for i in range(12)
    )
    with pytest.raises(HoareError, match="or 1024 blocks in calls; prove it by annotations"):
        program_system(assemble(deep + "f12:\n  RET\n"), "r1 == 1")


def test_a_system_of_no_bits() -> None:
    builder = CircuitBuilder(1)
    step = builder.build([builder.const(True), builder.and_(0, builder.const(False))])
    assert isinstance(reach(TransitionSystem((), step)), Unreachable)
    found = reach(TransitionSystem((), CircuitBuilder(1).build([0, 0])))
    assert isinstance(found, Reached) and np.array_equal(found.path.inputs, [[True]])
