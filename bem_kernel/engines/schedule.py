"""The order in which an engine runs gates, and the rows that hold their results.

Depth first from the outputs, a gate follows its operands closely, so that few results are alive
at once: compiled code keeps them in registers, the interpreter in the first-level cache. A little
spread (`spread`) lets the processor overlap gates. Gates that no output needs are left out.

Source: Sethi and Ullman 1970 (evaluation order); linear scan (Poletto and Sarkar 1999) on a
program without jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from bem_kernel.circuits.circuit import ARITY, Circuit, Op

_WINDOW, _DISTANCE = 16, 4  # measured at 256 gates: a third quicker than depth first, 3 rows more


Reads = list[tuple[int, ...]]
"""For each slot the slots that its gate reads; none for an input or a constant."""

_ARITY = tuple(ARITY[op] for op in Op)  # by value: hashing an enumeration's member is slow


def reads_of(circuit: Circuit) -> Reads:
    """What the gate of each slot reads."""
    reads: Reads = [()] * circuit.n_inputs
    reads.extend((gate.a, gate.b)[: _ARITY[gate.op]] for gate in circuit.gates)
    return reads


def depth_first(circuit: Circuit, reads: Reads) -> list[int]:
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
            waiting = [s for s in reversed(reads[slot]) if s not in placed]
            if waiting:
                stack.extend(waiting)
            else:
                placed.add(slot)
                order.append(slot)
                stack.pop()
    return order


def spread(circuit: Circuit, reads: Reads, window: int, distance: int) -> list[int]:
    """`depth_first`, eased so that a gate rarely waits for the result just before it.

    Depth first alone makes a chain in which each gate reads the one before, so that a processor
    waits instead of overlapping them. Here each gate is, among the next few depth first, the first
    whose operands are some steps old; or if there is none, the one whose operands are oldest.

    Args:
        circuit: the gates.
        reads: what they read.
        window: how many gates ahead of the depth-first order to look.
        distance: steps that an operand should be old.

    Returns:
        The same slots as `depth_first`, each after its operands.

    Source: list scheduling (Gibbons and Muchnick 1986) with a bounded window.
    """
    waiting = depth_first(circuit, reads)
    readers: dict[int, list[int]] = {}
    missing: dict[int, int] = {}
    newest = dict.fromkeys(waiting, -distance - 1)  # step of a gate's newest operand
    for slot in waiting:
        gates = {s for s in reads[slot] if s >= circuit.n_inputs}
        missing[slot] = len(gates)
        for gate in gates:
            readers.setdefault(gate, []).append(slot)
    ahead = waiting[:window]
    rest = iter(waiting[window:])
    order: list[int] = []
    while ahead:
        step = len(order)
        slot = _pick(ahead, missing, newest, step - distance)
        ahead.remove(slot)
        ahead.extend(islice(rest, 1))
        order.append(slot)
        for reader in readers.get(slot, ()):
            missing[reader] -= 1
            newest[reader] = step
    return order


def _pick(ahead: list[int], missing: dict[int, int], newest: dict[int, int], before: int) -> int:
    """The first of the gates ahead whose operands are older than a step, or the best there is."""
    best = -1
    for slot in ahead:
        if missing[slot]:
            continue
        if newest[slot] < before:
            return slot
        if best < 0 or newest[slot] < newest[best]:
            best = slot
    return best


def most_alive(reads: Reads, order: list[int]) -> int:
    """The largest number of slots that hold something a later gate of `order` still reads."""
    last_use: dict[int, int] = {}
    for step, slot in enumerate(order):
        last_use.update(dict.fromkeys(reads[slot], step))
    alive: set[int] = set()
    most = 0
    for step, slot in enumerate(order):
        read = reads[slot]
        alive.update((*read, slot))
        most = max(most, len(alive))
        alive.difference_update(s for s in (*read, slot) if last_use.get(s, step) == step)
    return most


@dataclass(frozen=True)
class Schedule:
    """A circuit as an interpreter runs it.

    Attributes:
        steps: (operation, row a, row b, target row) in order of evaluation; the target may be
            the row of an operand, as its last reader.
        outputs: the row of each output bit after the last step.
        n_rows: rows in use, the first `n_inputs` of which hold the inputs at the start.
    """

    steps: tuple[tuple[int, int, int, int], ...]
    outputs: tuple[int, ...]
    n_rows: int


def schedule(circuit: Circuit) -> Schedule:
    """Order the gates and share rows between results that are not alive together."""
    reads = reads_of(circuit)
    order = spread(circuit, reads, _WINDOW, _DISTANCE)
    last_use: dict[int, int] = {}
    for step, slot in enumerate(order):
        last_use.update(dict.fromkeys(reads[slot], step))
    last_use.update(dict.fromkeys(circuit.outputs, len(order)))
    row_of = {slot: slot for slot in range(circuit.n_inputs)}
    free = [slot for slot in range(circuit.n_inputs) if slot not in last_use]
    n_rows = circuit.n_inputs
    steps: list[tuple[int, int, int, int]] = []
    for step, slot in enumerate(order):
        read = reads[slot]
        a, b = (*(row_of[s] for s in read), 0, 0)[:2]
        free.extend(row_of[s] for s in set(read) if last_use[s] == step)
        if not free:
            free.append(n_rows)
            n_rows += 1
        row_of[slot] = free.pop()
        op = int(circuit.gates[slot - circuit.n_inputs].op)  # numpy reads integers faster
        steps.append((op, a, b, row_of[slot]))
    return Schedule(tuple(steps), tuple(row_of[s] for s in circuit.outputs), n_rows)
