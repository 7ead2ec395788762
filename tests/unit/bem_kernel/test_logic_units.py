"""BEM_SAT_CHECK and BEM_PROOF_CHECK, asked by programs; and which units a machine gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from bem_kernel.hoare.annotations import parse_annotations
from bem_kernel.hoare.check import hoare_check
from bem_kernel.hoare.logic_units import SatUnit
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.core import Stop
from bem_kernel.isa.instructions import Opcode
from bem_kernel.isa.machine import Machine, RunResult
from bem_kernel.isa.units import Unit
from bem_kernel.ledger.chain import Ledger
from bem_kernel.logic.cnf import cnf_from_clauses, to_bitsets
from bem_kernel.patches.attach import all_units

Clauses = list[list[int]]
PAIRS = [[1, 2], [1, -2], [-1, 2], [-1, -2]]


def bitset_words(clauses: Clauses, n_vars: int) -> list[int]:
    pos, neg = to_bitsets(cnf_from_clauses(clauses, n_vars))
    return [int(w) for p, n in zip(pos, neg, strict=True) for w in (*p, *n)]


def run(text: str, units: dict[Opcode, Unit] | None = None) -> RunResult:
    program = assemble(text)
    return Machine(program, units=units or all_units(program)).run(100)


def solve(
    clauses: Clauses, n_vars: int, words: list[int] | None = None, unit: SatUnit | None = None
) -> RunResult:
    """Decide a formula; its model goes to r2, or to r2 and r3."""
    stored = bitset_words(clauses, n_vars) if words is None else words
    room = [0] * max(1, -(-n_vars // 64)) if n_vars < 1 << 20 else []
    data = " ".join(map(str, [n_vars, len(clauses), *room, *stored]))
    text = f".data f {data} 0 0\n BEM_SAT_CHECK r1, DATA[f]\n"
    text += " LD r2, DATA[f + 2]\n LD r3, DATA[f + 3]\n"
    return run(text, None if unit is None else {Opcode.BEM_SAT_CHECK: unit})


def follow(clauses: Clauses, steps: list[tuple[int, list[int]]], n_vars: int = 2) -> int:
    """The verdict on a proof of steps (kind, clause)."""
    formula = [n_vars, len(clauses), 0, *bitset_words(clauses, n_vars)]
    proof = [w for kind, clause in steps for w in (kind, *bitset_words([clause], n_vars))]
    text = f".data f {' '.join(map(str, formula))}\n.data p 0 {len(steps)} "
    text += " ".join(map(str, proof)) + "\n ADR r4, DATA[f]\n ST r4, DATA[p]\n"
    return run(text + " BEM_PROOF_CHECK r1, DATA[p]\n").registers[1]


def test_a_model_is_written() -> None:
    found = solve([[1], [-2], [66]], 66)
    assert found.registers[1] == 1
    assert found.registers[2] & 3 == 1 and found.registers[3] & 2 == 2


def test_a_formula_without_models() -> None:
    assert solve(PAIRS, 2).registers[1] == 0
    assert solve([[]], 0).registers[1] == 0


def test_a_formula_that_is_none() -> None:
    assert solve([[1]], 1, [4, 0]).registers[1] == 2  # variable 3 of one


def test_what_is_too_much() -> None:
    trap = solve([[]], 1 << 40, []).trap
    assert trap is not None and trap.kind is Stop.REFUSED and "use at most 65536" in trap.text
    holes = [[4 * i + j for i in range(6)] for j in range(1, 5)]
    pigeons = [[4 * i + j for j in range(1, 5)] for i in range(6)]
    clauses = pigeons + [[-a, -b] for row in holes for a in row for b in row if a < b]
    assert solve(clauses, 24).registers[1] == 0
    trap = solve(clauses, 24, unit=SatUnit(budget=2)).trap
    assert trap is not None and "not decided after 2 conflicts" in trap.text


def test_a_model_that_may_not_be_written() -> None:
    trap = run(" BEM_SAT_CHECK r1, CODE[3]\n").trap
    assert trap is not None and trap.kind is Stop.REFUSED
    assert "no model may be written here; keep the formula in DATA" in trap.text


def test_what_is_proved_of_a_program_counts_the_model_in() -> None:
    text = ".data f 1 1 0 1 0\n BEM_SAT_CHECK r1, DATA[f]\n"
    program = assemble(text)
    claims = "allow NO_UNIT REFUSED LATENCY BOUNDS\nat exit: f[2] == 0\n"
    report = hoare_check(program, parse_annotations(claims, program))
    assert not report.accepted and report.refutations


def test_proofs() -> None:
    assert follow(PAIRS, [(0, [1]), (0, [])]) == 1
    assert follow(PAIRS, [(1, [1, 2]), (1, [1, -2]), (0, [])]) == 0
    assert follow(PAIRS[:3], [(0, [])]) == 0
    assert follow(PAIRS, [(3, [1]), (0, [])]) == 0


def test_the_pivot_counts() -> None:
    # Where 1 holds, (¬1 or 2) is RAT on 2, which no clause has negated, and not on ¬1.
    clauses = [[1], [3, 4], [3, -4], [-3, 4], [-3, -4]]
    assert follow(clauses, [(4, [-1, 2]), (0, [3]), (0, [])], 4) == 1
    assert follow(clauses, [(0, [-1, 2]), (0, [3]), (0, [])], 4) == 0


def test_units_are_made_for_what_is_asked(tmp_path: Path) -> None:
    assert all_units(assemble(" HALT\n")) == {}
    everything = ".data d 0\n" + "".join(
        f" {name} r1, DATA[d]\n" for name in ("BEM_SAT_CHECK", "BEM_HOARE_CHECK", "BEM_APPLY_PATCH")
    )
    found = all_units(assemble(everything), ledger=Ledger(tmp_path / "log.jsonl"))
    assert set(found) == {
        Opcode.BEM_SAT_CHECK,
        Opcode.BEM_PROOF_CHECK,
        Opcode.BEM_HOARE_CHECK,
        Opcode.BEM_LOG_APPEND,
    }


@pytest.mark.parametrize("name", ["BEM_SAT_CHECK", "BEM_PROOF_CHECK"])
def test_a_descriptor_that_is_not_there(name: str) -> None:
    trap = run(f".data d 0\n {name} r1, DATA[d]\n").trap
    assert trap is not None and trap.kind is Stop.BOUNDS
