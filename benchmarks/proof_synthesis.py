"""How small do circuits become, and how quickly is the least size of a function known?

The optimal database is built against a limit of ten seconds. Exact synthesis proves that seven
gates are needed for a function of four inputs, against ABC's `lutexact`, which is asked only
whether six do, and gives no proof. Circuits of the EPFL benchmark (`--data DIR` with `epfl/` in
it) are optimised for ten seconds (two without `--full`) against `&deepsyn` and against aigverse,
each for as long; the smaller result of the two is the peer. What they leave is mapped to two-input
look-up tables for the least area, so that an XOR counts as one gate. Every result of ours is
proved equal. And how much faster does a program run once its hot code has been replaced?
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, UnavailableError, row, time_pair

if TYPE_CHECKING:
    from bem_kernel.isa.machine import RunResult
    from bem_kernel.isa.program import Program

EPFL = {
    "adder": "arithmetic",
    "ctrl": "random_control",
    "int2float": "random_control",
    "router": "random_control",
    "cavlc": "random_control",
    "priority": "random_control",
}
_RESOURCE = """alias b balance
alias rw rewrite
alias rwz rewrite -z
alias rf refactor
alias rfz refactor -z
alias rs resub
alias compress2rs "b -l; rs -K 6 -l; rw -l; rs -K 6 -N 2 -l; rf -l; rs -K 8 -l; b -l; \
rs -K 8 -N 2 -l; rw -l; rs -K 10 -l; rwz -l; rs -K 10 -N 2 -l; b -l; rs -K 12 -l; rfz -l; \
rs -K 12 -N 2 -l; rwz -l; b -l"
alias &dc3 "&b; &jf -K 6; &b; &jf -K 4; &b"
""".replace("\\\n", "")


@row(
    "proof.database",
    peer_name="limit",
    unit="s",
    target=1.0,
    better="less",
)
def database(context: Context) -> Measured:
    """All 65,536 functions of four inputs: the search, and the evaluation of every entry."""
    from bem_kernel.synthesis.database import CLASSES_BY_SIZE, build_database

    build_database()
    ours = []
    for _ in range(5 if context.full else 3):
        start_s = time.perf_counter()
        built = build_database()
        ours.append(time.perf_counter() - start_s)
        by_size = [int((built.sizes == size).sum()) for size in range(8)]
        assert tuple(by_size) == CLASSES_BY_SIZE
    return Measured(ours, [10.0] * len(ours))


@row(
    "proof.exact_synthesis",
    peer_name="ABC lutexact, six gates refuted",
    unit="s",
    target=2.0,
    better="less",
)
def exact_synthesis(context: Context) -> Measured:
    """A function of seven gates: the circuit, and proofs that three to six do not do."""
    from bem_kernel.synthesis.database import optimal_database
    from bem_kernel.synthesis.exact import exact_circuit, verify

    abc = _abc()
    built = optimal_database()
    table = int(built.classes.names[built.sizes == 7][0])
    exact_circuit([0xE8], 3)
    ours, peer = [], []
    for _ in range(3 if context.full else 1):
        start_s = time.perf_counter()
        result = exact_circuit([table], 4)
        ours.append(time.perf_counter() - start_s)
        assert result is not None
        assert result.size == 7
        assert verify(result)
        start_s = time.perf_counter()
        said = _run(abc, f"lutexact -I 4 -N 6 -K 2 -i {table:04x}")
        peer.append(time.perf_counter() - start_s)
        assert "no solution" in said
    return Measured(ours, peer)


def _abc() -> str:
    for name in ("berkeley-abc", "abc"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise UnavailableError("needs ABC (berkeley-abc) on the PATH")


def _run(abc: str, script: str) -> str:
    done = subprocess.run([abc, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


def _deepsyn(circuit: Path, seconds: int) -> int:
    """Two-input gates of any kind that ABC leaves after so many seconds."""
    return _mapped(circuit, f"&deepsyn -T {seconds} -t")


def _mapped(circuit: Path, step: str) -> int:
    """Two-input gates of any kind after a step of ABC's."""
    abc = _abc()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "abc.rc").write_text(_RESOURCE)
        steps = f"&r {circuit}; {step}; &put; if -K 2 -a; print_stats"
        said = _run(abc, f"source {folder}/abc.rc; {steps}")
    found = re.search(r"\bnd *= *(\d+)", said)
    assert found is not None, said
    return int(found[1])


def _aigverse(circuit: Path, seconds: int) -> int:
    """Two-input gates of any kind that aigverse leaves: its passes in turn, the smallest network.

    Every fourth round accepts replacements that save nothing, every eighth balances, so that the
    rounds do not end in the first local optimum.
    """
    try:
        from aigverse import algorithms, io
    except ImportError:
        raise UnavailableError("needs aigverse") from None
    network: Any = io.read_aiger_into_aig(circuit)
    best, rounds, end = network.clone(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        sideways = rounds % 4 == 3
        network = algorithms.sop_refactoring(
            network, max_pis=6 + rounds % 5, allow_zero_gain=sideways
        )
        network = algorithms.aig_cut_rewriting(network, allow_zero_gain=sideways)
        network = algorithms.aig_resubstitution(
            network, max_pis=8 + rounds % 3, max_inserts=1 + rounds % 3
        )
        if rounds % 8 == 7:
            network = algorithms.balancing(network)
        if network.num_gates < best.num_gates:
            best = network.clone()
        rounds += 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "best.aig")
        io.write_aiger(best, path)
        return _mapped(path, "&st")


@cache
def _sizes(name: str, data: Path, seconds: int, seed: int) -> tuple[int, int]:
    """Gates that we, and the better of ABC and aigverse, leave of one circuit after equal time."""
    from bem_kernel.synthesis.aiger import read_aiger
    from bem_kernel.synthesis.optimise import optimise

    path = data / "epfl" / EPFL[name] / f"{name}.aig"
    if not path.is_file():
        raise UnavailableError(f"needs {path}")
    peer = min(_deepsyn(path, seconds), _aigverse(path, seconds))
    _warm()
    return optimise(read_aiger(path), 1000 * seconds, seed=seed).after, peer


@cache
def _warm() -> None:
    """Compile the kernels, or load them, before time counts."""
    from random import Random

    from bem_kernel.circuits.random_circuit import random_live_circuit
    from bem_kernel.synthesis.optimise import optimise

    for n_inputs in (8, 20):
        optimise(random_live_circuit(Random(0), n_inputs, 60, 4), 500)


def _of(context: Context, name: str) -> tuple[int, int]:
    if context.data is None:
        raise UnavailableError("needs --data DIR with epfl/ in it")
    return _sizes(name, context.data, 10 if context.full else 2, context.seed)


def _declare(name: str) -> None:
    @row(
        f"proof.epfl_{name}",
        peer_name="best of ABC &deepsyn and aigverse, equal time each",
        unit="gates",
        target=0.98,
        better="less",
    )
    def measure(context: Context) -> Measured:
        ours, peer = _of(context, name)
        return Measured([ours], [peer])


for _name in EPFL:
    _declare(_name)


@row("proof.epfl_better", peer_name="limit: better on two", unit="circuits", target=1.0)
def better(context: Context) -> Measured:
    """On how many of the circuits fewer gates are left than by either peer."""
    sizes = [_of(context, name) for name in EPFL]
    return Measured([sum(ours < peer for ours, peer in sizes)], [2])


_HOT = """
.bits a b c d e f g h
.expert sum: e = a ^ b ^ c; d = a & b | a & c | b & c
.expert carry: f = d & a | d & b; d = a & (b | c) | b & c
.expert mixed: g = e & !f | !e & f; h = d & a | d & !a
.expert next: a = b; b = c; c = g ^ h
  SET r1, 0
loop:
  EXPERT sum
  MUL r3, r1, 2
  EXPERT carry
  ADD r3, r3, r3
  EXPERT mixed
  SHL r4, r3, 1
  EXPERT next
  SHL r4, r4, 2
  ADD r1, r1, 1
  LT r2, r1, {rounds}
  JNZ r2, loop
"""


@row(
    "proof.hot_code",
    peer_name="the program before it was optimised",
    unit="s",
    target=1.5,
    better="less",
)
def hot_code(context: Context) -> Measured:
    """A loop of experts and arithmetic on 64 lanes, before and after a proved replacement."""
    from bem_kernel.isa.assembler import assemble
    from bem_kernel.isa.machine import Machine, initial_state
    from bem_kernel.patches.superoptimise import shorter_program

    before = assemble(_HOT.format(rounds=200_000 if context.full else 20_000))
    after = shorter_program(before, 2_000).program
    state = initial_state(before, 64)
    state[:3, 0] = 0x5A5A_0FF0_3C3C_9669, 0x1234_5678_9ABC_DEF0, 0x0F1E_2D3C_4B5A_6978

    def run(program: Program) -> RunResult:
        return Machine(program, state, lanes=64, interpreter="compiled").run(1 << 30)

    old, new = run(before), run(after)
    assert (old.state == new.state).all()
    assert old.registers == new.registers
    return time_pair(lambda: run(after), lambda: run(before), repetitions=5)
