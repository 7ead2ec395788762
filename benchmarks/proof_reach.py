"""How quickly is a run of a program to BAD found?

A program keeps numbers that a host hands it, in a buffer; BAD is that the buffer is full, which is
a run of some blocks for each number. Ours searches depths and lemmas and runs the system to BAD;
the peer unrolls the same steps, one more each time, and gives each formula to CaDiCaL. Buffers of
2 (with `--full` 6). That BAD is unreachable the peer can never say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row, time_pair

if TYPE_CHECKING:
    from bem_kernel.hoare.transition import TransitionSystem

QUEUE = """
.bits push
.port ask writes push
.space buffer {size}
  SET r1, 0
serve:
  HOST ask, r1
  LD r5, HOST[ask + 1]
  JZ push, take
  LT r2, r1, {size}
  JZ r2, serve
  ST r5, DATA[buffer + r1]
  ADD r1, r1, 1
  JMP serve
take:
  JZ r1, serve
  SUB r1, r1, 1
  LD r5, DATA[buffer + r1]
  JMP serve
"""


def unrolled(system: TransitionSystem) -> int:
    """Steps of the shortest bad run, by a formula for each number of steps."""
    from pysat.solvers import Solver

    from bem_kernel.hoare.unrolling import Unrolling

    steps = 0
    while True:
        steps += 1
        run = Unrolling(system)
        for clause in run.begins():
            run.add(clause)
        for _ in range(steps):
            run.add([run.grow().allowed])
        run.add([run.frames[-1].bad])
        with Solver("cadical195", bootstrap_with=run.cnf().clauses()) as solver:
            if solver.solve():
                return steps


@row("proof.reach_run", peer_name="CaDiCaL 1.9.5, unrolled", unit="s", target=1.0, better="less")
def reach_run(context: Context) -> Measured:
    """A run to a full buffer."""
    from bem_kernel.hoare.reach import Reached, reach
    from bem_kernel.hoare.reach_program import program_system
    from bem_kernel.hoare.transition import cone
    from bem_kernel.isa.assembler import assemble

    size = 6 if context.full else 2
    program = program_system(assemble(QUEUE.format(size=size)), f"r1 == {size}")
    part = cone(program.system).system

    def ours() -> int:
        found = reach(program.system, depth=64)
        assert isinstance(found, Reached)
        return len(found.path)

    assert ours() >= unrolled(part)
    return time_pair(ours, lambda: unrolled(part), repetitions=3)
