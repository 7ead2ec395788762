"""The machine has no floating point: in its sources, its kernels' types and its machine code.

Sources: no float constant, true division, or float dtype. Kernels: no floating-point type on any
variable as numba infers them, in the LLVM code, or in the instructions. Compiled circuits: the
same. Statistics for people are excepted, by name.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import bem_kernel
from bem_kernel import compiled
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.compiled import Kernel
from bem_kernel.engines import llvm, llvm_source

FILES = sorted(Path(bem_kernel.__file__).parent.rglob("*.py"))

EXCEPTED: set[str] = set()
"""Kernels that make statistics for people: all that is declared with `reports=True`."""

# Not where it is part of a name, such as %arg.half or @double.
FLOAT_TYPES = re.compile(
    r"(?<![\w%@.$\"'])(float(16|32|64|128)?|double|half|bfloat|x86_fp80|fp128|complex\d+)\b(?![.$'\"])"
)
# Floating-point instructions of x86 (..ss, ..sd, ..ps, ..pd, x87) and of ARM (f..).
# What begins with p, such as vpabsd, works on packed integers.
FLOAT_INSTRUCTIONS = re.compile(r"^\s+((?!v?p)[a-z0-9]+(ss|sd|ps|pd)|f[a-z]+)\b", re.MULTILINE)
# Those of them that only move bits or combine them, which LLVM uses for integer vectors too.
BITS_ONLY = re.compile(
    r"v?(mov|broadcast|xor|andn?|or|blend|perm|shuf|unpck|insert|extract|expand|compress|gather)"
    r"[a-z0-9]*(ss|sd|ps|pd)$"
)


def modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(bem_kernel.__path__, "bem_kernel."):
        if "@kernel" in Path(importlib.util.find_spec(module.name).origin).read_text("utf-8"):  # type: ignore[union-attr, arg-type]
            yield module.name


for name in modules():
    importlib.import_module(name)
KERNELS = [entry for entry in compiled.KERNELS if entry.name.startswith("bem_kernel.")]
INTEGER_KERNELS = [entry for entry in KERNELS if not entry.reports]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_floating_point(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        place = f"{file.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float | complex), place
        if isinstance(node, ast.BinOp | ast.AugAssign):
            assert not isinstance(node.op, ast.Div), place
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("float"), place
        if isinstance(node, ast.Name):
            assert node.id != "float", place


def inferred_types(entry: Kernel) -> list[str]:
    """The type of every variable of a kernel, as numba inferred them."""
    compiled.load(entry.function)
    (result,) = entry.function.overloads.values()
    lines = str(result.type_annotation).splitlines()
    return [line.rpartition("  :: ")[2] for line in lines if re.match(r"\s*#.*  :: ", line)]


def instructions(assembly: str) -> set[str]:
    """The floating-point instructions of an assembler text that do more than move bits."""
    found = {match.group(1) for match in FLOAT_INSTRUCTIONS.finditer(assembly)}
    return {instruction for instruction in found if not BITS_ONLY.match(instruction)}


def llvm_functions(source: str) -> str:
    """LLVM code without what numba wraps around a kernel to call it from Python."""
    kept = re.split(r"^(?=define )", source, flags=re.MULTILINE)
    return "".join(
        part for part in kept if not re.match(r'define [^@]*@"?(_ZN7cpython|cfunc)', part)
    )


def test_exceptions_are_named() -> None:
    assert {entry.name for entry in KERNELS if entry.reports} == EXCEPTED
    assert len(INTEGER_KERNELS) > 20


@pytest.mark.parametrize("entry", INTEGER_KERNELS, ids=lambda entry: entry.name)
def test_no_variable_of_a_kernel_has_a_floating_type(entry: Kernel) -> None:
    types = inferred_types(entry)
    assert types
    assert [kind for kind in types if FLOAT_TYPES.search(kind)] == []
    assert not FLOAT_TYPES.search(entry.signature)


@pytest.mark.slow
@pytest.mark.parametrize("entry", INTEGER_KERNELS, ids=lambda entry: entry.name)
def test_no_machine_code_of_a_kernel_uses_floating_point(entry: Kernel) -> None:
    anew = compiled._DeclaredDispatcher(entry.function.py_func, {}, entry.function.targetoptions)
    anew.declared = entry.signature  # code from the cache on disk cannot be looked at
    compiled.load(anew)
    (source,) = anew.inspect_llvm().values()
    (assembly,) = anew.inspect_asm().values()
    assert not FLOAT_TYPES.search(llvm_functions(source))
    assert instructions(assembly) == set()


@pytest.mark.parametrize("features", ["+avx512f", "+avx2", ""])
def test_compiled_circuits_use_no_floating_point(features: str) -> None:
    shapes = llvm.shapes_for(features)
    for seed in range(20):
        circuit = random_circuit(Random(seed), 6, 5 * seed, 4)
        assert not FLOAT_TYPES.search(llvm_source.llvm_source(circuit, shapes))
        assert instructions(llvm.assembly(circuit, shapes)) == set()


def test_the_search_would_find_floating_point(request: pytest.FixtureRequest) -> None:
    def halve(number: Any) -> Any:
        return number / 2

    before = len(compiled.KERNELS)
    request.addfinalizer(lambda: compiled.KERNELS.__delitem__(slice(before, None)))
    function = compiled.kernel("float64(int64)")(halve)
    assert any(FLOAT_TYPES.search(kind) for kind in inferred_types(compiled.KERNELS[-1]))
    function._cache.flush()
    anew = compiled._DeclaredDispatcher(halve, {}, function.targetoptions)
    anew.declared = "float64(int64)"
    compiled.load(anew)
    (source,) = anew.inspect_llvm().values()
    (assembly,) = anew.inspect_asm().values()
    assert FLOAT_TYPES.search(llvm_functions(source))
    assert instructions(assembly)
    assert instructions("\tfadd d0, d0, d1\n\tvmovaps %zmm0, %zmm1\n\tvxorps %x, %x\n") == {"fadd"}
