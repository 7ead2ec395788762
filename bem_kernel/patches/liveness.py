"""Which registers still count where a region is left, before and after a patch.

A register counts at an instruction if some path reads it from there before writing it. What counts
in the one program counts at the same place of the other, so that the answer holds for both. At the
end of a program all registers count, at a trap none does.

Source: Kildall 1973 (data flow).
"""

from __future__ import annotations

from dataclasses import dataclass

from bem_kernel.isa.control_flow import following
from bem_kernel.isa.encoding import used_fields
from bem_kernel.isa.instructions import REGISTERS, Instruction, Opcode
from bem_kernel.isa.program import Program
from bem_kernel.patches.region import Region

_ALL = (1 << REGISTERS) - 2  # r0 is no variable
_RD_IS_READ = (Opcode.ST, Opcode.BEM_LOAD_STATE, Opcode.BEM_STORE_STATE)


@dataclass(frozen=True)
class Liveness:
    """Registers that count, as sets of bits.

    Attributes:
        at: by instruction of the program before the patch; the last one is its end.
        after_return: wherever a RET may go on.
    """

    at: tuple[int, ...]
    after_return: int


def liveness(before: Program, after: Program, region: Region) -> Liveness:
    """What counts in two programs that differ in a region."""
    flows = _flow(before), _flow(after)
    live = [0] * len(before.code) + [_ALL], [0] * len(after.code) + [_ALL]
    same = [(pc, pc) for pc in range(region.start + 1)]
    shift = region.new_end - region.end
    same += [(pc, pc + shift) for pc in range(region.end, len(before.code) + 1)]
    changed = True
    while changed:
        changed = _flow_back(flows[0], live[0]) | _flow_back(flows[1], live[1])
        for old, new in same:
            both = live[0][old] | live[1][new]
            changed |= live[0][old] != both or live[1][new] != both
            live[0][old] = live[1][new] = both
    returned = 0
    for program, found in zip((before, after), live, strict=True):
        for pc in _returns(program):
            returned |= found[pc]
    return Liveness(tuple(live[0]), returned)


def registers(bits: int) -> list[int]:
    """The numbers of the registers in a set of bits."""
    return [number for number in range(REGISTERS) if bits >> number & 1]


_Flow = list[tuple[int, int, set[int]]]


def _flow(program: Program) -> _Flow:
    """For each instruction the registers it reads, those it writes, and where control may go."""
    returns, rows = _returns(program), []
    for pc, instruction in enumerate(program.code):
        after = following(instruction, pc + 1, returns)
        if instruction.opcode is Opcode.HALT:
            after = {len(program.code)}
        rows.append((*_uses(instruction), after))
    return rows


def _returns(program: Program) -> set[int]:
    return {pc + 1 for pc, i in enumerate(program.code) if i.opcode is Opcode.CALL}


def _uses(instruction: Instruction) -> tuple[int, int]:
    used = used_fields(instruction.opcode)
    read = {getattr(instruction, name) for name in {"ra", "rb"} & used}
    written = {instruction.rd} if "rd" in used else set()
    if instruction.opcode in _RD_IS_READ:
        read, written = read | written, set()
    return sum(1 << n for n in read) & _ALL, sum(1 << n for n in written) & _ALL


def _flow_back(rows: _Flow, live: list[int]) -> bool:
    """Carry what counts back over every instruction once; whether anything changed."""
    changed = False
    for pc in range(len(rows) - 1, -1, -1):
        read, written, after = rows[pc]
        found = live[pc] | read
        for target in after:
            found |= live[target] & ~written
        changed |= found != live[pc]
        live[pc] = found
    return changed
