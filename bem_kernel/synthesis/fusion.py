"""Several experts that run one after the other, as one: their composition as gates, made smaller.

Each state bit gets a new name whenever an expert writes it (static single assignment), so that
what a later expert overwrites, and what two of them compute alike, falls away.

Source: BEM core spec 8.4; Cytron, Ferrante, Rosen, Wegman and Zadeck 1991 (single assignment).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.composition import support, wiring
from bem_kernel.errors import SynthesisError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.place import Place, Space
from bem_kernel.synthesis.equivalence import Equal
from bem_kernel.synthesis.network import network_from_circuit
from bem_kernel.synthesis.optimise import optimise


@dataclass(frozen=True)
class Care:
    """States that count.

    Attributes:
        bits: state bits, the circuit's inputs.
        circuit: one output, 1 where a state counts.
    """

    bits: tuple[int, ...]
    circuit: Circuit


@dataclass(frozen=True, eq=False)
class Fusion:
    """One expert in place of several.

    Attributes:
        expert: does what they do one after the other, in every lane that counts; None if that is
            nothing.
        before: two-input gates of their circuits.
        after: two-input gates of the expert's.
        equality: the proof that its circuit is their composition where it counts.
    """

    expert: Expert | None
    before: int
    after: int
    equality: Equal


def is_fusible(expert: Expert) -> bool:
    """Whether an expert writes fixed state bits only, and reads fixed bits only."""
    return not expert.scatters and not any(place.terms for place in expert.gathers)


def fused(
    experts: Sequence[Expert],
    budget_ms: int,
    *,
    name: str,
    care: Care | None = None,
    seed: int = 0,
) -> Fusion:
    """Make one expert of several.

    Args:
        experts: one or more, in the order in which they run; each `is_fusible`.
        budget_ms: milliseconds for the search.
        name: of the new expert.
        care: the states before the first of them that count; None: all.
        seed: of the search.

    Raises:
        SynthesisError: an expert is not fusible, or the budget is out of range.
    """
    places = _places(experts, care)
    written = tuple(dict.fromkeys(bit for expert in experts for bit in expert.writes))
    whole = _composed(experts, places, written)
    where = None if care is None else _over(care, places)
    result = optimise(whole, budget_ms, seed=seed, care=where)
    before = sum(network_from_circuit(expert.circuit).size for expert in experts)
    expert = _expert_of(name, places, written, result.circuit)
    return Fusion(expert, before, result.after, result.equality)


def _places(experts: Sequence[Expert], care: Care | None) -> list[Place]:
    """Every bit that is read before the first expert runs, or kept where none applies."""
    places: dict[Place, None] = {}
    for expert in experts:
        if not is_fusible(expert):
            raise SynthesisError(
                "has addresses that it computes, or writes shared memory",
                where=f"fusion: expert {expert.name}",
                fix="leave it out",
            )
        bits = [*expert.reads, *expert.writes]
        bits += [] if expert.condition is None else [expert.condition.bit]
        places |= dict.fromkeys(Place(Space.STATE, bit) for bit in bits)
        places |= dict.fromkeys(expert.gathers)
    places |= dict.fromkeys(Place(Space.STATE, bit) for bit in (care.bits if care else ()))
    return list(places)


def _composed(
    experts: Sequence[Expert], places: Sequence[Place], written: Sequence[int]
) -> Circuit:
    """The values of all written bits after the last expert."""
    builder = CircuitBuilder(len(places))
    now = {place: i for i, place in enumerate(places)}
    for expert in experts:
        reads = [*(Place(Space.STATE, bit) for bit in expert.reads), *expert.gathers]
        outputs = builder.embed(expert.circuit, [now[place] for place in reads])
        new = {Place(Space.STATE, b): s for b, s in zip(expert.writes, outputs, strict=False)}
        if expert.condition is not None:
            applies = now[Place(Space.STATE, expert.condition.bit)]
            if not expert.condition.value:
                applies = builder.not_(applies)
            new = {place: builder.mux(applies, now[place], slot) for place, slot in new.items()}
        now |= new
    return builder.build([now[Place(Space.STATE, bit)] for bit in written])


def _over(care: Care, places: Sequence[Place]) -> Circuit:
    """The care set on the inputs of the composition."""
    sources = [places.index(Place(Space.STATE, bit)) for bit in care.bits]
    return wiring(len(places), sources) >> care.circuit


def _expert_of(
    name: str, places: Sequence[Place], written: Sequence[int], circuit: Circuit
) -> Expert | None:
    """The expert that computes a circuit, without inputs and outputs that change nothing."""
    kept = [
        j
        for j, (bit, slot) in enumerate(zip(written, circuit.outputs, strict=True))
        if slot >= len(places) or places[slot] != Place(Space.STATE, bit)
    ]
    if not kept:
        return None
    outputs = tuple(circuit.outputs[j] for j in kept)
    circuit = Circuit(circuit.n_inputs, circuit.gates, outputs)
    used = support(circuit)
    order = [i for i in used if places[i].space is Space.STATE]
    gathers = [i for i in used if places[i].space is not Space.STATE]
    new = {old: i for i, old in enumerate([*order, *gathers])}
    builder = CircuitBuilder(len(new))
    zero = builder.const(False)
    slots = builder.embed(circuit, [new.get(i, zero) for i in range(circuit.n_inputs)])
    return Expert(
        name,
        tuple(places[i].base for i in order),
        builder.build(slots),
        tuple(written[j] for j in kept),
        tuple(places[i] for i in gathers),
    )
