"""The Triton engine: a circuit as generated straight-line source, lanes across a GPU's threads.

A thread holds `WORDS_PER_THREAD` 32-bit words of every slot in registers, reads each input plane
once and writes each output plane once. With one expert the memory is the limit; experts that read
the same planes are fused (`fuse`), so that several run on one load of the inputs.

Without a GPU the engine refuses to run, unless Triton's interpreter is asked for by the
environment variable TRITON_INTERPRET=1; `compile_ahead` needs no GPU at all.

Source: BEM core spec 3.2, 6.5; Tillet et al. 2019 (Triton).
"""

from __future__ import annotations

import linecache
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import EngineError
from bem_kernel.lanes import Planes, check_planes

if TYPE_CHECKING:
    import torch

THREADS = 128
WORDS_PER_THREAD = 2  # with 4, circuits of 512 gates no longer fit in the registers
_MAX_WORDS = 1 << 29  # columns are counted in 32 bits

_FORMS: dict[Op, str] = {
    Op.AND: "s{a} & s{b}",
    Op.OR: "s{a} | s{b}",
    Op.XOR: "s{a} ^ s{b}",
    Op.NOT: "~s{a}",
    Op.ANDN: "s{a} & ~s{b}",
    Op.CONST0: "tl.full([BLOCK], 0, tl.int32)",
    Op.CONST1: "tl.full([BLOCK], -1, tl.int32)",
}


def triton_source(circuit: Circuit) -> str:
    """The circuit as the source of a Triton function.

    Its arguments are pointers to the planes as int32, the number of 32-bit words, the row pitches
    in 32-bit words, and the words per program.
    """

    def right_hand_side(gate: Gate) -> str:
        return _FORMS[gate.op].format(a=gate.a, b=gate.b)

    lines = [
        "def circuit(inputs, outputs, words, in_pitch, out_pitch, BLOCK: tl.constexpr):",
        "    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)",
        "    live = column < words",
    ]
    # Pointers advance row by row: a product of row and pitch could pass 32 bits.
    lines.append("    row = inputs + column")
    for i in range(circuit.n_inputs):
        lines.append(f"    s{i} = tl.load(row, mask=live, other=0)")
        lines.append("    row += in_pitch")
    for i, gate in enumerate(circuit.gates):
        lines.append(f"    s{circuit.n_inputs + i} = {right_hand_side(gate)}")
    lines.append("    row = outputs + column")
    for slot in circuit.outputs:
        lines.append(f"    tl.store(row, s{slot}, mask=live)")
        lines.append("    row += out_pitch")
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=256)
def compile_triton(circuit: Circuit) -> Any:
    """The circuit as a Triton function; the GPU's code is made at its first launch.

    Raises:
        EngineError: Triton is not installed.
    """
    triton, language = _import_triton()
    source = triton_source(circuit)
    name = f"<circuit {len(circuit.gates)} gates, {hash(circuit) & 0xFFFF_FFFF:08x}>"
    # Triton reads the source of a function back through this cache.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"tl": language, "__name__": "bem_kernel.generated"}
    exec(compile(source, name, "exec"), namespace)  # noqa: S102 - slot numbers of a checked circuit
    return triton.jit(namespace["circuit"])


def evaluate(circuit: Circuit, planes: Planes) -> Planes:
    """Evaluate `circuit` in every lane; the planes travel to the device and back.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) uint64; not changed.

    Returns:
        (n_outputs, words) uint64, a new array.

    Raises:
        ShapeError: `planes` does not have one plane per input.
        EngineError: Triton is not installed, or there is no GPU to run on.
    """
    check_planes(planes, where="triton_engine.evaluate", n_bits=circuit.n_inputs)
    import torch

    device = _device()
    inputs = torch.from_numpy(np.ascontiguousarray(planes).view(np.int64)).to(device)
    outputs = evaluate_tensor(circuit, inputs)
    return outputs.cpu().numpy().view(np.uint64)


def evaluate_tensor(circuit: Circuit, planes: torch.Tensor) -> torch.Tensor:
    """Evaluate `circuit` in every lane of planes that lie on the device already.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) int64, rows contiguous, on the device; not changed.

    Returns:
        (n_outputs, words) int64 on the same device, a new tensor.

    Raises:
        EngineError: another shape, dtype or memory layout, or no GPU.
    """
    import torch

    if planes.dtype != torch.int64 or planes.dim() != 2 or planes.shape[0] != circuit.n_inputs:
        raise EngineError(
            f"planes are {planes.dtype} of shape {tuple(planes.shape)}",
            where="triton_engine.evaluate_tensor",
            fix=f"give ({circuit.n_inputs}, words) int64",
        )
    words = planes.shape[1]
    rows = planes if planes.numel() else planes.new_zeros((1, max(1, words)))
    if words > _MAX_WORDS or rows.stride(1) != 1:
        raise EngineError(
            f"planes of {words} words have strides {planes.stride()}",
            where="triton_engine.evaluate_tensor",
            fix=f"make each row contiguous, of at most {_MAX_WORDS} words",
        )
    outputs = torch.empty((circuit.n_outputs, words), dtype=torch.int64, device=planes.device)
    if not outputs.numel():
        return outputs
    _device()
    block = THREADS * WORDS_PER_THREAD
    grid = (-(-2 * words // block),)
    compile_triton(circuit)[grid](
        rows.view(torch.int32),
        outputs.view(torch.int32),
        2 * words,
        2 * rows.stride(0),
        2 * words,
        BLOCK=block,
        num_warps=THREADS // 32,
        enable_fp_fusion=False,
    )
    return outputs


def fuse(experts: Sequence[tuple[Circuit, Sequence[int]]], n_inputs: int) -> Circuit:
    """Several circuits on one load of their inputs.

    Args:
        experts: circuits, each with the plane that each of its inputs reads.
        n_inputs: number of planes.

    Returns:
        One circuit over the planes; its outputs are those of the experts, one after the other.

    Raises:
        CircuitError: a plane does not exist.
        EngineError: an expert does not name one plane per input.
    """
    gates: list[Gate] = []
    outputs: list[int] = []
    for number, (circuit, reads) in enumerate(experts):
        if len(reads) != circuit.n_inputs:
            raise EngineError(
                f"expert {number} names {len(reads)} planes for {circuit.n_inputs} inputs",
                where="triton_engine.fuse",
                fix="name one plane per input",
            )
        first = n_inputs + len(gates)
        slots = [*reads, *range(first, first + len(circuit.gates))]
        for gate in circuit.gates:
            constant = gate.op in (Op.CONST0, Op.CONST1)
            a = 0 if constant else slots[gate.a]
            b = 0 if constant or gate.op is Op.NOT else slots[gate.b]
            gates.append(Gate(gate.op, a, b))
        outputs += [slots[slot] for slot in circuit.outputs]
    return Circuit(n_inputs, tuple(gates), tuple(outputs))


@dataclass(frozen=True)
class AheadOfTime:
    """What compiling for a GPU that need not be there shows.

    Attributes:
        cubin: the GPU's machine code.
        lop3: three-input logic instructions of a thread.
        spills: stores of a thread to local memory, for want of registers.
        registers: registers of a thread.
        words: 32-bit words of each plane that a thread holds.
    """

    cubin: bytes
    lop3: int
    spills: int
    registers: int
    words: int


def compile_ahead(
    circuit: Circuit, *, capability: int = 90, words: int = WORDS_PER_THREAD
) -> AheadOfTime:
    """Compile for an NVIDIA GPU without having one.

    Args:
        circuit: the gates.
        capability: compute capability, 90 for Hopper.
        words: 32-bit words per thread, a power of two.

    Raises:
        EngineError: Triton is not installed or runs as its interpreter.
    """
    triton, _ = _import_triton()
    if triton.knobs.runtime.interpret:
        raise EngineError(
            "Triton is in interpreter mode",
            where="triton_engine.compile_ahead",
            fix="unset TRITON_INTERPRET",
        )
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    divisible = [["tt.divisibility", 16]]
    source = ASTSource(
        compile_triton(circuit),
        {
            "inputs": "*i32",
            "outputs": "*i32",
            "words": "i32",
            "in_pitch": "i32",
            "out_pitch": "i32",
            "BLOCK": "constexpr",
        },
        {"BLOCK": THREADS * words},
        {(argument,): divisible for argument in range(5)},
    )
    compiled = triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": THREADS // 32, "enable_fp_fusion": False},
    )
    return _inspect(compiled.asm["cubin"], words)


def _inspect(cubin: bytes, words: int) -> AheadOfTime:
    """Count instructions with the disassembler that Triton brings."""
    import triton

    tools = Path(triton.__file__).parent.joinpath("backends", "nvidia", "bin")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "circuit.cubin")
        file.write_bytes(cubin)
        listing = _run(tools.joinpath("nvdisasm"), "-c", str(file))
        usage = _run(tools.joinpath("cuobjdump"), "-res-usage", str(file))
    registers = re.search(r"\bREG:(\d+)", usage)
    if registers is None:
        raise EngineError("cuobjdump names no registers", where="triton_engine.compile_ahead")
    return AheadOfTime(
        cubin=cubin,
        lop3=len(re.findall(r"\bLOP3\b", listing)),
        spills=len(re.findall(r"\bSTL\b", listing)),
        registers=int(registers[1]),
        words=words,
    )


def _run(tool: Path, *arguments: str) -> str:
    done = subprocess.run([str(tool), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(done.stderr.strip(), where=f"triton_engine: {tool.name}")
    return done.stdout


def _import_triton() -> tuple[Any, Any]:
    try:
        import triton
        import triton.language
    except ModuleNotFoundError as error:
        raise EngineError(
            "Triton is not installed",
            where="engine triton",
            fix="pip install 'builderbrain[gpu]', or choose another engine",
        ) from error
    return triton, triton.language


def _device() -> str:
    """Where the planes go: the GPU, or memory under Triton's interpreter."""
    import torch

    triton, _ = _import_triton()
    if triton.knobs.runtime.interpret:
        return "cpu"
    if not torch.cuda.is_available():
        raise EngineError(
            "no CUDA device",
            where="engine triton",
            fix="choose another engine, or set TRITON_INTERPRET=1 to run it slowly without a GPU",
        )
    return "cuda"
