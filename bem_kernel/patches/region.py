"""Regions of the machine's program, and what a program is once one has been replaced.

Targets of jumps, and nodes, that lie behind the region move with it. Nothing may jump into the
middle of what goes.

Source: BEM core spec 2.4, 8.3 ("optional changes to CFG").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bem_kernel.errors import KernelError, PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.isa.instructions import FORM, Instruction, Operand
from bem_kernel.isa.program import Node, Program


@dataclass(frozen=True)
class Region:
    """Instructions that take the place of others.

    Attributes:
        start: the first instruction that goes.
        end: one past the last; `start` if none goes.
        code: what comes. Its targets are instructions of the program as it will be.
        experts: entered behind the program's own, for EXPERT in `code`.
        nodes: marks within what comes, by instructions of the program as it will be.
        preserves: the program goes on doing the same; False: doing what its annotations say.

    Raises:
        PatchError: start and end are no range.
    """

    start: int
    end: int
    code: tuple[Instruction, ...]
    experts: tuple[Expert, ...] = ()
    nodes: tuple[Node, ...] = ()
    preserves: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise PatchError(
                f"instructions {self.start} to {self.end}", where="region", fix="give a range"
            )

    def __str__(self) -> str:
        count = self.end - self.start
        if count < 2:
            return f"instruction {self.start}" if count else f"what precedes {self.start}"
        return f"instructions {self.start} to {self.end - 1}"

    @property
    def new_end(self) -> int:
        """One past the last instruction that comes."""
        return self.start + len(self.code)

    def moved(self, pc: int) -> int:
        """Where an instruction outside of the region lies afterwards."""
        return pc if pc <= self.start else pc - self.end + self.new_end


def node_region(
    program: Program, name: str, code: Sequence[Instruction], *, preserves: bool = True
) -> Region:
    """The region that is a node of the control-flow graph; what comes bears its mark.

    Args:
        program: as it is.
        name: of the node.
        code: what comes, one instruction or more.
        preserves: as in `Region`.

    Raises:
        PatchError: there is no such node.
    """
    for node in program.nodes:
        if node.name == name:
            marks = (replace(node, end=node.start + len(code)),)
            return Region(node.start, node.end, tuple(code), (), marks, preserves)
    known = ", ".join(node.name for node in program.nodes) or "a mark first"
    raise PatchError(f"no node {name!r} in the program", where="region", fix=f"write {known}")


def edited(program: Program, region: Region) -> Program:
    """A program in which a region has been replaced.

    Raises:
        PatchError: the region is not in the program, or is jumped into.
        ProgramError: what comes refers to something that does not exist.
    """
    if region.end > len(program.code):
        raise PatchError(
            f"{region} of {len(program.code)}",
            where="region",
            fix="propose it again",
        )
    outside = [*range(region.start), *range(region.end, len(program.code))]
    moved = {pc: _moved(program.code[pc], pc, region) for pc in outside}
    before = [moved[pc] for pc in range(region.start)]
    after = [moved[pc] for pc in range(region.end, len(program.code))]
    return replace(
        program,
        experts=(*program.experts, *region.experts),
        code=(*before, *region.code, *after),
        nodes=tuple(sorted(_nodes(program, region), key=lambda node: node.start)),
    )


def target_of(instruction: Instruction) -> int | None:
    """Where an instruction may jump; None if it does not."""
    jumps = Operand.TARGET in FORM[instruction.opcode].operands
    return instruction.imm if jumps else None


def _moved(instruction: Instruction, pc: int, region: Region) -> Instruction:
    target = target_of(instruction)
    if target is None:
        return instruction
    if region.start < target < region.end:
        raise PatchError(
            f"instruction {pc} jumps to {target}, into the middle of what goes",
            where=f"region, {region}",
            fix="take a region that is entered at its start",
        )
    return replace(instruction, imm=region.moved(target))


def _nodes(program: Program, region: Region) -> Iterator[Node]:
    """The nodes outside of a region and around it, and those that come.

    What is inserted at the start of a node belongs to it, as jumps to its start go there.
    """
    start, end, shift = region.start, region.end, region.new_end - region.end
    for node in program.nodes:
        if node.end <= start:
            yield node
        elif node.start <= start < node.end and end <= node.end:
            if (node.start, node.end) != (start, end):
                yield replace(node, end=node.end + shift)
        elif node.start >= end:
            yield replace(node, start=node.start + shift, end=node.end + shift)
    yield from region.nodes


def difference(before: Program, after: Program, *, preserves: bool = True) -> Region:
    """The least region that makes one program of another.

    Args:
        before: as it is.
        after: as it should be, of the same state bits, ports and data; experts may be added.
        preserves: as in `Region`.

    Raises:
        PatchError: they differ in more than code, nodes, and experts added.
    """
    n_experts = len(before.experts)
    alike = replace(after, experts=before.experts, code=(), nodes=())
    if alike != replace(before, code=(), nodes=()) or after.experts[:n_experts] != before.experts:
        raise PatchError(
            "the programs differ in state bits, experts, ports or data",
            where="region",
            fix="change code alone; new experts come after the others",
        )
    shared = list(map(_alike, before.code, after.code))
    start = shared.index(False) if False in shared else len(shared)
    backwards = list(map(_alike, reversed(before.code[start:]), reversed(after.code[start:])))
    tail = backwards.index(False) if False in backwards else len(backwards)
    while True:  # a wider one, where a jump tells that this one is too narrow
        region = _between(before, after, start, tail, preserves)
        if start == tail == 0 or _leads(before, after, region):
            return region
        start, tail = max(0, start - 1), max(0, tail - 1)


def _between(before: Program, after: Program, start: int, tail: int, preserves: bool) -> Region:
    """The region between what two programs share at the start and at the end."""
    end, new_end = len(before.code) - tail, len(after.code) - tail
    nodes = tuple(node for node in after.nodes if start <= node.start and node.end <= new_end)
    experts = after.experts[len(before.experts) :]
    return Region(start, end, after.code[start:new_end], experts, nodes, preserves)


def _leads(before: Program, after: Program, region: Region) -> bool:
    """Whether a region makes one program of another."""
    try:
        return edited(before, region) == after
    except KernelError:
        return False


def _alike(one: Instruction, other: Instruction) -> bool:
    """Whether two instructions differ in their target at most."""
    if target_of(one) is None or target_of(other) is None:
        return one == other
    return replace(one, imm=0) == replace(other, imm=0)
