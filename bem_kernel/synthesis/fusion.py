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
        places |= dict.fromkeys(read_places(expert))
        places |= dict.fromkeys(Place(Space.STATE, bit) for bit in state_bits(expert))
    places |= dict.fromkeys(Place(Space.STATE, bit) for bit in (care.bits if care else ()))
    return list(places)


def _composed(
    experts: Sequence[Expert], places: Sequence[Place], written: Sequence[int]
) -> Circuit:
    """The values of all written bits after the last expert."""
    builder = CircuitBuilder(len(places))
    now = {place: i for i, place in enumerate(places)}
    for expert in experts:
        outputs = builder.embed(expert.circuit, [now[place] for place in read_places(expert)])
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
    reads, gathers, circuit = wired(places, Circuit(circuit.n_inputs, circuit.gates, outputs))
    return Expert(name, reads, circuit, tuple(written[j] for j in kept), gathers)


def state_bits(expert: Expert) -> tuple[int, ...]:
    """The fixed state bits that an expert reads, writes, or depends on."""
    places = (*expert.gathers, *(scatter.place for scatter in expert.scatters))
    fixed = [p.base for p in places if p.space is Space.STATE and not p.terms]
    condition = () if expert.condition is None else (expert.condition.bit,)
    return (*expert.reads, *expert.writes, *condition, *fixed)


def read_places(expert: Expert) -> tuple[Place, ...]:
    """The bit of each input of an expert's circuit."""
    return (*(Place(Space.STATE, bit) for bit in expert.reads), *expert.gathers)


def wired(
    places: Sequence[Place], circuit: Circuit
) -> tuple[tuple[int, ...], tuple[Place, ...], Circuit]:
    """What an expert reads that computes a circuit.

    Args:
        places: the bit of each input.
        circuit: any.

    Returns:
        The state bits and the other places that it depends on, and the circuit with these inputs.
    """
    used = support(circuit)
    fixed = [i for i in used if places[i].space is Space.STATE and not places[i].terms]
    others = [i for i in used if i not in fixed]
    new = {old: i for i, old in enumerate([*fixed, *others])}
    builder = CircuitBuilder(len(new))
    nothing = builder.const(False)
    slots = builder.embed(circuit, [new.get(i, nothing) for i in range(circuit.n_inputs)])
    reads = tuple(places[i].base for i in fixed)
    return reads, tuple(places[i] for i in others), builder.build(slots)
