"""Which engine runs a circuit: integers for few lanes, numpy for many."""

from __future__ import annotations

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines import integer as engine_integer
from bem_kernel.engines import per_gate as engine_numpy
from bem_kernel.lanes import Planes

# Measured: integers are ahead up to 48 words at 50 gates, and up to 256 at 500.
_INTEGER_WORDS = 64
# Compiling generated source costs about 10 microseconds a gate; beyond this it no longer pays.
_INTEGER_GATES = 20_000


def prefers_integers(circuit: Circuit, words: int) -> bool:
    """Whether the integer engine is the faster one for this circuit and width."""
    return words <= _INTEGER_WORDS and len(circuit.gates) <= _INTEGER_GATES


def evaluate(circuit: Circuit, planes: Planes) -> Planes:
    """Evaluate `circuit` in every lane with the engine that suits the width.

    Args:
        circuit: the gates.
        planes: (n_inputs, words) uint64; not changed.

    Returns:
        (n_outputs, words) uint64, a new array.

    Raises:
        ShapeError: `planes` does not have one plane per input.
    """
    if prefers_integers(circuit, planes.shape[-1]):
        return engine_integer.evaluate(circuit, planes)
    return engine_numpy.evaluate(circuit, planes)
