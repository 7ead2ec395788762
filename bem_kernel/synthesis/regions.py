"""Hot code: straight lines of a program that ran often, as fewer instructions and gates.

Where experts follow one another, one expert takes their place (`fusion`, proved). Arithmetic on
registers is made shorter (`straight_line`, a candidate that the layers above prove or refute). The
two do not touch each other's state, so their order does not count.

Source: BEM core spec 8.4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bem_kernel.errors import SynthesisError
from bem_kernel.experts.expert import Expert
from bem_kernel.isa.control_flow import basic_blocks
from bem_kernel.isa.instructions import REGISTERS, Instruction, Opcode, expert
from bem_kernel.isa.program import Node, Program
from bem_kernel.synthesis.fusion import Care, Fusion, fused, is_fusible
from bem_kernel.synthesis.straight_line import ARITHMETIC, shortened

_NAME_ROOM = 48  # characters

EVERY_REGISTER = tuple(range(1, REGISTERS))

Span = tuple[int, int]
"""First instruction, and one past the last."""


@dataclass(frozen=True, eq=False)
class NewCode:
    """What can take the place of a straight line.

    Attributes:
        span: what goes.
        code: what comes.
        experts: those that `code` applies beside the program's own, numbered after these.
        fusion: of the experts, with its proof; None if they stay as they are.
    """

    span: Span
    code: tuple[Instruction, ...]
    experts: tuple[Expert, ...]
    fusion: Fusion | None

    @property
    def saved(self) -> int:
        """Instructions fewer."""
        return self.span[1] - self.span[0] - len(self.code)


def visits(executed: Iterable[int], length: int) -> tuple[int, ...]:
    """How often each instruction of a program ran.

    Args:
        executed: instructions in the order of a trace, such as `step.pc for step in trace(…)`.
        length: instructions of the program.
    """
    counts = [0] * length
    for pc in executed:
        counts[pc] += 1
    return tuple(counts)


def straight_lines(program: Program) -> tuple[Span, ...]:
    """The longest runs of instructions that this file can replace, without ways in or out."""
    return tuple(span for block in basic_blocks(program) for span in _runs(program, block))


def hot_regions(program: Program, counts: Sequence[int]) -> tuple[Span, ...]:
    """The straight lines that ran, those first that took most steps.

    Args:
        program: what ran.
        counts: as `visits`.
    """
    steps = {span: counts[span[0]] * (span[1] - span[0]) for span in straight_lines(program)}
    return tuple(sorted((s for s in steps if steps[s]), key=lambda span: (-steps[span], span)))


def optimised_region(
    program: Program,
    span: Span,
    budget_ms: int,
    *,
    live: Collection[int] = EVERY_REGISTER,
    care: Care | None = None,
    seed: int = 0,
    refute: Callable[[NewCode], Mapping[int, int] | None] | None = None,
) -> NewCode | None:
    """Fewer instructions or gates for a straight line; None if none were found.

    Args:
        program: what it is part of.
        span: within one of `straight_lines`.
        budget_ms: milliseconds, half for the gates and half for the arithmetic.
        live: the registers that count afterwards.
        care: the states in which the program comes to its start; None: any.
        seed: of the search.
        refute: as `straight_line.Refute`, of the whole candidate.

    Raises:
        SynthesisError: an instruction is of another kind, or the budget is out of range.
    """
    code = program.code[slice(*span)]
    for pc, instruction in enumerate(code, start=span[0]):
        if not _is_movable(program, instruction):
            raise SynthesisError(
                f"instruction {pc} ({instruction.opcode.name}) is neither arithmetic nor a plain "
                "expert",
                where="optimised region",
                fix="take a span within straight_lines",
            )
    applied = [i for i in code if i.opcode is Opcode.EXPERT]
    arithmetic = [i for i in code if i.opcode in ARITHMETIC]
    fusion = _fusion(program, applied, budget_ms // 2, care, seed)

    def whole(short: tuple[Instruction, ...]) -> NewCode:
        if fusion is None:
            return NewCode(span, (*short, *applied), (), None)
        experts = () if fusion.expert is None else (fusion.expert,)
        tail = [expert(len(program.experts) + i) for i in range(len(experts))]
        return NewCode(span, (*short, *tail), experts, fusion)

    short = shortened(
        arithmetic,
        live,
        time.monotonic_ns() + budget_ms * 500_000,
        seed=seed,
        refute=None if refute is None else lambda code: refute(whole(code)),
    )
    return None if fusion is None and len(short) == len(arithmetic) else whole(short)


def _fusion(
    program: Program,
    applied: Sequence[Instruction],
    budget_ms: int,
    care: Care | None,
    seed: int,
) -> Fusion | None:
    """One expert for those applied, if that saves an instruction or a gate."""
    if not applied:
        return None
    experts = [program.experts[i.imm] for i in applied]
    name = _name(program, experts)
    fusion = fused(experts, budget_ms, name=name, care=care, seed=seed)
    saves = len(experts) > 1 or fusion.expert is None or fusion.after < fusion.before
    return fusion if saves else None


def _name(program: Program, experts: Sequence[Expert]) -> str:
    """A name that is not taken."""
    taken = {expert.name for expert in program.experts}
    name = f"fused({','.join(expert.name for expert in experts)})"
    name = name if len(name) <= _NAME_ROOM else "fused"
    numbered = (f"{name}.{i}" for i in range(2, len(taken) + 3))
    return name if name not in taken else next(n for n in numbered if n not in taken)


def _runs(program: Program, block: Node) -> Iterator[Span]:
    start = block.start
    for pc in range(block.start, block.end + 1):
        if pc == block.end or not _is_movable(program, program.code[pc]):
            if pc > start:
                yield start, pc
            start = pc + 1


def _is_movable(program: Program, instruction: Instruction) -> bool:
    if instruction.opcode is Opcode.EXPERT:
        return is_fusible(program.experts[instruction.imm])
    return instruction.opcode in ARITHMETIC
