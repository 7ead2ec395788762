"""Conditions as part of circuits: one folded in to make room for another, two joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.errors import PatchError
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


def joined(first: Expert, second: Expert) -> Expert:
    """One expert that does what two do in the lanes that a state bit shares out between them.

    Args:
        first: with a condition.
        second: with the opposite condition, and the same reads, writes, gathers and scatters.

    Raises:
        PatchError: they are not such a pair.
    """
    condition = first.condition
    opposite = None if condition is None else Condition(condition.bit, not condition.value)
    alike = replace(second, name=first.name, circuit=first.circuit, condition=condition) == first
    if condition is None or second.condition != opposite or not alike:
        raise PatchError(
            f"{first.name} and {second.name} are no two cases of one expert",
            where="merge patch",
            fix="join experts of opposite conditions that read and write the same bits",
        )
    extra = () if condition.bit in first.reads else (condition.bit,)
    n_reads, n_gathers = len(first.reads), len(first.gathers)
    reads = first.reads + extra
    builder = CircuitBuilder(len(reads) + n_gathers)
    own = [*range(n_reads), *range(len(reads), len(reads) + n_gathers)]
    chosen = reads.index(condition.bit)
    true, false = (first, second) if condition.value else (second, first)
    cases = zip(builder.embed(false.circuit, own), builder.embed(true.circuit, own), strict=True)
    circuit = builder.build([builder.mux(chosen, low, high) for low, high in cases])
    return replace(first, reads=reads, circuit=circuit, condition=None)


def _applies(builder: CircuitBuilder, reads: Sequence[int], condition: Condition) -> int:
    slot = list(reads).index(condition.bit)
    return slot if condition.value else builder.not_(slot)
