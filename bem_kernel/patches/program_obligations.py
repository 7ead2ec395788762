"""VC of a patch of the program: that it goes on doing the same, and what is claimed of it.

A region that preserves what the program does owes that, from every state in which the program may
come to its start (those of the scope, and of the annotation there), both regions are left alike:
at the same instruction or in the same trap, with the same state bits and memory, and the same
values in registers that still count. Wherever the program is annotated, it owes every edge of the
new program, so that a region that does not preserve can do what the annotations allow. Annotations
are, as for `hoare_check`, about one lane in the memory that `Machine(program)` makes; equivalence
is about the machine's lanes in any memory, see `crossing`. How many instructions run, and where
they lie, is not claimed.

That the annotation at the start may be assumed of the old region too: up to there both programs
have done the same, and the new one keeps its annotations.

Source: BEM core spec 8.3, 9.2, 9.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from bem_kernel.errors import PatchError
from bem_kernel.hoare.annotations import parse_annotations
from bem_kernel.hoare.check import claim_text
from bem_kernel.hoare.obligations import Annotated
from bem_kernel.hoare.state import (
    Layout,
    State,
    layout_of,
    mutable_places,
    unknown_state,
)
from bem_kernel.hoare.words import WordBuilder
from bem_kernel.isa.instructions import FORM, Instruction, Opcode, Operand, Space
from bem_kernel.isa.program import Program
from bem_kernel.patches.crossing import AGAIN, RETURN, Crossing, Exit, cross
from bem_kernel.patches.formula import Obligation
from bem_kernel.patches.liveness import Liveness, liveness, registers
from bem_kernel.patches.patch import Scope
from bem_kernel.patches.program import Installed
from bem_kernel.patches.region import Region, edited

_WRITE_ONLY = (Opcode.ADR, Opcode.ST, Opcode.BEM_STORE_STATE, Opcode.BEM_ANN_QUERY)
_ABOUT_CODE = (Opcode.BEM_HOARE_CHECK,)


def program_safety(installed: Installed, region: Region) -> tuple[Obligation, ...]:
    """That the program does what is claimed of it, once a region has been replaced.

    Raises:
        PatchError: nothing is claimed, and the region is not to preserve what the program does.
        HoareError: an annotated node is gone, or a loop has no annotation.
        ProgramError: what comes refers to something that does not exist.
    """
    after = edited(installed.program, region)
    if not installed.annotations.strip():
        if region.preserves:
            return ()
        raise PatchError(
            "nothing is claimed of the program, so anything would do",
            where="region patch",
            fix="let it preserve what the program does, or install the program with annotations",
        )
    claims = parse_annotations(installed.annotations, after)
    annotated = Annotated(after, claims)
    return tuple(_edges(annotated))


def program_equivalence(
    installed: Installed, region: Region, scope: Scope
) -> tuple[Obligation, ...]:
    """That the program goes on doing the same in a scope; nothing if it need not.

    Raises:
        PatchError: the region has a loop inside or reaches out of the program, or the program
            reads its own code.
        HoareError: an address may mean too many words.
    """
    if not region.preserves:
        return ()
    before, after = installed.program, edited(installed.program, region)
    for program in (before, after):
        _check_reads_no_code(program)
    annotated = Annotated(after, parse_annotations(installed.annotations, after))
    layouts = layout_of(before), annotated.layout
    builder = WordBuilder()
    state = _any_state(builder, layouts)
    assumed = _assumed(builder, state, annotated, region.start, scope)
    crossings = _crossings(builder, layouts, state, region, installed.lanes)
    counting = _counting(liveness(before, after, region), region)
    slots = list(_differences(builder, crossings, counting))
    formulas = builder.formulas([builder.and_(assumed, slot) for _, slot in slots])
    names = _names(layouts[0], state)
    return tuple(
        Obligation(
            f"{region} and what comes instead {claim}",
            formula.cnf,
            (),
            tuple(names[slot] for slot in formula.inputs),
        )
        for (claim, _), formula in zip(slots, formulas, strict=True)
    )


def _any_state(builder: WordBuilder, layouts: tuple[Layout, Layout]) -> State:
    """Any state at the start of the region, without CODE, which the programs do not share."""
    mutable = mutable_places(layouts[0]) | mutable_places(layouts[1])
    code = (*layouts[0].program.code, *layouts[1].program.code)
    if any(_may_write_anywhere(instruction) for instruction in code):
        mutable = frozenset(layouts[0].places().values())
    state = unknown_state(builder, layouts[0], mutable, {}, {})
    first = layouts[0].bases[Space.CODE]
    own = range(first, first + layouts[0].sizes[Space.CODE])
    return replace(state, words={p: word for p, word in state.words.items() if p not in own})


def _crossings(
    builder: WordBuilder,
    layouts: tuple[Layout, Layout],
    state: State,
    region: Region,
    lanes: int,
) -> tuple[Crossing, Crossing]:
    """The ways through the old and the new region; exits are named as in the old program."""

    def outside(pc: int) -> int:
        return pc if pc < region.start else pc - region.new_end + region.end

    start = region.start
    left = cross(builder, layouts[0], (start, region.end), state, lambda pc: pc, lanes=lanes)
    right = cross(builder, layouts[1], (start, region.new_end), state, outside, lanes=lanes)
    if right.depth > left.depth:
        raise PatchError(
            f"calls are {right.depth} deep, {left.depth} before",
            where="region patch",
            fix="keep the calls as deep as they are",
        )
    return left, right


def _differences(
    builder: WordBuilder,
    crossings: tuple[Crossing, Crossing],
    counting: Callable[[Exit], list[int]],
) -> Iterator[tuple[str, int]]:
    """What is claimed of the two regions, each with the slot that says when it is not so."""
    nowhere: list[tuple[int, State]] = []
    ends = {**crossings[0].ends, **crossings[1].ends}
    sides = [[crossing.ends.get(exit_, nowhere) for crossing in crossings] for exit_ in ends]
    taken = [[builder.any(slot for slot, _ in ways) for ways in side] for side in sides]
    yield "are left alike", builder.any(builder.xor(a, b) for a, b in taken)
    for exit_, side, (here, there) in zip(ends, sides, taken, strict=True):
        if all(side):
            one, other = (_merged(builder, ways) for ways in side)
            apart = _differ(builder, one, other, counting(exit_))
            yield f"do the same up to {exit_}", builder.all((here, there, apart))


def _merged(builder: WordBuilder, ways: Sequence[tuple[int, State]]) -> State:
    """The state at the end of whichever way is taken; no two are."""
    merged = ways[0][1]
    for taken, state in ways[1:]:
        numbers = [
            low if low == high else builder.choose(taken, low, high)
            for low, high in zip(merged.registers, state.registers, strict=True)
        ]
        words = {
            place: builder.choose(taken, merged.words[place], word)
            for place, word in state.words.items()
            if word != merged.words[place]
        }
        merged = replace(merged, registers=tuple(numbers)).with_words(words)
    return merged


def _counting(live: Liveness, region: Region) -> Callable[[Exit], list[int]]:
    """The registers that count at an exit."""

    def counting(exit_: Exit) -> list[int]:
        if exit_.stop is not None:
            return []
        if exit_.to == RETURN:
            return registers(live.after_return)
        return registers(live.at[region.start if exit_.to == AGAIN else exit_.to])

    return counting


def _differ(builder: WordBuilder, one: State, other: State, counting: Iterable[int]) -> int:
    pairs = [(one.registers[i], other.registers[i]) for i in counting]
    pairs += [(word, other.words[place]) for place, word in one.words.items()]
    return builder.any(
        builder.xor(a, b)
        for left, right in pairs
        if left != right
        for a, b in zip(left, right, strict=True)
    )


def _assumed(
    builder: WordBuilder, state: State, annotated: Annotated, start: int, scope: Scope
) -> int:
    """The slot of what holds whenever the program comes to the region's start, in the scope."""
    layout, holds = annotated.layout, builder.one
    n_bits = layout.program.n_bits
    if max(scope.bits, default=-1) >= n_bits:
        raise PatchError(
            f"bit {max(scope.bits)}, the program has {n_bits}",
            where="scope",
            fix="use bits of the program",
        )
    if scope.care is not None:
        bits = [state.words[layout.plane(bit)][0] for bit in scope.bits]
        (holds,) = builder.embed(scope.care, bits)
    name = annotated.names.get(start)
    return holds if name is None else builder.and_(holds, annotated.claim(name)(builder, state))


def _edges(annotated: Annotated) -> Iterator[Obligation]:
    """Every way from an annotated node to the next, as `hoare_check` has them."""
    for node in annotated.nodes():
        b = node.builder
        violated = [
            b.and_(node.assumed, b.and_(o.condition, b.not_(o.goal))) for o in node.obligations
        ]
        names = _names(annotated.layout, node.state)
        for obligation, formula in zip(node.obligations, b.formulas(violated), strict=True):
            yield Obligation(
                f"{node.at.name} -> {claim_text(obligation)} holds along {list(obligation.path)}",
                formula.cnf,
                (),
                tuple(names.get(slot, f"answer {slot}") for slot in formula.inputs),
            )


def _names(layout: Layout, state: State) -> dict[int, str]:
    """What each input of a state stands for: a bit of the state, or of a register or word."""
    names: dict[int, str] = {}
    for number, word in enumerate(state.registers):
        names |= {slot: f"r{number}[{i}]" for i, slot in enumerate(word)}
    for place, word in state.words.items():
        names |= {slot: f"word {place}[{i}]" for i, slot in enumerate(word)}
    for entry in layout.program.data:
        for index, place in enumerate(layout.data(entry.name)):
            word = state.words[place]
            names |= {slot: f"{entry.name}[{index}][{i}]" for i, slot in enumerate(word)}
    for bit in range(layout.n_bits):
        names[state.words[layout.plane(bit)][0]] = f"s[{bit}]"
    return names


def _may_write_anywhere(instruction: Instruction) -> bool:
    """Whether an address may mean a word of DATA in some memory, whatever it means in the model."""
    addressed = Operand.ADDRESS in FORM[instruction.opcode].operands
    return addressed and instruction.space in (Space.SHARED, Space.ANY)


def _check_reads_no_code(program: Program) -> None:
    """Refuse a program that may depend on what its own instructions are."""
    for pc, instruction in enumerate(program.code):
        addressed = Operand.ADDRESS in FORM[instruction.opcode].operands
        far = addressed and instruction.space in (Space.CODE, Space.ANY)
        if (far and instruction.opcode not in _WRITE_ONLY) or instruction.opcode in _ABOUT_CODE:
            raise PatchError(
                f"instruction {pc} ({instruction.opcode.name}) may read the program's own code",
                where="region patch",
                fix="address another space, or let the annotations say what the program does",
            )
