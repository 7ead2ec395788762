"""Evaluating circuits: one function over all engines.

Which engine runs a circuit is decided by the time it has taken so far (`heat`). A name forces one:

- `reference`: numpy, one gate at a time; plain, slow, the twin of the others.
- `integer`: generated Python over big integers; quick on a few words without numba.
- `interpreter`: a compiled loop over the gates; nothing to compile per circuit.
- `llvm`: machine code of the circuit's own.
- `triton`: the same for a GPU.

An engine is a module with `evaluate(circuit, planes)`. All agree bit for bit on every circuit.
"""

from __future__ import annotations

import importlib
import time
from types import MappingProxyType
from typing import Protocol, cast

import numpy as np

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.heat import HeatMap, HeatRecord
from bem_kernel.errors import EngineError
from bem_kernel.lanes import Planes, check_planes

MODULES = MappingProxyType(
    {
        "reference": "bem_kernel.engines.reference",
        "integer": "bem_kernel.engines.integer",
        "interpreter": "bem_kernel.engines.interpreter",
        "llvm": "bem_kernel.engines.llvm",
        "triton": "bem_kernel.engines.triton_engine",
    }
)
"""Engine -> module; modules are imported at their first use."""

HEATS = HeatMap()
"""The heat of the circuits that `evaluate` and `scan` have run."""

_WORD = np.dtype(np.uint64)


class Engine(Protocol):
    """What every engine module offers."""

    def evaluate(self, circuit: Circuit, planes: Planes) -> Planes:
        """(n_inputs, words) uint64 to (n_outputs, words) uint64, a new array."""


def engine_named(name: str) -> Engine:
    """The engine of that name.

    Raises:
        EngineError: there is none.
    """
    if name not in MODULES:
        raise EngineError(
            f"no engine {name!r}", where="engine_named", fix=f"use {', '.join(MODULES)}"
        )
    return cast(Engine, importlib.import_module(MODULES[name]))


def evaluate(circuit: Circuit, planes: Planes, engine: str | None = None) -> Planes:
    """Evaluate `circuit` in every lane.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) uint64; not changed.
        engine: name of the engine to use; None leaves it to the measured heat.

    Returns:
        (n_outputs, words) uint64, a new array.

    Raises:
        ShapeError: `planes` does not have one plane per input.
        EngineError: there is no such engine, or it cannot run here.
    """
    if engine is not None:
        return engine_named(engine).evaluate(circuit, planes)
    shape = planes.shape
    if planes.dtype is not _WORD or len(shape) != 2 or shape[0] != circuit.n_inputs:
        check_planes(planes, where="engine.evaluate", n_bits=circuit.n_inputs)
    heat = HEATS.of(circuit)
    began_ns = time.perf_counter_ns()
    results = heat.run(planes)
    heat.note(time.perf_counter_ns() - began_ns)
    return results


def statistics() -> list[HeatRecord]:
    """What circuits have cost so far and what they run on, the hottest first."""
    return HEATS.records()
