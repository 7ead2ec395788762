"""The LLVM engine: a circuit as machine code of its own, for hot experts.

Explicit 512-bit vectors where the processor has them, 256-bit ones on AVX2, pairs of words
elsewhere. No optimisation passes run on the IR: a gate is an instruction already, and code
generation folds pairs of gates into ternary instructions.

Source: BEM core spec 8.4.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.llvm_source import SYMBOL, Shape, llvm_source, order_of
from bem_kernel.engines.native import call_planes
from bem_kernel.engines.schedule import most_alive, reads_of
from bem_kernel.errors import EngineError
from bem_kernel.lanes import Planes, check_planes

MOST_ALIVE = 4096
"""Results that compiled code may hold at once: a quarter of a megabyte of stack."""

_LIBRARIES_PER_LINKER = 1024
_WORD = np.dtype(np.uint64)
_KEPT = 256  # circuits whose code `evaluate` keeps


@dataclass(frozen=True)
class CompiledCircuit:
    """Machine code of a circuit. The code is freed with this object.

    Attributes:
        circuit: what it computes.
        address: of `void f(const uint64_t *in, uint64_t *out, int64_t in_pitch, int64_t out_pitch,
            int64_t words)`, pitches in words, any number of words; `in` and `out` do not overlap.
            Calling it after this object is gone is undefined: keep the object beside the address.
    """

    circuit: Circuit
    address: int
    _code: Any = field(repr=False, compare=False)
    _linker: Any = field(repr=False, compare=False)  # goes last: it holds the code's memory


def compile_circuit(circuit: Circuit, shapes: tuple[Shape, ...] | None = None) -> CompiledCircuit:
    """Compile a circuit for this processor; takes about 0.1 ms a gate.

    Args:
        circuit: the gates.
        shapes: the vectors to use, those that suit this processor if None.

    Raises:
        EngineError: the circuit holds too much at once (`fits_stack`), or LLVM refuses the code.
    """
    if not fits_stack(circuit):
        raise EngineError(
            f"more than {MOST_ALIVE} results are alive at once, too many for a thread's stack",
            where="llvm.compile_circuit",
            fix="use the interpreter, or split the circuit",
        )
    with _lock:
        module = _module(circuit, shapes)
        library = llvm.JITLibraryBuilder().add_object_img(_machine().emit_object(module))
        linker, name = _next_library()
        code = library.export_symbol(SYMBOL).link(linker, name)
    return CompiledCircuit(circuit, code[SYMBOL], code, linker)


def fits_stack(circuit: Circuit) -> bool:
    """Whether what the circuit's code keeps on the stack fits a thread's.

    Results that no register has room for go there, 64 bytes each.
    """
    return most_alive(reads_of(circuit), order_of(circuit)) <= MOST_ALIVE


def assembly(circuit: Circuit, shapes: tuple[Shape, ...] | None = None) -> str:
    """The code that `compile_circuit` makes, as assembler text."""
    with _lock:
        text: str = _machine().emit_assembly(_module(circuit, shapes))
    return text


def host_shapes() -> tuple[Shape, ...]:
    """The vectors that suit this processor."""
    return shapes_for(_host()[1])


def shapes_for(features: str) -> tuple[Shape, ...]:
    """The vectors for a processor with these features, in LLVM's notation (`+avx2,-avx512f`)."""
    present = features.split(",")
    if "+avx512f" in present:
        return (Shape(8, masked=True),)
    if "+avx2" in present:
        return (Shape(4, masked=True),)
    return (Shape(2, masked=False), Shape(1, masked=False))


@cache
def _host() -> tuple[str, str]:
    """Name and features of this processor; 512-bit registers are used wherever there are some."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features: str = llvm.get_host_cpu_features().flatten()
    if "+avx512f" in features.split(","):
        features += ",-prefer-256-bit"
    return llvm.get_host_cpu_name(), features


def host_machine() -> Any:
    """A new code generator for this processor."""
    name, features = _host()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=name, features=features, opt=2, jit=True)


@cache
def _machine() -> Any:
    """The code generator of all circuits, to be used under the lock."""
    return host_machine()


def _module(circuit: Circuit, shapes: tuple[Shape, ...] | None) -> Any:
    """The circuit's code, parsed."""
    _host()  # initialises LLVM
    try:
        return llvm.parse_assembly(llvm_source(circuit, shapes or host_shapes()))
    except RuntimeError as error:
        raise EngineError(
            f"LLVM refuses the code: {error}", where="llvm.compile_circuit", fix="report this"
        ) from error


_lock = threading.Lock()
_linkers: list[Any] = []  # the one in use
_libraries = itertools.count()


def _next_library() -> tuple[Any, str]:
    """A linker and the name of a new library in it.

    A linker of its own would cost each circuit 0.7 MB. But a linker keeps some kilobytes of every
    library, even one that is gone; so a new one takes over now and then, and the old one goes with
    the last circuit that it holds.
    """
    number = next(_libraries)
    if not _linkers or number % _LIBRARIES_PER_LINKER == 0:
        _linkers[:] = [llvm.create_lljit_compiler(host_machine())]
    return _linkers[0], f"circuit{number}"


@lru_cache(maxsize=_KEPT)
def compiled(circuit: Circuit) -> CompiledCircuit:
    """As `compile_circuit`, kept for the circuits used last."""
    return compile_circuit(circuit)


def evaluate(circuit: Circuit, planes: Planes) -> Planes:
    """Evaluate `circuit` in every lane, with code compiled at its first use.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) uint64; not changed.

    Returns:
        (n_outputs, words) uint64, a new array.

    Raises:
        ShapeError: `planes` does not have one plane per input.
    """
    check_planes(planes, where="llvm.evaluate", n_bits=circuit.n_inputs)
    return runner(compiled(circuit))(planes)


def runner(code: CompiledCircuit) -> Callable[[Planes], Planes]:
    """A function that runs compiled code on planes that have been checked, and keeps it.

    Returns:
        (n_inputs, words) uint64 to (n_outputs, words) uint64, a new array.
    """
    address, n_outputs = code.address, code.circuit.n_outputs

    def run(planes: Planes, _kept: CompiledCircuit = code) -> Planes:
        results = np.empty((n_outputs, planes.shape[1]), _WORD)
        try:
            done = call_planes(address, planes, results)
        except TypeError:  # read-only or not aligned: kernels take neither
            done = 0
        if not done:
            call_planes(address, np.array(planes, order="C"), results)
        return results

    return run
