"""The order in which an engine runs gates, and the rows that hold their results.

Depth first from the outputs, a gate follows its operands closely, so that few results are alive
at once: compiled code keeps them in registers, the interpreter in the first-level cache. Gates
that no output needs are left out.

Source: Sethi and Ullman 1970 (evaluation order); linear scan (Poletto and Sarkar 1999) on a
program without jumps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bem_kernel.circuits.circuit import ARITY, Circuit, Op


def operands(circuit: Circuit, slot: int) -> tuple[int, ...]:
    """The slots that the gate of a slot reads; none for an input or a constant."""
    if slot < circuit.n_inputs:
        return ()
    gate = circuit.gates[slot - circuit.n_inputs]
    return (gate.a, gate.b)[: ARITY[gate.op]]


def depth_first(circuit: Circuit) -> list[int]:
    """The slots of all gates that an output needs, each after its operands, output by output."""
    order: list[int] = []
    placed = set(range(circuit.n_inputs))
    for output in circuit.outputs:
        stack = [output]
        while stack:
            slot = stack[-1]
            if slot in placed:
                stack.pop()
                continue
            waiting = [s for s in reversed(operands(circuit, slot)) if s not in placed]
            if waiting:
                stack.extend(waiting)
            else:
                placed.add(slot)
                order.append(slot)
                stack.pop()
    return order


@dataclass(frozen=True)
class Schedule:
    """A circuit as an interpreter runs it.

    Attributes:
        steps: (operation, row a, row b, target row) in order of evaluation; the target may be
            the row of an operand, as its last reader.
        outputs: the row of each output bit after the last step.
        n_rows: rows in use, the first `n_inputs` of which hold the inputs at the start.
    """

    steps: tuple[tuple[Op, int, int, int], ...]
    outputs: tuple[int, ...]
    n_rows: int


def schedule(circuit: Circuit) -> Schedule:
    """Order the gates depth first and share rows between results that are not alive together."""
    order = depth_first(circuit)
    last_use: dict[int, int] = {}
    for step, slot in enumerate(order):
        last_use.update(dict.fromkeys(operands(circuit, slot), step))
    last_use.update(dict.fromkeys(circuit.outputs, len(order)))
    row_of = {slot: slot for slot in range(circuit.n_inputs)}
    free = [slot for slot in range(circuit.n_inputs) if slot not in last_use]
    n_rows = circuit.n_inputs
    steps: list[tuple[Op, int, int, int]] = []
    for step, slot in enumerate(order):
        gate = circuit.gates[slot - circuit.n_inputs]
        read = operands(circuit, slot)
        a, b = (*(row_of[s] for s in read), 0, 0)[:2]
        free.extend(_dying(row_of, last_use, read, step))
        if not free:
            free.append(n_rows)
            n_rows += 1
        row_of[slot] = free.pop()
        steps.append((gate.op, a, b, row_of[slot]))
    return Schedule(tuple(steps), tuple(row_of[s] for s in circuit.outputs), n_rows)


def _dying(
    row_of: dict[int, int], last_use: dict[int, int], read: tuple[int, ...], step: int
) -> Iterator[int]:
    """The rows of the slots that are read for the last time at a step."""
    for slot in dict.fromkeys(read):
        if last_use[slot] == step:
            yield row_of[slot]
