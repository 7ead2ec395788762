"""How many instructions a second does the machine execute, against pure Python?

One program: a generator of pseudo-random numbers fills a histogram through loads, stores, a call
and a fixed-point product, and every 16th time steps an expert on 64 lanes. The first row's peer is
the same program in the interpreter that is written in Python; the second row's is a Python function
written by hand for this one purpose, which decodes nothing, checks no address and counts no fuel,
so its target is our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row, time_pair

if TYPE_CHECKING:
    from bem_kernel.isa.machine import Interpreter, Machine

TEXT = """
.bits a b c d
.expert turn: a = b ^ c; b = c & !d | a; c = d ^ a; d = a | !b
.const START 12345
.space histogram 64
  SET r2, START
loop:
  CALL next
  MUL r3, r2, 0x3333, 16
  AND r3, r3, 63
  LD r4, DATA[histogram + r3]
  ADD r4, r4, 1
  ST r4, DATA[histogram + r3]
  SUB r1, r1, 1
  AND r5, r1, 15
  JNZ r5, skip
  EXPERT turn
skip:
  JNZ r1, loop
  HALT
next:                           # xorshift64 (Marsaglia 2003)
  SHL r6, r2, 13
  XOR r2, r2, r6
  SHR r6, r2, 7
  XOR r2, r2, r6
  SHL r6, r2, 17
  XOR r2, r2, r6
  RET
"""
PER_ROUND = 17  # instructions, the experts' own apart
ENDLESS = 1 << 62
_MASK = (1 << 64) - 1


def _machine(interpreter: Interpreter, rounds: int) -> Machine:
    """A machine that is about to go round so many times."""
    from bem_kernel.isa.assembler import assemble
    from bem_kernel.isa.machine import Machine

    machine = Machine(assemble(TEXT), lanes=64, interpreter=interpreter)
    machine.set_register(1, rounds)
    return machine


def _left_by(machine: Machine) -> tuple[list[int], list[int]]:
    """State planes and histogram after the run."""
    from bem_kernel.memory.segments import Segment

    assert machine.run(ENDLESS).halted
    histogram: list[int] = machine.memory.region(Segment.SHARED, "program.data").tolist()
    return machine.state[:, 0].tolist(), histogram


def _by_hand(rounds: int) -> tuple[list[int], list[int]]:
    """The same, as one writes it in Python."""
    a = b = c = d = 0
    x, histogram = 12345, [0] * 64
    while rounds:
        x ^= x << 13 & _MASK
        x ^= x >> 7
        x ^= x << 17 & _MASK
        signed = x - (1 << 64) if x >> 63 else x
        histogram[signed * 0x3333 >> 16 & 63] += 1
        rounds -= 1
        if not rounds & 15:
            a, b, c, d = b ^ c, c & (d ^ _MASK) | a, d ^ a, a | (b ^ _MASK)
    return [a, b, c, d], histogram


@row(
    "machine.isa_interpreter",
    peer_name="the same program, interpreted in pure Python",
    unit="instructions/s",
    target=100.0,
)
def isa_interpreter(context: Context) -> Measured:
    """The compiled interpreter against the one in Python."""
    steps = 500_000 if context.full else 100_000
    assert _left_by(_machine("compiled", 1000)) == _left_by(_machine("plain", 1000))
    ours, peer = _machine("compiled", ENDLESS), _machine("plain", ENDLESS)
    return time_pair(lambda: ours.run(steps), lambda: peer.run(steps), repetitions=7, work=steps)


@row(
    "machine.isa_by_hand",
    peer_name="a Python function written by hand",
    unit="rounds/s",
    target=5.0,
)
def isa_by_hand(context: Context) -> Measured:
    """The compiled interpreter against Python that interprets nothing."""
    rounds = 400_000 if context.full else 100_000
    assert _left_by(_machine("compiled", 1000)) == _by_hand(1000)
    ours = _machine("compiled", ENDLESS)
    return time_pair(
        lambda: ours.run(PER_ROUND * rounds),
        lambda: _by_hand(rounds),
        repetitions=7,
        work=rounds,
    )
