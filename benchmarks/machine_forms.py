"""How quickly are normal forms made, against numpy and against BDD packages?

The Möbius row transforms one function of 16 inputs, 1024 packed words. The ROBDD rows take circuits
of 256 gates and 16 inputs in which every gate reaches the one output, and time them all together,
since a diagram's cost varies tenfold from circuit to circuit. Both sides start from gates in the
form they read fastest: ours from the packed gates that a circuit keeps, the peer from a list of
bound operators; the peer's manager and variables are made beforehand, its variables in our order,
its reordering off, its caches of the size that served it best. Ours goes over the circuits several
times a repetition, or finding its code in memory would be a third of it. The diagrams are compared
before timing.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, row, time_pair

if TYPE_CHECKING:
    from bem_kernel.circuits.circuit import Circuit
    from bem_kernel.lanes import Planes

N_INPUTS, N_GATES = 16, 256
_PASSES = 8


@row("machine.anf", peer_name="numpy on packed words", unit="s", target=8.0, better="less")
def anf(context: Context) -> Measured:
    """The Möbius transform of one function of 16 inputs."""
    import numpy as np

    from bem_kernel.forms.anf import moebius

    shape = (1, (1 << N_INPUTS) // 64)
    words = np.random.default_rng(context.seed).integers(0, 2**64, shape, dtype=np.uint64)
    peer = _numpy_moebius(words)
    assert (peer() == moebius(words, N_INPUTS)[0]).all()
    calls = 2_000 if context.full else 200

    def repeated(transform: Callable[[], object]) -> None:
        for _ in range(calls):
            transform()

    measured = time_pair(
        lambda: repeated(lambda: moebius(words, N_INPUTS)), lambda: repeated(peer), repetitions=15
    )
    return Measured([s / calls for s in measured.ours], [s / calls for s in measured.peer])


def _numpy_moebius(table: Planes) -> Callable[[], Planes]:
    """The same transform with numpy: six steps within words, then a step per axis of two.

    Views, masks and scratch are made once and every operation writes into place, which took a
    third less time than the plain expressions.
    """
    import numpy as np

    (words,) = table
    masks = [sum(1 << r for r in range(64) if not r >> i & 1) for i in range(6)]
    steps = [(np.uint64(mask), np.uint64(1 << i)) for i, mask in enumerate(masks)]
    result, scratch = np.empty_like(words), np.empty_like(words)
    halves = [result.reshape(-1, 2, 1 << i) for i in range(len(words).bit_length() - 1)]
    pairs = [(half[:, 1], half[:, 0]) for half in halves]

    def transform() -> Planes:
        np.copyto(result, words)
        for mask, shift in steps:
            np.bitwise_and(result, mask, out=scratch)
            np.left_shift(scratch, shift, out=scratch)
            np.bitwise_xor(result, scratch, out=result)
        for high, low in pairs:
            np.bitwise_xor(high, low, out=high)
        return result

    return transform


@row("machine.robdd_cudd", peer_name="dd.cudd", unit="s", target=100.0, better="less")
def robdd_cudd(context: Context) -> Measured:
    """Diagrams of random circuits against CUDD through dd, a circuit on average."""
    return _robdd(context, _cudd)


@row("machine.robdd_oxidd", peer_name="oxidd", unit="s", target=50.0, better="less")
def robdd_oxidd(context: Context) -> Measured:
    """Diagrams of random circuits against oxidd with complement edges, a circuit on average."""
    return _robdd(context, _oxidd)


Builder = Callable[[], tuple[Callable[[], Any], Callable[[Any], int]]]
"""Makes a fresh manager; gives what builds the diagram, and what counts its ones."""


def _robdd(context: Context, peer_of: Callable[[Circuit], Builder]) -> Measured:
    import numpy as np

    from bem_kernel.circuits.random_circuit import random_live_circuit
    from bem_kernel.forms.packed_table import table_from_circuit
    from bem_kernel.forms.robdd import robdd_from_circuit, table_from_robdd

    repetitions, count = (9, 32) if context.full else (5, 8)
    circuits = [
        random_live_circuit(Random(context.seed + i), N_INPUTS, N_GATES, 1) for i in range(count)
    ]
    peers = [peer_of(circuit) for circuit in circuits]
    for circuit, peer in zip(circuits, peers, strict=True):
        table = table_from_circuit(circuit)
        assert table_from_robdd(robdd_from_circuit(circuit)) == table
        build, ones = peer()
        assert ones(build()) == int(np.bitwise_count(table.words).sum())
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(repetitions):
        start_s = time.perf_counter()
        for circuit in circuits * _PASSES:
            robdd_from_circuit(circuit)
        ours.append((time.perf_counter() - start_s) / (count * _PASSES))
        theirs.append(sum(_seconds(peer) for peer in peers) / count)
    return Measured(ours, theirs)


def _seconds(peer: Builder) -> float:
    """Time to build one diagram in a fresh manager, which is made before and freed after."""
    build, _ = peer()
    start_s = time.perf_counter()
    root = build()
    took_s = time.perf_counter() - start_s
    del root
    return took_s


def _and_not(a: Any, b: Any) -> Any:
    return a & ~b


def _operations(circuit: Circuit, xor: Callable[[Any, Any], Any]) -> list[tuple[Any, int, int]]:
    from bem_kernel.circuits.circuit import Op

    function = {Op.AND: operator.and_, Op.OR: operator.or_, Op.XOR: xor, Op.ANDN: _and_not}
    return [(function[gate.op], gate.a, gate.b) for gate in circuit.gates]


def _apply(operations: Sequence[tuple[Any, int, int]], inputs: Sequence[Any]) -> Any:
    slots = list(inputs)
    for function, a, b in operations:
        slots.append(function(slots[a], slots[b]))
    return slots[-1]


def _cudd(circuit: Circuit) -> Builder:
    from dd import cudd

    def prepare() -> tuple[Callable[[], Any], Callable[[Any], int]]:
        manager = cudd.BDD(initial_cache_size=1 << 14)
        manager.configure(reordering=False)
        names = [f"x{i}" for i in range(circuit.n_inputs)]
        manager.declare(*reversed(names))  # the first declared is the root
        inputs = [manager.var(name) for name in names]
        operations = _operations(circuit, lambda a, b: manager.apply("xor", a, b))
        return lambda: _apply(operations, inputs), lambda root: int(root.count(circuit.n_inputs))

    return prepare


def _oxidd(circuit: Circuit) -> Builder:
    from oxidd.bcdd import BCDDManager

    def prepare() -> tuple[Callable[[], Any], Callable[[Any], int]]:
        manager = BCDDManager(1 << 16, 1 << 14, 1)  # one thread
        manager.add_vars(circuit.n_inputs)
        # The first variable is the root.
        inputs = [manager.var(circuit.n_inputs - 1 - i) for i in range(circuit.n_inputs)]
        operations = _operations(circuit, operator.xor)
        return lambda: _apply(operations, inputs), lambda root: int(
            root.sat_count(circuit.n_inputs)
        )

    return prepare
