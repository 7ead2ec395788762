"""How many gate-lanes a second do the engines evaluate, against plain integers and torch?

One random circuit of 256 gates over 32 inputs. Wide rows run 262,144 lanes (65,536 without
`--full`), the narrow row 64, one word, as a machine that steps per byte does.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row, time_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from bem_kernel.circuits.circuit import Circuit
    from bem_kernel.lanes import Planes

N_INPUTS, N_GATES, N_OUTPUTS = 32, 256, 9


def _problem(context: Context, lanes: int) -> tuple[Circuit, Planes]:
    import numpy as np

    from bem_kernel.circuits.random_circuit import random_circuit

    circuit = random_circuit(Random(context.seed), N_INPUTS, N_GATES, N_OUTPUTS)
    shape = (N_INPUTS, lanes // 64)
    planes = np.random.default_rng(context.seed).integers(0, 2**64, shape, dtype=np.uint64)
    return circuit, planes


def _wide_lanes(context: Context) -> int:
    return 262_144 if context.full else 65_536


@row(
    "machine.engine_wide",
    peer_name="one Python integer per plane",
    unit="gate-lanes/s",
    target=2.5,
)
def engine_wide(context: Context) -> Measured:
    """The numpy engine against the plain reference on many lanes."""
    from bem_kernel.engines import engine
    from bem_kernel.engines import reference as engine_reference

    lanes = _wide_lanes(context)
    circuit, planes = _problem(context, lanes)
    return time_pair(
        lambda: engine.evaluate(circuit, planes),
        lambda: engine_reference.evaluate(circuit, planes),
        repetitions=15,
        work=N_GATES * lanes,
    )


@row(
    "machine.engine_wide_torch",
    peer_name="torch, one call per gate",
    unit="gate-lanes/s",
    target=1.2,
)
def engine_wide_torch(context: Context) -> Measured:
    """The numpy engine against one torch call per gate on one thread, on many lanes."""
    import numpy as np

    from bem_kernel.engines import engine

    lanes = _wide_lanes(context)
    circuit, planes = _problem(context, lanes)
    peer = _torch_per_gate(circuit, planes)
    # Both compute the same function: compare before timing.
    assert (peer().numpy().view(np.uint64) == engine.evaluate(circuit, planes)).all()
    return time_pair(
        lambda: engine.evaluate(circuit, planes), peer, repetitions=15, work=N_GATES * lanes
    )


@row(
    "machine.engine_narrow",
    peer_name="numpy, one call per gate",
    unit="gate-lanes/s",
    target=3.0,
)
def engine_narrow(context: Context) -> Measured:
    """The engine that is chosen for one word of lanes against the numpy engine."""
    from bem_kernel.engines import engine
    from bem_kernel.engines import per_gate as engine_numpy

    lanes, calls = 64, 200
    circuit, planes = _problem(context, lanes)

    def repeated(evaluate: Callable[[Circuit, Planes], Planes]) -> None:
        for _ in range(calls):
            evaluate(circuit, planes)

    return time_pair(
        lambda: repeated(engine.evaluate),
        lambda: repeated(engine_numpy.evaluate),
        repetitions=15,
        work=calls * N_GATES * lanes,
    )


def _torch_per_gate(circuit: Circuit, planes: Planes) -> Callable[[], torch.Tensor]:
    """The circuit as a loop of torch calls over preallocated int64 slots, on one thread."""
    import numpy as np
    import torch

    from bem_kernel.circuits.circuit import Op

    torch.set_num_threads(1)
    inputs = torch.from_numpy(planes.view(np.int64))
    slots = torch.zeros((circuit.n_slots, planes.shape[1]), dtype=torch.int64)
    rows = list(slots)
    outputs = torch.tensor(circuit.outputs)

    def run() -> torch.Tensor:
        slots[: circuit.n_inputs] = inputs
        for i, gate in enumerate(circuit.gates):
            a, b, out = rows[gate.a], rows[gate.b], rows[circuit.n_inputs + i]
            match gate.op:
                case Op.AND:
                    torch.bitwise_and(a, b, out=out)
                case Op.OR:
                    torch.bitwise_or(a, b, out=out)
                case Op.XOR:
                    torch.bitwise_xor(a, b, out=out)
                case Op.NOT:
                    torch.bitwise_not(a, out=out)
                case Op.ANDN:
                    torch.bitwise_and(a, torch.bitwise_not(b), out=out)
                case Op.CONST0 | Op.CONST1:
                    out.fill_(-1 if gate.op is Op.CONST1 else 0)
        return slots[outputs]

    return run
