"""Operands of instructions: from text to fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bem_kernel.isa.instructions import MAILBOX_WORDS, REGISTERS, Operand, Space
from bem_kernel.isa.sections import Draft
from bem_kernel.isa.text import Token, error, look_up, number, shown

_REGISTER = re.compile(r"[rR]([0-9]+)")
_ADDRESS = re.compile(r"([A-Za-z]*)\[(.*)\]")
_TERM = re.compile(r"[^\s+-]+|[+-]")
_REGISTER_KINDS = {Operand.RD: "rd", Operand.RA: "ra", Operand.RB: "rb"}
_LONGEST = 1000  # characters of an operand with spaces in it
_RANGES = {
    Operand.IMM: ("imm", -(1 << 31), (1 << 31) - 1),
    Operand.AMOUNT: ("imm", 0, 63),
    Operand.SHIFT: ("shift", 0, 63),
    Operand.COUNT: ("count", 1, 32),
}


class Names:
    """What a name in an operand may stand for."""

    def __init__(self, draft: Draft) -> None:
        self.tables: Mapping[Operand, Mapping[str, int]] = {
            Operand.EXPERT: {name: i for i, name in enumerate(draft.experts)},
            Operand.BIT: draft.bits,
            Operand.TARGET: draft.labels,
        }
        self.ports = {name: i for i, name in enumerate(draft.ports)}
        windows = {name: MAILBOX_WORDS * i for name, i in self.ports.items()}
        self._numbers = (draft.constants, draft.offsets, windows, draft.bits)
        self._known = {*draft.experts, *draft.ports, *draft.bits, *draft.labels}

    def is_declared(self, text: str) -> bool:
        """Whether the text is a whole name, whatever commas and brackets it has."""
        return text in self._known

    def value(self, token: Token) -> int:
        """The number a name stands for.

        Raises:
            AssembleError: it stands for none, or for several.
        """
        found = {table[token.text] for table in self._numbers if token.text in table}
        if len(found) > 1:
            raise error(token, f"{shown(token.text)} means several numbers", "rename one of them")
        if not found:
            names = ", ".join([name for table in self._numbers for name in table][:8]) or "none"
            raise error(token, f"{shown(token.text)} is no number", f"declared: {names}")
        return found.pop()


def split_operands(tokens: list[Token], names: Names) -> list[Token]:
    """The operands of an instruction: parted by spaces or commas, but not inside brackets.

    Raises:
        AssembleError: a bracket is not closed.
    """
    operands: list[Token] = []
    pending: Token | None = None  # an operand whose brackets are still open
    for token in tokens:
        if pending is None:
            if token.text.startswith('"') or names.is_declared(token.text):
                operands.append(token)
                continue
            if token.text.endswith(",") and names.is_declared(token.text[:-1]):
                operands.append(token.part(0, -1))
                continue
            pieces, pending = _split_commas(token)
        else:
            if len(pending.text) > _LONGEST:
                break
            gap = " " * (token.column - pending.column - len(pending.text))
            joined = Token(
                pending.text + gap + token.text, token.source, token.line, pending.column
            )
            pieces, pending = _split_commas(joined)
        operands += pieces
    if pending is not None:
        raise error(pending, f"{shown(pending.text)} is not closed", "end it with ]")
    return operands


def _split_commas(token: Token) -> tuple[list[Token], Token | None]:
    """The parts of a token between commas outside brackets; the last apart if still open."""
    pieces, start, depth = [], 0, 0
    for i, character in enumerate(token.text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth = max(0, depth - 1)
        elif character == "," and depth == 0:
            pieces.append(token.part(start, i))
            start = i + 1
    last = token.part(start)
    if depth:
        return pieces, last
    return [piece for piece in (*pieces, last) if piece.text], None


def is_register(token: Token) -> bool:
    """Whether the token has the shape of a register."""
    return _REGISTER.fullmatch(token.text) is not None


def could_be(kind: Operand, token: Token) -> bool:
    """Whether a token may be an operand of this kind, judged by its shape alone."""
    text = token.text
    if kind in _REGISTER_KINDS:
        return is_register(token)
    if kind is Operand.TEXT:
        return text.startswith('"')
    if kind is Operand.ADDRESS:
        return text.endswith("]")
    return not is_register(token) and not text.startswith('"')


def read_operand(kind: Operand, token: Token, names: Names) -> dict[str, Any]:
    """The fields that an operand sets.

    Raises:
        AssembleError: it is none of its kind, with line and column.
    """
    if kind in _REGISTER_KINDS:
        return {_REGISTER_KINDS[kind]: _register(token)}
    if kind is Operand.TEXT:
        return {"text": _string(token)}
    if kind is Operand.ADDRESS:
        return _address(token, names)
    if kind is Operand.BIT:
        return {"bit": look_up(names.tables[kind], token, "bit")}
    if kind in names.tables:
        return {"imm": look_up(names.tables[kind], token, kind.value)}
    field, low, high = _RANGES[kind]
    value, register = _sum(token, names)
    if register is not None or not low <= value <= high:
        fix = f"use {low} to {high}"
        if kind is Operand.IMM:
            fix = "it must fit in 32 bits; put larger numbers in .data and load them with LD"
        raise error(token, f"{kind.value} {shown(token.text)} is out of range", fix)
    return {field: value}


def _register(token: Token) -> int:
    match = _REGISTER.fullmatch(token.text)
    if match is None:
        raise error(token, f"{shown(token.text)} is no register", f"use r0 to r{REGISTERS - 1}")
    digits = match.group(1)
    if len(digits) > 2 or int(digits) >= REGISTERS:
        what = f"register {shown(token.text)[1:-1]} does not exist"
        raise error(token, what, f"use r0 to r{REGISTERS - 1}")
    return int(digits)


def _string(token: Token) -> str:
    try:
        value = json.loads(token.text)
        value.encode()
    except (ValueError, AttributeError):  # no JSON, a lone surrogate, or another kind of value
        value = None
    if not isinstance(value, str):
        raise error(token, f"{shown(token.text)} is no string", 'write it in quotes: "…"')
    return value


def _address(token: Token, names: Names) -> dict[str, Any]:
    """`SPACE[number + name + register]`, or `[register + number]` for a whole address."""
    match = _ADDRESS.fullmatch(token.text)
    space = Space.__members__.get((match.group(1) or "ANY").upper()) if match else None
    if match is None or space is None:
        known = ", ".join(space.name for space in Space if space is not Space.ANY)
        fix = f"write SPACE[index + register] with a SPACE of {known}; or [register]"
        raise error(token, f"{shown(token.text)} is no address", fix)
    value, register = _sum(token.part(match.start(2), match.end(2)), names)
    if not -(1 << 31) <= value < 1 << 31:
        raise error(token, f"index {value} is out of range", "it must fit in 32 bits")
    return {"space": space, "ra": register or 0, "imm": value}


def _sum(token: Token, names: Names) -> tuple[int, int | None]:
    """The value of `a + b - c`, and the register in it, if there is one."""
    terms = [token.part(m.start(), m.end()) for m in _TERM.finditer(token.text)]
    total, register, sign, expects = 0, None, 1, True
    for term in terms:
        if term.text in ("+", "-"):
            if not expects:
                sign, expects = 1, True
            sign = -sign if term.text == "-" else sign
        elif not expects:
            raise error(term, f"unexpected {shown(term.text)}", "write + or - between numbers")
        else:
            expects = False
            if is_register(term):
                if register is not None or sign < 0:
                    raise error(term, "one register may be added", "compute the sum before")
                register = _register(term)
            else:
                value = number(term)
                total += sign * (names.value(term) if value is None else value)
    if expects:
        raise error(token, f"{shown(token.text)} is no number", "write numbers with + or - between")
    return total, register
