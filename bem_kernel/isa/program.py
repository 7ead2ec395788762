"""Programs: a thin instruction set over the lane state, as data.

| instruction         | meaning, in every active lane                                         |
|---------------------|-----------------------------------------------------------------------|
| EXPERT e            | apply expert e to the state                                           |
| TRAP_IF bit, text   | stop with a trap if the bit is 1 in any lane                          |
| HOST h              | call host function h; its result bits go to the port's state bits     |
| JZ bit, target      | jump if the bit is 0 in every lane                                    |
| JMP target          | jump                                                                  |
| LOG text            | hand the text and the program counter to the log                      |
| HALT                | stop                                                                  |

There is one program counter for all lanes. `assembler` turns programs into text and back.

Source: BEM core spec 2.4, 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from bem_kernel.errors import ProgramError
from bem_kernel.experts.expert import Expert


class Opcode(IntEnum):
    """Instruction kinds; the values are part of the stored form and never change."""

    EXPERT = 0
    TRAP_IF = 1
    HOST = 2
    JZ = 3
    JMP = 4
    LOG = 5
    HALT = 6


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        opcode: what to do.
        operand: expert, bit, port or target number, by opcode; 0 where there is none.
        target: where JZ jumps to; 0 elsewhere.
        text: the message of TRAP_IF and LOG; empty elsewhere.
    """

    opcode: Opcode
    operand: int = 0
    target: int = 0
    text: str = ""


def expert(index: int) -> Instruction:
    """Apply expert `index`."""
    return Instruction(Opcode.EXPERT, index)


def trap_if(bit: int, text: str) -> Instruction:
    """Trap with `text` if state bit `bit` is 1 in any lane."""
    return Instruction(Opcode.TRAP_IF, bit, text=text)


def host(port: int) -> Instruction:
    """Call the host function of port `port`."""
    return Instruction(Opcode.HOST, port)


def jump_if_zero(bit: int, target: int) -> Instruction:
    """Jump to `target` if state bit `bit` is 0 in every lane."""
    return Instruction(Opcode.JZ, bit, target)


def jump(target: int) -> Instruction:
    """Jump to `target`."""
    return Instruction(Opcode.JMP, target)


def log(text: str) -> Instruction:
    """Hand `text` to the log."""
    return Instruction(Opcode.LOG, text=text)


def halt() -> Instruction:
    """Stop."""
    return Instruction(Opcode.HALT)


@dataclass(frozen=True)
class HostPort:
    """A host function as the program sees it.

    Attributes:
        name: its key in the machine's host table.
        writes: the state bit of each of its result bits.
    """

    name: str
    writes: tuple[int, ...] = ()


_BIT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(\([A-Za-z0-9_.]+(,[A-Za-z0-9_.]+)*\))?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:,=()\[\]-]*(?<!:)")


@dataclass(frozen=True)
class Program:
    """A program and everything it refers to.

    Attributes:
        bit_names: one name per state bit, each once; their number is the size of the state. A
            name is an atom of expressions without spaces, for example `looked_up(order)`.
        experts: the expert table, each name once. A name starts with a letter or _ and goes on
            with letters, digits and any of `_ . : , = ( ) [ ] -`, the last no colon.
        ports: the host port table, each name once; named like experts.
        code: the instructions; a target may be len(code), which ends the program like HALT.

    Raises:
        ProgramError: a name is malformed or repeated, or an instruction, expert or port refers to
            something that does not exist.
    """

    bit_names: tuple[str, ...]
    experts: tuple[Expert, ...] = ()
    ports: tuple[HostPort, ...] = ()
    code: tuple[Instruction, ...] = ()

    def __post_init__(self) -> None:
        _check_names("bit", self.bit_names, _BIT_NAME)
        _check_names("expert", tuple(e.name for e in self.experts), _NAME)
        _check_names("port", tuple(p.name for p in self.ports), _NAME)
        for entry in self.experts:
            if entry.n_bits > self.n_bits:
                raise _missing(f"expert {entry.name}", "state bit", entry.n_bits - 1, self.n_bits)
        for port in self.ports:
            if len(set(port.writes)) != len(port.writes):
                raise ProgramError(
                    "a bit is written twice", where=f"port {port.name}", fix="write each bit once"
                )
            for bit in port.writes:
                _check_index(f"port {port.name}", "state bit", bit, self.n_bits)
        for pc, instruction in enumerate(self.code):
            self._check_instruction(pc, instruction)

    @property
    def n_bits(self) -> int:
        """Number of state bits."""
        return len(self.bit_names)

    def _check_instruction(self, pc: int, instruction: Instruction) -> None:
        where = f"program: instruction {pc} ({instruction.opcode.name})"
        match instruction.opcode:
            case Opcode.EXPERT:
                _check_index(where, "expert", instruction.operand, len(self.experts))
            case Opcode.HOST:
                _check_index(where, "port", instruction.operand, len(self.ports))
            case Opcode.TRAP_IF:
                _check_index(where, "state bit", instruction.operand, self.n_bits)
            case Opcode.JZ:
                _check_index(where, "state bit", instruction.operand, self.n_bits)
                _check_index(where, "target", instruction.target, len(self.code) + 1)
            case Opcode.JMP:
                _check_index(where, "target", instruction.operand, len(self.code) + 1)
            case Opcode.LOG | Opcode.HALT:
                pass
        self._check_unused(where, instruction)

    def _check_unused(self, where: str, instruction: Instruction) -> None:
        opcode = instruction.opcode
        stray_text = instruction.text and opcode not in (Opcode.TRAP_IF, Opcode.LOG)
        stray_target = instruction.target and opcode is not Opcode.JZ
        stray_operand = instruction.operand and opcode in (Opcode.LOG, Opcode.HALT)
        if stray_text or stray_target or stray_operand:
            raise ProgramError(
                "an operand is set that the instruction does not take", where=where, fix="drop it"
            )


def bit_numbers(program: Program) -> Mapping[str, int]:
    """State bit of each bit name."""
    return {name: bit for bit, name in enumerate(program.bit_names)}


def _check_names(kind: str, names: tuple[str, ...], pattern: re.Pattern[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not pattern.fullmatch(name):
            raise ProgramError(
                f"{name!r} is no name",
                where=f"program: {kind} names",
                fix="start with a letter or _; see the attributes of Program",
            )
        if name in seen:
            raise ProgramError(
                f"{name!r} appears twice", where=f"program: {kind} names", fix="give each once"
            )
        seen.add(name)


def _check_index(where: str, what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise _missing(where, what, index, count)


def _missing(where: str, what: str, index: int, count: int) -> ProgramError:
    fix = f"use 0 to {count - 1}" if count else f"declare a {what} first"
    return ProgramError(f"{what} {index} does not exist", where=where, fix=fix)
