"""How many gate-lanes a second do the engines evaluate, and what does a call cost?

One random circuit of 256 two-input gates over 32 inputs, none of them dead, on 262,144 lanes and
one thread. The peers: difflogic's way (the circuit as generated C over one 64-bit word at a time,
gcc -O3), numpy and torch with one call per gate, and a loop of AND and XOR that never leaves the
registers, which no engine can pass.

Source: Petersen et al. 2022 (difflogic) for the form of the generated C.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, UnavailableError, row, time_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from bem_kernel.circuits.circuit import Circuit
    from bem_kernel.lanes import Planes

Peer = tuple["Callable[[], object]", "Callable[[], NDArray[np.uint64]]"]
"""A peer's call that is timed, and its results as planes."""

N_INPUTS, N_GATES, N_OUTPUTS = 32, 256, 9
LANES = 262_144
WORDS = LANES // 64
PAD_WORDS = 8  # planes of a power of two words would share cache sets
DISPATCH_LIMIT_S = 1e-6
_WORK = N_GATES * (WORDS + PAD_WORDS) * 64  # gate-lanes of a call
_REPETITIONS = 15
_CALLS = 10


def _problem(context: Context) -> tuple[Circuit, Planes, Planes]:
    """A circuit, its planes and room for its results, rows padded."""
    import numpy as np

    from bem_kernel.circuits.random_circuit import random_live_circuit

    circuit = random_live_circuit(Random(context.seed), N_INPUTS, N_GATES, N_OUTPUTS)
    planes = _aligned(N_INPUTS)
    planes[:] = np.random.default_rng(context.seed).integers(
        0, 2**64, planes.shape, dtype=np.uint64
    )
    return circuit, planes, _aligned(N_OUTPUTS)


def _aligned(rows: int) -> Planes:
    """Zeroed planes as `bem_kernel.memory` lays them out: rows at cache lines, padded."""
    import numpy as np

    pitch = WORDS + PAD_WORDS
    buffer = np.zeros(rows * pitch + 8, dtype=np.uint64)
    skip = -(buffer.ctypes.data // 8) % 8
    return buffer[skip : skip + rows * pitch].reshape(rows, pitch)


def _compiled(circuit: Circuit, planes: Planes, results: Planes) -> Callable[[], object]:
    """Our compiled engine on these arrays."""
    from bem_kernel.engines.llvm import compiled
    from bem_kernel.engines.native import call_planes

    code = compiled(circuit)
    return lambda: call_planes(code.address, planes, results)


def _interpreted(circuit: Circuit, planes: Planes, results: Planes) -> Callable[[], object]:
    """Our interpreter on these arrays."""
    from bem_kernel.engines.interpreter import interpret, packed_program

    program = packed_program(circuit)
    return lambda: interpret(program, planes, results)


def _against(
    context: Context,
    ours: Callable[[Circuit, Planes, Planes], Callable[[], object]],
    peer: Callable[[Circuit, Planes], Peer],
) -> Measured:
    """Compare results once, then time both; gate-lanes per second."""
    circuit, planes, results = _problem(context)
    run, (run_peer, peer_results) = ours(circuit, planes, results), peer(circuit, planes)
    run()
    run_peer()
    assert (results == peer_results()).all(), "ours and the peer compute different functions"
    return time_pair(
        _repeated(run), _repeated(run_peer), repetitions=_REPETITIONS, work=_CALLS * _WORK
    )


def _repeated(call: Callable[[], object]) -> Callable[[], object]:
    """Several calls in a row: one takes 25 microseconds, too little to time beside others."""

    def run() -> None:
        for _ in range(_CALLS):
            call()

    return run


@row("machine.engine_compiled", peer_name="generated C, gcc -O3", unit="gate-lanes/s", target=5.0)
def engine_compiled(context: Context) -> Measured:
    """The LLVM engine against difflogic's way."""
    return _against(context, _compiled, _generated_c)


@row(
    "machine.engine_compiled_limit",
    peer_name="AND/XOR in registers",
    unit="gate-lanes/s",
    target=0.5,
)
def engine_compiled_limit(context: Context) -> Measured:
    """The LLVM engine against what the processor does without touching memory."""
    run = _compiled(*_problem(context))
    limit, operations = _register_loop()
    measured = time_pair(_repeated(run), _repeated(limit), repetitions=_REPETITIONS)
    return Measured(
        [_CALLS * _WORK / taken_s for taken_s in measured.ours],
        [_CALLS * operations * 512 / taken_s for taken_s in measured.peer],
    )


@row("machine.engine_compile", peer_name="gcc -O3", unit="s", target=1.0, better="less")
def engine_compile(context: Context) -> Measured:
    """Time to compile the circuit, from the circuit to an address."""
    from bem_kernel.engines.llvm import compile_circuit

    circuit = _problem(context)[0]
    return time_pair(lambda: compile_circuit(circuit), lambda: _compile_c(circuit), repetitions=5)


@row(
    "machine.engine_interpreted",
    peer_name="generated C, gcc -O3",
    unit="gate-lanes/s",
    target=1.1,
)
def engine_interpreted(context: Context) -> Measured:
    """The interpreter, which compiles nothing, against difflogic's way."""
    return _against(context, _interpreted, _generated_c)


@row(
    "machine.engine_interpreted_numpy",
    peer_name="numpy, one call per gate",
    unit="gate-lanes/s",
    target=4.0,
)
def engine_interpreted_numpy(context: Context) -> Measured:
    """The interpreter against preallocated numpy rows, in blocks that fit the cache."""
    return _against(context, _interpreted, _numpy_per_gate)


@row(
    "machine.engine_interpreted_torch",
    peer_name="torch bool, one call per gate",
    unit="gate-lanes/s",
    target=50.0,
)
def engine_interpreted_torch(context: Context) -> Measured:
    """The interpreter against preallocated Boolean torch tensors."""
    return _against(context, _interpreted, _torch_per_gate)


@row("machine.dispatch_compiled", peer_name="limit", unit="s", target=1.0, better="less")
def dispatch_compiled(context: Context) -> Measured:
    """One call of a compiled circuit on one word, its new result array included."""
    from bem_kernel.engines.llvm import compiled, runner

    circuit, planes = _narrow(context)
    return _per_call(runner(compiled(circuit)), planes)


@row("machine.dispatch_interpreted", peer_name="limit", unit="s", target=1.0, better="less")
def dispatch_interpreted(context: Context) -> Measured:
    """One call of an interpreted circuit on one word, its new result array included."""
    from bem_kernel.engines.interpreter import packed_program, runner

    circuit, planes = _narrow(context)
    return _per_call(runner(packed_program(circuit), circuit.n_outputs), planes)


def _narrow(context: Context) -> tuple[Circuit, Planes]:
    """An expert's circuit, of 64 gates, and one word of lanes."""
    import numpy as np

    from bem_kernel.circuits.random_circuit import random_live_circuit

    circuit = random_live_circuit(Random(context.seed), N_INPUTS, 64, N_OUTPUTS)
    planes = np.random.default_rng(context.seed).integers(0, 2**64, (N_INPUTS, 1), dtype=np.uint64)
    return circuit, planes


def _per_call(run: Callable[[Planes], Planes], planes: Planes, calls: int = 2000) -> Measured:
    """Seconds per call, against the limit."""
    run(planes)
    taken_s = []
    for _ in range(_REPETITIONS):
        start_s = time.perf_counter()
        for _ in range(calls):
            run(planes)
        taken_s.append((time.perf_counter() - start_s) / calls)
    return Measured(taken_s, [DISPATCH_LIMIT_S] * len(taken_s))


def _c_source(circuit: Circuit) -> str:
    """The circuit as difflogic writes it: one 64-bit word of every input at a time."""
    from bem_kernel.circuits.circuit import Gate, Op

    forms = {
        Op.AND: "v{a} & v{b}",
        Op.OR: "v{a} | v{b}",
        Op.XOR: "v{a} ^ v{b}",
        Op.NOT: "~v{a}",
        Op.ANDN: "v{a} & ~v{b}",
        Op.CONST0: "0",
        Op.CONST1: "~(int64_t)0",
    }

    def right_hand_side(gate: Gate) -> str:
        return forms[gate.op].format(a=gate.a, b=gate.b)

    body = [f"const int64_t v{i} = inp[{i}];" for i in range(circuit.n_inputs)]
    body += [
        f"const int64_t v{circuit.n_inputs + i} = {right_hand_side(gate)};"
        for i, gate in enumerate(circuit.gates)
    ]
    body += [f"out[{j}] = v{slot};" for j, slot in enumerate(circuit.outputs)]
    lines = "\n    ".join(body)
    return f"""#include <stdint.h>
static inline void logic_net(int64_t const *inp, int64_t *out) {{
    {lines}
}}
void apply_logic_net(int64_t const *inp, int64_t *out, int64_t words) {{
    for (int64_t w = 0; w < words; w++)
        logic_net(inp + w * {circuit.n_inputs}, out + w * {circuit.n_outputs});
}}
"""


def _compile_c(circuit: Circuit) -> Any:
    """The generated C as a loaded library."""
    if shutil.which("gcc") is None:
        raise UnavailableError("needs gcc")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "net.c"), Path(folder, "net.so")
        source.write_text(_c_source(circuit), encoding="utf-8")
        command = ["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source]
        subprocess.run(command, check=True, capture_output=True)
        return ctypes.CDLL(str(library))


def _generated_c(circuit: Circuit, planes: Planes) -> Peer:
    """The same lanes in difflogic's own layout: the words of one lane group side by side."""
    import numpy as np

    function = _compile_c(circuit).apply_logic_net
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    inputs = np.ascontiguousarray(planes.T)
    outputs = np.zeros((len(inputs), circuit.n_outputs), dtype=np.uint64)

    def run() -> None:
        function(inputs.ctypes.data, outputs.ctypes.data, len(inputs))

    return run, lambda: outputs.T


def _numpy_per_gate(circuit: Circuit, planes: Planes) -> Peer:
    """One ufunc call per gate, bound once, over rows in blocks that fit the second-level cache."""
    import numpy as np

    from bem_kernel.circuits.circuit import Op

    block_words = 1032  # the best of 264, 520, 1032, 2056
    ufuncs: dict[Op, Any] = {
        Op.AND: np.bitwise_and,
        Op.OR: np.bitwise_or,
        Op.XOR: np.bitwise_xor,
    }
    words = planes.shape[1]
    slots = np.zeros((circuit.n_slots + 1, block_words), dtype=np.uint64)
    results = np.zeros((circuit.n_outputs, words), dtype=np.uint64)

    def bind(count: int) -> list[tuple[Any, tuple[Any, ...]]]:
        rows = list(slots[:, :count])
        calls: list[tuple[Any, tuple[Any, ...]]] = []
        for i, gate in enumerate(circuit.gates):
            a, b, out = rows[gate.a], rows[gate.b], rows[circuit.n_inputs + i]
            if gate.op is Op.ANDN:
                calls.append((np.invert, (b, rows[-1])))
                b = rows[-1]
            calls.append((ufuncs.get(gate.op, np.bitwise_and), (a, b, out)))
        return calls

    starts = range(0, words, block_words)
    bound = [bind(min(block_words, words - start)) for start in starts]

    def run() -> None:
        for start, calls in zip(starts, bound, strict=True):
            block = slice(start, min(start + block_words, words))
            slots[: circuit.n_inputs, : block.stop - start] = planes[:, block]
            for ufunc, operands in calls:
                ufunc(*operands)
            results[:, block] = slots[list(circuit.outputs), : block.stop - start]

    return run, lambda: results


def _torch_per_gate(circuit: Circuit, planes: Planes) -> Peer:
    """One torch call per gate over preallocated Boolean tensors, on one thread.

    That is how torch represents Boolean lanes, a byte each. Packed by hand into int64, as our
    planes are, torch would be about as quick as numpy.
    """
    import numpy as np
    import torch

    from bem_kernel.circuits.circuit import Op
    from bem_kernel.lanes import pack_bits, unpack_bits

    torch.set_num_threads(1)
    lanes = 64 * planes.shape[1]
    inputs = torch.from_numpy(np.ascontiguousarray(unpack_bits(planes, lanes).T))
    rows = [*inputs, *torch.zeros((len(circuit.gates), lanes), dtype=torch.bool)]
    scratch = torch.zeros(lanes, dtype=torch.bool)

    def run() -> None:
        for i, gate in enumerate(circuit.gates):
            a, b, out = rows[gate.a], rows[gate.b], rows[circuit.n_inputs + i]
            match gate.op:
                case Op.AND:
                    torch.bitwise_and(a, b, out=out)
                case Op.OR:
                    torch.bitwise_or(a, b, out=out)
                case Op.XOR:
                    torch.bitwise_xor(a, b, out=out)
                case _:
                    torch.bitwise_and(a, torch.bitwise_not(b, out=scratch), out=out)

    return run, lambda: pack_bits(np.stack([rows[s].numpy() for s in circuit.outputs], axis=1))


def _register_loop(rounds: int = 20_000, registers: int = 24) -> tuple[Callable[[], object], int]:
    """A loop of 512-bit AND and XOR that stays in registers, and its number of instructions.

    Register i becomes itself op its neighbour, so that each value is read twice and no two
    instructions can be folded into one. Twenty-four chains hide the latency.
    """
    import llvmlite.binding as llvm

    from bem_kernel.engines.llvm import host_machine

    kind = "<8 x i64>"
    lines = ["define i64 @loop(ptr %seed, i64 %rounds) nounwind {", "entry:"]
    for i in range(registers):
        lines.append(f"  %p{i} = getelementptr {kind}, ptr %seed, i64 {i}")
        lines.append(f"  %e{i} = load {kind}, ptr %p{i}, align 8")
    lines += ["  br label %body", "body:"]
    lines.append("  %n = phi i64 [ 0, %entry ], [ %m, %body ]")
    for i in range(registers):
        lines.append(f"  %a{i} = phi {kind} [ %e{i}, %entry ], [ %b{i}, %body ]")
    for i in range(registers):
        neighbour = f"%a{i + 1}" if i + 1 < registers else "%b0"
        lines.append(f"  %b{i} = {('and', 'xor')[i % 2]} {kind} %a{i}, {neighbour}")
    lines += ["  %m = add i64 %n, 1", "  %more = icmp slt i64 %m, %rounds"]
    lines += ["  br i1 %more, label %body, label %done", "done:", f"  %s0 = add {kind} %b0, %b1"]
    for i in range(2, registers):
        lines.append(f"  %s{i - 1} = add {kind} %s{i - 2}, %b{i}")
    lines.append(f"  %word = extractelement {kind} %s{registers - 2}, i32 0")
    lines += ["  ret i64 %word", "}"]
    module = llvm.parse_assembly("\n".join(lines))
    machine = host_machine()
    code = machine.emit_assembly(module)
    assert "vpternlog" not in code, "instructions were folded"
    assert "%rsp" not in code, "a register was spilled"
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(
        engine.get_function_address("loop")
    )
    seed = (ctypes.c_uint64 * (8 * registers))(*range(1, 8 * registers + 1))

    def run(_kept: Any = engine) -> object:
        return function(ctypes.addressof(seed), rounds)

    return run, rounds * registers
