"""Moments of a run, and what an instruction may do to them.

Source: BEM core spec 4, 9.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bem_kernel.hoare.state import Layout, State
from bem_kernel.hoare.words import Word, WordBuilder
from bem_kernel.isa.core import Stop
from bem_kernel.isa.instructions import Instruction

Predicate = Callable[[WordBuilder, State], int]
"""A condition on states: the slot that says whether it holds."""


@dataclass(frozen=True)
class Choice:
    """What a host function or a co-processor answered.

    Attributes:
        words: new words by place; of a plane only bit 0 counts.
        value: what a co-processor returned; None for a host function.
    """

    words: Mapping[int, Word]
    value: Word | None = None


@dataclass(frozen=True)
class Branch:
    """One way to go on.

    Attributes:
        guard: the slot that says when.
        pc: the next instruction.
        calls: return addresses, the innermost last.
        state: afterwards.
        choice: the answer from outside, if there was one.
    """

    guard: int
    pc: int
    calls: tuple[int, ...]
    state: State
    choice: Choice | None = None


@dataclass(frozen=True)
class Effect:
    """What an instruction does.

    Attributes:
        branches: their guards exclude each other; guards that are never true are left out.
        traps: the slot that says when, for each trap that can be. A co-processor may trap as it
            likes; these slots are the constant 1.
    """

    branches: tuple[Branch, ...]
    traps: Mapping[Stop, int]


@dataclass(frozen=True)
class Moment:
    """Where an instruction is executed.

    Attributes:
        builder: makes the gates.
        layout: of the program.
        pc: the instruction.
        calls: return addresses, the innermost last.
        state: before.
    """

    builder: WordBuilder
    layout: Layout
    pc: int
    calls: tuple[int, ...]
    state: State

    @property
    def instruction(self) -> Instruction:
        """The instruction."""
        return self.layout.program.code[self.pc]

    def ra(self) -> Word:
        """The word in ra."""
        return self.state.registers[self.instruction.ra]

    def rb(self) -> Word:
        """The word in rb."""
        return self.state.registers[self.instruction.rb]

    def then(
        self,
        state: State,
        traps: Mapping[Stop, int] | None = None,
        choice: Choice | None = None,
    ) -> Effect:
        """Go on with the next instruction, unless it traps."""
        traps = {stop: guard for stop, guard in (traps or {}).items() if guard != self.builder.zero}
        stays = self.builder.not_(self.builder.any(traps.values()))
        if stays == self.builder.zero:
            return Effect((), traps)
        return Effect((Branch(stays, self.pc + 1, self.calls, state, choice),), traps)

    def jump(self, taken: int, target: int) -> Effect:
        """Go to a target where `taken` is 1, else on."""
        ways = ((taken, target), (self.builder.not_(taken), self.pc + 1))
        return Effect(
            tuple(
                Branch(guard, pc, self.calls, self.state)
                for guard, pc in ways
                if guard != self.builder.zero
            ),
            {},
        )
