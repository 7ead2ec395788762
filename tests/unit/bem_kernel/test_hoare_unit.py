"""BEM_HOARE_CHECK on a program that carries its own annotations."""

from __future__ import annotations

import numpy as np
import pytest

from bem_kernel.hoare.unit import HoareUnit
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.core import Stop
from bem_kernel.isa.instructions import Opcode
from bem_kernel.isa.machine import Machine, RunResult

ALLOW = "allow NO_UNIT REFUSED LATENCY BOUNDS\n"


def run(
    claims: bytes, unit: HoareUnit | None = None, size: int | None = None, lanes: int = 1
) -> RunResult:
    """A program that asks about itself, then counts r2 to 5."""
    words = np.frombuffer(claims + bytes(-len(claims) % 8), dtype="<u8").tolist()
    data = " ".join(str(word) for word in [len(claims) if size is None else size, *words])
    text = f".data claims {data}\n BEM_HOARE_CHECK r1, DATA[claims]\n SET r2, 0\n.cfg up\nup:\n"
    text += " ADD r2, r2, 1\n LT r3, r2, 5\n JNZ r3, up\n"
    program = assemble(text)
    units = {Opcode.BEM_HOARE_CHECK: unit or HoareUnit()}
    return Machine(program, units=units, lanes=lanes).run(100)


def test_a_program_checks_itself() -> None:
    good = ALLOW + "at up: 0 <= r2 < 5\nat exit: r2 == 5  # ✓\n"
    assert run(good.encode()).registers[1:3] == (1, 5)
    assert run(good.replace("== 5", "== 4").encode()).registers[1:3] == (0, 5)
    assert run(b"at up: 0 <= r2 < 5").registers[1] == 0  # a unit may trap, which is not allowed


@pytest.mark.parametrize(
    ("claims", "size", "message"),
    [
        (b"at up 1", None, "descriptor: line 1: cannot read 'at up 1'; write at NODE: condition"),
        (ALLOW.encode(), None, "hoare: a loop from entry comes back to up (line 6)"),
        (b"\xff", None, "hoare unit: byte 0 is no UTF-8; store a Unicode text"),
        (b"", 65537, "hoare unit: annotations of 65537 bytes; use at most 65536"),
    ],
)
def test_what_it_refuses(claims: bytes, size: int | None, message: str) -> None:
    trap = run(claims, size=size).trap
    assert trap is not None
    assert trap.kind is Stop.REFUSED
    assert message in trap.text


def test_a_text_that_is_not_there() -> None:
    trap = run(b"at", size=4000).trap
    assert trap is not None
    assert trap.kind is Stop.BOUNDS


def test_its_work_is_bounded() -> None:
    good = (ALLOW + "at up: 0 <= r2 < 5").encode()
    trap = run(good, HoareUnit(bound=2)).trap
    assert trap is not None
    assert trap.kind is Stop.LATENCY
    assert run(good, HoareUnit(bound=3)).trap is None
    assert run(good, HoareUnit(budget=0)).registers[1] == 0


def test_more_lanes_are_refused() -> None:
    trap = run((ALLOW + "at up: 0 <= r2 < 5").encode(), lanes=2).trap
    assert trap is not None
    assert trap.kind is Stop.REFUSED
    assert "hoare unit: the program runs in 2 lanes, in a memory of" in trap.text
