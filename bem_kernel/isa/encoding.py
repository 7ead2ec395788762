"""Instructions as 64-bit words.

    63      56 55   51 50   46 45   41 40          32 31                            0
    | opcode  |  rd   |  ra   |  rb   | shift        | imm, two's complement         |
    | opcode  |  rd   |  ra   |  rb   | count-1|space| word index                    |
    | opcode  |           bit (24)                   | target or text number         |

`count - 1` has five bits and `space` four. A text is a number into the program's table of texts.
A field that an instruction does not use is 0, and decoding refuses anything else, so that every
program has one encoding only.

Source: BEM core spec 4 (which leaves the encoding open).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ProgramError
from bem_kernel.isa.instructions import (
    FIELDS,
    FORM,
    REGISTERS,
    Instruction,
    Opcode,
    Operand,
    Space,
)

_LIMITS: dict[str, tuple[int, int]] = {
    "rd": (0, REGISTERS - 1),
    "ra": (0, REGISTERS - 1),
    "rb": (0, REGISTERS - 1),
    "imm": (-(1 << 31), (1 << 31) - 1),
    "shift": (0, 63),
    "count": (1, 32),
    "bit": (0, (1 << 24) - 1),
}
_DEFAULTS: dict[str, object] = {"count": 1, "text": "", "space": Space.STATE}
_OPCODES, _SPACES = frozenset(Opcode), frozenset(Space)
_IMM_MASK = (1 << 32) - 1


def used_fields(opcode: Opcode) -> set[str]:
    """Names of the fields of `Instruction` that an instruction of this kind may set."""
    return {name for operand in FORM[opcode].operands for name in FIELDS[operand]}


_USED = {opcode: used_fields(opcode) for opcode in Opcode}
_ALL_FIELDS = ("rd", "ra", "rb", "imm", "shift", "space", "count", "bit", "text")


def check_instruction(instruction: Instruction, where: str) -> None:
    """Refuse fields out of range, and fields that the instruction does not take.

    Raises:
        ProgramError: names the field.
    """
    used = _USED[instruction.opcode]
    for name in _ALL_FIELDS:
        value = getattr(instruction, name)
        if name not in used:
            if value != _DEFAULTS.get(name, 0):
                raise ProgramError(
                    f"{name} is set, which {instruction.opcode.name} does not take",
                    where=where,
                    fix="leave it out",
                )
        elif name in _LIMITS:
            low, high = _LIMITS[name]
            if not low <= value <= high:
                raise ProgramError(f"{name} is {value}", where=where, fix=f"use {low} to {high}")
    operands = FORM[instruction.opcode].operands
    if Operand.AMOUNT in operands and not 0 <= instruction.imm <= 63:
        raise ProgramError(f"amount is {instruction.imm}", where=where, fix="use 0 to 63")


def encode(instruction: Instruction, texts: Mapping[str, int]) -> int:
    """The word of a checked instruction; `texts` numbers the texts of its program."""
    has_text = "text" in _USED[instruction.opcode]
    return _word(instruction, texts[instruction.text] if has_text else 0)


def _word(i: Instruction, text: int) -> int:
    used = _USED[i.opcode]
    if "bit" in used:
        middle = i.bit
    else:
        low = i.shift if "shift" in used else (i.count - 1) << 4 | int(i.space)
        middle = i.rd << 19 | i.ra << 14 | i.rb << 9 | low
    imm = text if "text" in used else i.imm
    return int(i.opcode) << 56 | middle << 32 | (imm & _IMM_MASK)


def decode(word: int, texts: Sequence[str], where: str = "decode") -> Instruction:
    """The instruction of a word.

    Args:
        word: 64 bits.
        texts: the program's table of texts.
        where: for messages.

    Raises:
        ProgramError: no such opcode, space or text, or a bit is set that the instruction does
            not use.
    """
    if word >> 56 not in _OPCODES:
        raise _refused(where, word, f"has no opcode {word >> 56:#04x}")
    opcode = Opcode(word >> 56)
    used, number = _USED[opcode], word & _IMM_MASK
    fields: dict[str, Any] = {name: value for name, value in _fields(word).items() if name in used}
    if "space" in used:
        if word >> 32 & 15 not in _SPACES:
            raise _refused(where, word, f"has no space {word >> 32 & 15}")
        fields["space"] = Space(word >> 32 & 15)
    if "text" in used:
        if number >= len(texts):
            raise _refused(where, word, f"has text {number}, of {len(texts)}")
        fields["text"] = texts[number]
    instruction = Instruction(opcode, **fields)
    if _word(instruction, number) != word:
        raise _refused(where, word, f"sets bits that {opcode.name} does not use")
    return instruction


def _refused(where: str, word: int, what: str) -> ProgramError:
    return ProgramError(f"the word {word:#018x} {what}", where=where, fix="assemble it again")


def _fields(word: int) -> dict[str, int]:
    """The fields of a word as if it used all of them."""
    imm = word & _IMM_MASK
    return {
        "rd": word >> 51 & 31,
        "ra": word >> 46 & 31,
        "rb": word >> 41 & 31,
        "shift": word >> 32 & 63,
        "count": (word >> 36 & 31) + 1,
        "bit": word >> 32 & 0xFF_FFFF,
        "imm": imm - (1 << 32) if imm >> 31 else imm,
    }


def encode_program(code: Sequence[Instruction], texts: Sequence[str]) -> NDArray[np.uint64]:
    """(len(code),) uint64, one word per instruction."""
    numbers = {text: number for number, text in enumerate(texts)}
    return np.array([encode(i, numbers) for i in code], dtype=np.uint64)


def texts_of(code: Sequence[Instruction]) -> tuple[str, ...]:
    """The texts of a program's instructions, each once, numbered by first use."""
    used = (i.text for i in code if "text" in _USED[i.opcode])
    return tuple(dict.fromkeys(used))
