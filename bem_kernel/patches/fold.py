"""An expert's condition folded into its circuit, so that another condition has room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.place import Scatter


def without_condition(expert: Expert) -> Expert:
    """An expert that does the same and has no condition.

    Where the condition does not hold, it writes to each state bit what the bit was, and enables no
    scatter.
    """
    if expert.condition is None:
        return expert
    needed = (expert.condition.bit, *expert.writes)
    extra = [bit for bit in dict.fromkeys(needed) if bit not in expert.reads]
    reads = (*expert.reads, *extra)
    n_gathers = len(expert.gathers)
    builder = CircuitBuilder(len(reads) + n_gathers)
    own = [*range(len(expert.reads)), *range(len(reads), len(reads) + n_gathers)]
    outputs = builder.embed(expert.circuit, own)
    applies = _applies(builder, reads, expert.condition)
    n_writes = len(expert.writes)
    kept = [
        builder.mux(applies, reads.index(bit), value)
        for bit, value in zip(expert.writes, outputs, strict=False)
    ]
    values = outputs[n_writes : n_writes + len(expert.scatters)]
    enables = [
        applies if scatter.enable is None else builder.and_(applies, outputs[scatter.enable])
        for scatter in expert.scatters
    ]
    first = n_writes + len(values)
    scatters = tuple(Scatter(scatter.place, first + i) for i, scatter in enumerate(expert.scatters))
    circuit = builder.build([*kept, *values, *enables])
    return replace(expert, reads=reads, circuit=circuit, scatters=scatters, condition=None)


def _applies(builder: CircuitBuilder, reads: Sequence[int], condition: Condition) -> int:
    slot = list(reads).index(condition.bit)
    return slot if condition.value else builder.not_(slot)
