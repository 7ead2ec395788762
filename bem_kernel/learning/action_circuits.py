"""Action models as circuits, experts and programs.

Each action becomes two experts on a state in which facts are bits. `pre:NAME` raises BAD unless the
action is admitted and all its effects are foreseen; `effect:NAME` writes what a success changes. So
a lane in which BAD stays 0 has taken only steps that the traces justify, and its facts are right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.composition import support
from bem_kernel.errors import LearningError
from bem_kernel.experts.template import Address, ExpertTemplate, bind
from bem_kernel.isa.program import Program
from bem_kernel.learning.action_model import ActionModel, Effect
from bem_kernel.learning.antecedents import Antecedents
from bem_kernel.learning.version_space import Clause

BAD = "BAD"
"""The name of the bit that says that a step was not justified."""


def pre_circuit(model: ActionModel) -> Circuit:
    """Whether an action is admitted; the inputs are the model's facts."""
    builder = CircuitBuilder(len(model.facts))
    return builder.build([_admitted(builder, model)])


def effect_circuit(model: ActionModel, effect: Effect) -> Circuit:
    """Whether an effect takes place, and whether that is foreseen; the inputs are the facts.

    What it says counts where the fact is not yet as the effect makes it.
    """
    builder = CircuitBuilder(len(model.facts))
    return builder.build([_takes_place(builder, effect.when), _foreseen(builder, effect.when)])


def pre_template(
    model: ActionModel, address_of: Mapping[str, Address], bad: Address
) -> ExpertTemplate:
    """The expert BAD <- BAD or not (admitted and foreseen).

    Args:
        model: of the action.
        address_of: where each fact is.
        bad: where BAD is.

    Raises:
        LearningError: a fact has no address.
    """
    n = len(model.facts)
    builder = CircuitBuilder(n + 1)
    sure = _admitted(builder, model)
    for effect in model.effects:
        if effect.when is not None:
            column = model.facts.index(effect.fact)
            already = column if effect.value else builder.not_(column)
            sure = builder.and_(sure, builder.or_(already, _foreseen(builder, effect.when)))
    circuit = builder.build([builder.or_(builder.not_(sure), n)])
    reads = (*_addresses(model.facts, address_of), bad)
    return _lean(f"pre:{model.action}", reads, circuit, (bad,))


def effect_template(model: ActionModel, address_of: Mapping[str, Address]) -> ExpertTemplate:
    """The expert that changes the facts as a success does.

    Raises:
        LearningError: a fact has no address.
    """
    builder = CircuitBuilder(len(model.facts))
    outputs: dict[str, int] = {}
    for fact in dict.fromkeys(effect.fact for effect in model.effects):
        own = [effect for effect in model.effects if effect.fact == fact]
        outputs[fact] = _value_after(builder, model, own)
    circuit = builder.build(list(outputs.values()))
    reads, writes = _addresses(model.facts, address_of), _addresses(outputs, address_of)
    return _lean(f"effect:{model.action}", reads, circuit, writes)


def learned_program(models: Iterable[ActionModel]) -> Program:
    """A program without code that has the experts of some actions, over one bit per fact and BAD.

    Raises:
        ProgramError: a name is none for programs.
    """
    kept = list(models)
    every = (
        fact
        for model in kept
        for fact in (*model.facts, *(effect.fact for effect in model.effects))
    )
    names = (*dict.fromkeys(every), BAD)
    address_of = {name: Address(bit) for bit, name in enumerate(names)}
    templates = [
        template
        for model in kept
        for template in (
            pre_template(model, address_of, address_of[BAD]),
            effect_template(model, address_of),
        )
    ]
    return Program(names, tuple(bind(template, {}) for template in templates))


def _admitted(builder: CircuitBuilder, model: ActionModel) -> int:
    return _all(builder, [_any(builder, clause) for clause in model.precondition])


def _takes_place(builder: CircuitBuilder, when: Antecedents | None) -> int:
    if when is None:
        return builder.const(True)
    return _all(builder, [_conjunction(builder, each) for each in when.conjunctions])


def _foreseen(builder: CircuitBuilder, when: Antecedents | None) -> int:
    if when is None:
        return builder.const(True)
    holding = [_conjunction(builder, each) for each in when.conjunctions]
    never = _all(builder, [builder.not_(slot) for slot in holding])
    return builder.or_(_all(builder, holding), never)


def _value_after(builder: CircuitBuilder, model: ActionModel, effects: Sequence[Effect]) -> int:
    """A fact after a success: set where it was not and an effect sets it, and so on."""
    fact = effects[0].fact
    sets = {effect.value: _takes_place(builder, effect.when) for effect in effects}
    if fact not in model.facts:
        return sets[True]
    before = model.facts.index(fact)
    risen = sets.get(True, builder.const(False))
    kept = builder.not_(sets.get(False, builder.const(False)))
    return builder.mux(before, risen, kept)


def _literal(builder: CircuitBuilder, literal: int) -> int:
    slot = abs(literal) - 1
    return slot if literal > 0 else builder.not_(slot)


def _any(builder: CircuitBuilder, clause: Clause) -> int:
    slots = [_literal(builder, literal) for literal in clause]
    return reduce(builder.or_, slots, builder.const(False))


def _conjunction(builder: CircuitBuilder, literals: Clause) -> int:
    return _all(builder, [_literal(builder, literal) for literal in literals])


def _all(builder: CircuitBuilder, slots: Sequence[int]) -> int:
    return reduce(builder.and_, slots, builder.const(True))


def _addresses(facts: Iterable[str], address_of: Mapping[str, Address]) -> tuple[Address, ...]:
    wanted = tuple(facts)
    missing = [fact for fact in wanted if fact not in address_of]
    if missing:
        raise LearningError(
            f"no state bit for {missing[0]}", where="action experts", fix="give it an address"
        )
    return tuple(address_of[fact] for fact in wanted)


def _lean(
    name: str, reads: tuple[Address, ...], circuit: Circuit, writes: tuple[Address, ...]
) -> ExpertTemplate:
    """A template that reads only what its circuit uses."""
    used = support(circuit)
    builder = CircuitBuilder(len(used))
    unused = builder.const(False)
    position = {slot: i for i, slot in enumerate(used)}
    inputs = [position.get(slot, unused) for slot in range(circuit.n_inputs)]
    outputs = builder.embed(circuit, inputs)
    return ExpertTemplate(name, tuple(reads[i] for i in used), builder.build(outputs), writes)
