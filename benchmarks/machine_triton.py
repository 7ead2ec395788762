"""How close does the Triton engine come to what the GPU can do on paper?

The limit of a launch is the larger of two times: every input and output plane once through memory
at the memory's peak, and the logic instructions of the compiled code at the peak rate of LOP3.
Planes lie on the GPU; a launch is timed by events around ten of them.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, UnavailableError, row

if TYPE_CHECKING:
    from bem_kernel.circuits.circuit import Circuit

N_INPUTS, N_GATES, N_OUTPUTS = 32, 256, 9
LAUNCHES, REPETITIONS = 10, 15
# 32-bit logic results per clock of one multiprocessor, CUDA C programming guide, compute 8.x, 9.0.
LOGIC_PER_CLOCK = 64


@row(
    "machine.triton_one",
    peer_name="paper limit, one expert",
    unit="gate-lanes/s",
    target=0.6,
)
def triton_one(context: Context) -> Measured:
    """One expert of 256 gates and 41 planes in and out, which is bound by memory."""
    return _against_paper(context, 1)


@row(
    "machine.triton_fused",
    peer_name="paper limit, eight experts fused",
    unit="gate-lanes/s",
    target=0.5,
)
def triton_fused(context: Context) -> Measured:
    """Eight experts on one load of the inputs, which are bound by logic."""
    return _against_paper(context, 8)


def _against_paper(context: Context, n_experts: int) -> Measured:
    try:
        import torch

        from bem_kernel.engines import triton_engine
    except ModuleNotFoundError as error:
        raise UnavailableError(f"needs the package {error.name}") from error
    if not torch.cuda.is_available():
        raise UnavailableError("no CUDA device")
    rng = Random(context.seed)
    experts = [random_expert(rng) for _ in range(n_experts)]
    circuit = triton_engine.fuse([(expert, range(N_INPUTS)) for expert in experts], N_INPUTS)
    words = 1 << (23 if context.full else 21)
    planes = torch.randint(-(2**63), 2**63 - 1, (N_INPUTS, words), device="cuda")
    work = n_experts * N_GATES * 64 * words
    ours = []
    for _ in range(REPETITIONS + 1):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(LAUNCHES):
            triton_engine.evaluate_tensor(circuit, planes)
        end.record()
        torch.cuda.synchronize()
        ours.append(work * LAUNCHES / (begin.elapsed_time(end) * 1e-3))
    limit = work / paper_limit_s(circuit, words)
    return Measured(ours=ours[1:], peer=[limit] * REPETITIONS)


def random_expert(rng: Random) -> Circuit:
    """A circuit of the measured size in which every gate counts."""
    from bem_kernel.circuits.random_circuit import random_live_circuit

    return random_live_circuit(rng, N_INPUTS, N_GATES, N_OUTPUTS)


def paper_limit_s(circuit: Circuit, words: int) -> float:
    """Seconds that no launch on this GPU can undercut."""
    import torch
    from triton.runtime import driver

    from bem_kernel.engines.triton_engine import compile_ahead

    device = torch.cuda.current_device()
    properties = driver.active.utils.get_device_properties(device)
    bytes_per_s = 2 * properties["mem_clock_rate"] * 1e3 * properties["mem_bus_width"] / 8
    logic_per_s = (
        LOGIC_PER_CLOCK * properties["multiprocessor_count"] * properties["sm_clock_rate"] * 1e3
    )
    major, minor = torch.cuda.get_device_capability(device)
    ahead = compile_ahead(circuit, capability=10 * major + minor)
    memory_s = 8 * words * (circuit.n_inputs + circuit.n_outputs) / bytes_per_s
    logic_s = 2 * words * ahead.lop3 / ahead.words / logic_per_s
    return max(memory_s, logic_s)
