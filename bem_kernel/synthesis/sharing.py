"""Common subcircuits: what several experts compute alike, found, and computed once.

The circuits are made smaller one by one, then together, which lets each use what another computes.
A gate that several experts then need is common to them. `extracted` moves common parts into an
expert of its own, the feeder, which leaves them in spare state bits for the others.

Source: BEM core spec 8.4 ("factor out common sub-expressions, identify reusable subcircuits").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bem_kernel.circuits.builder import CircuitBuilder, prune
from bem_kernel.circuits.circuit import ARITY, Circuit
from bem_kernel.errors import SynthesisError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Place, Space
from bem_kernel.synthesis.equivalence import Equal, compare
from bem_kernel.synthesis.fusion import read_places, state_bits, wired
from bem_kernel.synthesis.optimise import optimise


@dataclass(frozen=True)
class Common:
    """A function that several experts need.

    Attributes:
        slot: of the circuit of all experts.
        gates: that it takes.
        users: the experts, by position.
    """

    slot: int
    gates: int
    users: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Shared:
    """Circuits of several experts in one.

    Attributes:
        experts: whose circuits they are.
        places: all bits that they read, the inputs.
        circuit: the outputs of all experts, one expert after the other.
        common: what several of them need, not only for something larger in common; the largest
            first.
        apart: gates of the circuits, made smaller one by one.
        equality: the proof that the outputs are those of the experts' circuits.
    """

    experts: tuple[Expert, ...]
    places: tuple[Place, ...]
    circuit: Circuit
    common: tuple[Common, ...]
    apart: int
    equality: Equal

    def subcircuit(self, common: Common) -> tuple[tuple[Place, ...], Circuit]:
        """The bits that a common function depends on, and the function of them."""
        reads, gathers, circuit = wired(self.places, _feed(self.circuit, [common.slot]))
        return (*(Place(Space.STATE, bit) for bit in reads), *gathers), circuit


def shared(experts: Sequence[Expert], budget_ms: int, *, seed: int = 0) -> Shared:
    """Find what some experts have in common.

    Args:
        experts: two or more; all read the same state.
        budget_ms: milliseconds, half for the circuits one by one and half for all together.
        seed: of the search.

    Raises:
        SynthesisError: there are fewer than two experts, or the budget is out of range.
    """
    if len(experts) < 2:
        raise SynthesisError(
            f"{len(experts)} experts", where="sharing", fix="give two or more to compare"
        )
    each_ms = budget_ms // (2 * len(experts))
    smaller = [optimise(expert.circuit, each_ms, seed=seed).circuit for expert in experts]
    places = tuple(dict.fromkeys(place for expert in experts for place in read_places(expert)))
    given = _joint(experts, [expert.circuit for expert in experts], places)
    circuit = optimise(_joint(experts, smaller, places), budget_ms // 2, seed=seed).circuit
    equality = _proved(given, circuit)
    common = _common(circuit, _users(experts, circuit))
    apart = sum(len(each.gates) for each in smaller)
    return Shared(tuple(experts), places, circuit, common, apart, equality)


@dataclass(frozen=True, eq=False)
class Extraction:
    """Experts that let another one compute what they have in common.

    Attributes:
        feeder: writes the spare bits; to run first, on the same state.
        experts: read the spare bits, and are otherwise those that were given.
        proofs: that each, after the feeder, computes what it did.
    """

    feeder: Expert
    experts: tuple[Expert, ...]
    proofs: tuple[Equal, ...]


def extracted(found: Shared, spare: Sequence[int], *, name: str = "feeder") -> Extraction:
    """Compute common parts once, those that save most.

    Args:
        found: with at least one common part that saves a gate.
        spare: state bits that no expert reads or writes; at most as many parts are taken.
        name: of the feeder.

    Raises:
        SynthesisError: nothing is saved, there is no spare bit, or one is in use.
    """
    used = {bit for expert in found.experts for bit in state_bits(expert)}
    slots = _best_slots(found, len(spare))
    if not slots or used & set(spare) or len(set(spare)) < len(spare):
        raise SynthesisError(
            f"{len(found.common)} common parts, spare bits {tuple(spare)}",
            where="sharing",
            fix="give spare bits, each once, that no expert reads or writes",
        )
    bits, n = tuple(spare[: len(slots)]), len(found.places)
    feed = _feed(found.circuit, slots)
    reads, gathers, circuit = wired(found.places, feed)
    feeder = Expert(name, reads, circuit, bits, gathers)
    places = (*found.places, *(Place(Space.STATE, bit) for bit in bits))
    experts, proofs = [], []
    for expert, outputs in zip(found.experts, _outputs(found.experts, found.circuit), strict=True):
        cut = _cut(found.circuit, outputs, slots)
        builder = CircuitBuilder(n)
        fed = builder.embed(cut, [*range(n), *builder.embed(feed, range(n))])
        given = _joint([expert], [expert.circuit], found.places)
        proofs.append(_proved(given, builder.build(fed)))
        reads, gathers, circuit = wired(places, cut)
        experts.append(replace(expert, reads=reads, gathers=gathers, circuit=circuit))
    return Extraction(feeder, tuple(experts), tuple(proofs))


def _best_slots(found: Shared, most: int) -> list[int]:
    """Common slots, chosen one after the other as long as that saves gates."""
    outputs = _outputs(found.experts, found.circuit)

    def gates(slots: list[int]) -> int:
        cuts = [_cut(found.circuit, ends, slots) for ends in outputs]
        return sum(len(each.gates) for each in (_feed(found.circuit, slots), *cuts))

    slots: list[int] = []
    while len(slots) < most:
        tried = [[*slots, each.slot] for each in found.common if each.slot not in slots]
        best = min(tried, key=gates, default=slots)
        if gates(best) >= gates(slots):
            break
        slots = best
    return slots


def _feed(circuit: Circuit, slots: Sequence[int]) -> Circuit:
    """Some slots of a circuit as outputs."""
    return prune(Circuit(circuit.n_inputs, circuit.gates, tuple(slots)))


def _joint(
    experts: Sequence[Expert], circuits: Sequence[Circuit], places: Sequence[Place]
) -> Circuit:
    """All circuits over all places."""
    builder = CircuitBuilder(len(places))
    slot_of = {place: i for i, place in enumerate(places)}
    outputs: list[int] = []
    for expert, circuit in zip(experts, circuits, strict=True):
        outputs += builder.embed(circuit, [slot_of[place] for place in read_places(expert)])
    return builder.build(outputs)


def _outputs(experts: Sequence[Expert], circuit: Circuit) -> list[tuple[int, ...]]:
    """The slots of each expert's outputs."""
    ends, start = [], 0
    for expert in experts:
        ends.append(circuit.outputs[start : start + expert.circuit.n_outputs])
        start += expert.circuit.n_outputs
    return ends


def _users(experts: Sequence[Expert], circuit: Circuit) -> list[frozenset[int]]:
    """The experts that need each slot."""
    users: list[set[int]] = [set() for _ in range(circuit.n_slots)]
    for i, outputs in enumerate(_outputs(experts, circuit)):
        for slot in outputs:
            users[slot].add(i)
    for k in range(len(circuit.gates) - 1, -1, -1):
        gate = circuit.gates[k]
        for operand in (gate.a, gate.b)[: ARITY[gate.op]]:
            users[operand] |= users[circuit.n_inputs + k]
    return [frozenset(found) for found in users]


def _common(circuit: Circuit, users: Sequence[frozenset[int]]) -> tuple[Common, ...]:
    """The gates that several experts need, and some expert for itself."""
    ends = set(circuit.outputs)
    for k, gate in enumerate(circuit.gates):
        for operand in (gate.a, gate.b)[: ARITY[gate.op]]:
            if users[operand] != users[circuit.n_inputs + k]:
                ends.add(operand)
    found = []
    for slot in sorted(ends):
        if slot >= circuit.n_inputs and len(users[slot]) > 1:
            gates = len(_feed(circuit, [slot]).gates)
            found.append(Common(slot, gates, tuple(sorted(users[slot]))))
    return tuple(sorted(found, key=lambda each: (-each.gates, each.slot)))


def _cut(circuit: Circuit, outputs: Sequence[int], slots: Sequence[int]) -> Circuit:
    """Some outputs of a circuit that has some slots as inputs behind its own."""
    n = circuit.n_inputs
    builder = CircuitBuilder(n + len(slots))
    given = {slot: n + i for i, slot in enumerate(slots)}
    values = list(range(n))
    for k, gate in enumerate(circuit.gates):
        operands = [values[slot] for slot in (gate.a, gate.b)[: ARITY[gate.op]]]
        values.append(given[n + k] if n + k in given else builder.apply(gate.op, *operands))
    return builder.build([values[slot] for slot in outputs])


def _proved(given: Circuit, circuit: Circuit) -> Equal:
    equality = compare(given, circuit)
    if not isinstance(equality, Equal):
        raise AssertionError(f"the shared circuit differs at {equality.inputs}")
    return equality
