"""Covering a circuit with as few 3-input look-up tables as can be found quickly.

Each gate gets its cuts: sets of at most three slots that determine it. A cover takes one cut per
gate it needs. The first cover minimises area flow, the cost of a LUT shared among its readers;
then each gate in turn takes the cut that adds the fewest LUTs to the cover as it stands, until a
pass gains nothing. Last, LUTs that ignore an operand, pass one on or repeat another are joined.

Finding the least cover is NP-hard. On random circuits of 256 live gates and 32 inputs about 0.63
LUTs a gate remain.

Source: Cong and Ding 1994 (cuts); Mishchenko, Chatterjee and Brayton 2007 (area flow, exact area).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from bem_kernel.circuits.circuit import ARITY, Circuit, Gate, Op
from bem_kernel.circuits.lut import OPERAND_TABLES, Lut, LutCircuit, depends_on

Cut = tuple[int, ...]
"""Slots that determine a gate, ascending; none for a constant."""

MAX_LEAVES = 3
_MAX_CUTS = 16
_MAX_PASSES = 8
_ONE = 1 << 16  # one LUT, in the fixed-point unit of area flow


def map_luts(circuit: Circuit) -> LutCircuit:
    """The same function as 3-input look-up tables.

    Args:
        circuit: any circuit; `builder.simplify` it first to share equal gates.

    Returns:
        The LUTs, in the order of the gates they replace, and the same outputs.
    """
    cuts, best = _cuts_of(circuit)
    uses = [0] * circuit.n_slots
    cover = _Cover(circuit.n_inputs, best, uses)
    cover.take(circuit.outputs)
    for _ in range(_MAX_PASSES):
        if not _improve(cover, cuts):
            break
    return _joined(circuit, cover)


def _cuts_of(circuit: Circuit) -> tuple[list[list[Cut]], list[Cut]]:
    """The best cuts of every slot, and the one of least area flow."""
    n = circuit.n_inputs
    readers = _readers(circuit)
    flow = [0] * circuit.n_slots
    cuts: list[list[Cut]] = [[] for _ in range(n)]
    for slot, gate in enumerate(circuit.gates, start=n):
        costs = {cut: _ONE + sum(flow[leaf] for leaf in cut) for cut in _merged(cuts, gate)}
        ordered = sorted(costs, key=lambda cut: (costs[cut], len(cut), cut))
        cuts.append(ordered[:_MAX_CUTS])
        flow[slot] = costs[ordered[0]] // max(1, readers[slot])
    return cuts, [options[0] if options else () for options in cuts]


def _readers(circuit: Circuit) -> list[int]:
    count = [0] * circuit.n_slots
    for gate in circuit.gates:
        for slot in (gate.a, gate.b)[: ARITY[gate.op]]:
            count[slot] += 1
    for slot in circuit.outputs:
        count[slot] += 1
    return count


def _merged(cuts: list[list[Cut]], gate: Gate) -> set[Cut]:
    """Every way to cut the operands with at most three slots; an operand cuts itself."""
    operands = (gate.a, gate.b)[: ARITY[gate.op]]
    choices = [[(slot,), *cuts[slot]] for slot in operands]
    found = {tuple(sorted({leaf for cut in pick for leaf in cut})) for pick in product(*choices)}
    return {cut for cut in found if len(cut) <= MAX_LEAVES}


class _Cover:
    """Which cut each slot would use, and how often each slot is used by the cover."""

    def __init__(self, n_inputs: int, chosen: list[Cut], uses: list[int]) -> None:
        self.n_inputs = n_inputs
        self.chosen = chosen
        self.uses = uses

    def take(self, slots: Sequence[int]) -> int:
        """Use `slots` once more; returns how many LUTs that adds."""
        added, waiting = 0, list(slots)
        while waiting:
            slot = waiting.pop()
            if slot >= self.n_inputs:
                if self.uses[slot] == 0:
                    added += 1
                    waiting.extend(self.chosen[slot])
                self.uses[slot] += 1
        return added

    def release(self, slots: Sequence[int]) -> None:
        """Undo `take`."""
        waiting = list(slots)
        while waiting:
            slot = waiting.pop()
            if slot >= self.n_inputs:
                self.uses[slot] -= 1
                if self.uses[slot] == 0:
                    waiting.extend(self.chosen[slot])


def _improve(cover: _Cover, cuts: list[list[Cut]]) -> bool:
    """Give each gate the cut that adds the fewest LUTs; returns whether the cover got smaller."""
    before = sum(1 for uses in cover.uses if uses)
    for slot in range(cover.n_inputs, len(cuts)):
        used = cover.uses[slot] > 0
        if used:
            cover.release(cover.chosen[slot])
        costs = []
        for cut in cuts[slot]:
            costs.append((cover.take(cut), len(cut), cut))
            cover.release(cut)
        cover.chosen[slot] = min(costs)[2]
        if used:
            cover.take(cover.chosen[slot])
    return sum(1 for uses in cover.uses if uses) < before


def _joined(circuit: Circuit, cover: _Cover) -> LutCircuit:
    """The cover as LUTs, without those that pass on an operand or repeat another."""
    n = circuit.n_inputs
    new_slot = {slot: slot for slot in range(n)}
    luts: dict[Lut, int] = {}
    for slot in range(n, circuit.n_slots):
        if cover.uses[slot]:
            cut = cover.chosen[slot]
            table, operands = _shrunk(
                _table(circuit, slot, cut), tuple(new_slot[leaf] for leaf in cut)
            )
            if table == OPERAND_TABLES[0] and len(operands) == 1:
                new_slot[slot] = operands[0]
            else:
                new_slot[slot] = luts.setdefault(Lut(table, operands), n + len(luts))
    outputs = tuple(new_slot[slot] for slot in circuit.outputs)
    return _pruned(LutCircuit(n, tuple(luts), outputs))


def _table(circuit: Circuit, slot: int, cut: Cut) -> int:
    """The table of `slot` as a function of the slots of its cut."""
    value = {leaf: OPERAND_TABLES[i] for i, leaf in enumerate(cut)}
    inner, waiting = set(), [slot]
    while waiting:
        at = waiting.pop()
        if at not in value and at not in inner:
            inner.add(at)
            gate = circuit.gates[at - circuit.n_inputs]
            waiting.extend((gate.a, gate.b)[: ARITY[gate.op]])
    for at in sorted(inner):
        gate = circuit.gates[at - circuit.n_inputs]
        operands = [value[s] for s in (gate.a, gate.b)[: ARITY[gate.op]]]
        value[at] = _apply(gate.op, *operands)
    return value[slot]


def _apply(op: Op, a: int = 0, b: int = 0) -> int:
    match op:
        case Op.AND:
            return a & b
        case Op.OR:
            return a | b
        case Op.XOR:
            return a ^ b
        case Op.NOT:
            return ~a & 0xFF
        case Op.ANDN:
            return a & ~b & 0xFF
        case _:
            return 0xFF if op is Op.CONST1 else 0


def _shrunk(table: int, operands: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Drop operands named twice, and those the table does not depend on."""
    kept = tuple(sorted(set(operands)))
    while True:
        table = _renamed(table, operands, kept)
        operands = kept
        kept = tuple(slot for i, slot in enumerate(operands) if depends_on(table, i))
        if kept == operands:
            return table, operands


def _renamed(table: int, operands: tuple[int, ...], names: tuple[int, ...]) -> int:
    """The table over `names`, where operands that are not among them count as 0."""
    renamed = 0
    for row in range(8):
        ones = {name for i, name in enumerate(names) if row >> i & 1}
        source = sum(1 << i for i, slot in enumerate(operands) if slot in ones)
        renamed |= (table >> source & 1) << row
    return renamed


def _pruned(circuit: LutCircuit) -> LutCircuit:
    """The same circuit without the LUTs that no output depends on."""
    n = circuit.n_inputs
    live = set(circuit.outputs)
    for i in reversed(range(len(circuit.luts))):
        if n + i in live:
            live.update(circuit.luts[i].operands)
    new_slot = {slot: slot for slot in range(n)}
    luts: list[Lut] = []
    for i, lut in enumerate(circuit.luts):
        if n + i in live:
            new_slot[n + i] = n + len(luts)
            luts.append(Lut(lut.table, tuple(new_slot[slot] for slot in lut.operands)))
    return LutCircuit(n, tuple(luts), tuple(new_slot[slot] for slot in circuit.outputs))
