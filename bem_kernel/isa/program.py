"""Programs as data: named state bits, experts, host ports, words of data, CFG nodes and code.

`instructions` is the instruction set, `assembler` turns programs into text and back, `record`
into JSON.

Source: BEM core spec 2.4, 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import ProgramError
from bem_kernel.experts.expert import Expert
from bem_kernel.isa.encoding import check_instruction, encode_program, texts_of
from bem_kernel.isa.instructions import FORM, Instruction, Operand, called_port

MAX_DATA_WORDS = 1 << 20
"""Most words of data in a program, 8 MiB."""

CIRCUIT_KEYWORDS = ("reads", "writes", "when", "unless")
"""Words of the text of a circuit; no state bit may be called so."""

_BIT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(\([A-Za-z0-9_.]+(,[A-Za-z0-9_.]+)*\))?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:,=()\[\]-]*(?<![:,])")
_WORD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATTERNS = {
    "bit": _BIT_NAME,
    "expert": _NAME,
    "port": _NAME,
    "data": _WORD_NAME,
    "node": _NAME,
}
_REGISTER = re.compile(r"[rR][0-9]+")


@dataclass(frozen=True)
class HostPort:
    """A host function as the program sees it.

    Attributes:
        name: its key in the machine's host table.
        writes: the state bit of each of its result bits.
    """

    name: str
    writes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Data:
    """A named run of words in DATA, with the values they start with.

    Attributes:
        name: its name; in text it stands for the index of its first word.
        words: unsigned, 64 bits each; at least one.
    """

    name: str
    words: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A node of the control-flow graph: instructions start to end - 1.

    Source: BEM core spec 2.4.
    """

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Program:
    """A program and everything it refers to.

    Attributes:
        bit_names: one name per state bit, each once; their number is the size of the state. A
            name is an atom of expressions without spaces, for example `looked_up(order)`; `r5` is
            a register and no name.
        experts: the expert table, each name once. A name starts with a letter or _ and goes on
            with letters, digits and any of `_ . : , = ( ) [ ] -`, the last no colon or comma.
        ports: the host port table, each name once; named like experts.
        code: the instructions; a target may be len(code), which ends the program like HALT.
        data: words the program starts with, one after the other from word 0 of DATA.
        nodes: disjoint runs of instructions, in order.
        source: where the lines of the instructions are counted; no part of the meaning.

    Raises:
        ProgramError: a name is malformed or repeated, or an instruction, expert or port refers to
            something that does not exist.
    """

    bit_names: tuple[str, ...]
    experts: tuple[Expert, ...] = ()
    ports: tuple[HostPort, ...] = ()
    code: tuple[Instruction, ...] = ()
    data: tuple[Data, ...] = ()
    nodes: tuple[Node, ...] = ()
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_names("bit", self.bit_names)
        _check_names("expert", tuple(e.name for e in self.experts))
        _check_names("port", tuple(p.name for p in self.ports))
        _check_names("data", tuple(d.name for d in self.data))
        _check_names("node", tuple(n.name for n in self.nodes))
        for entry in self.experts:
            if entry.n_bits > self.n_bits:
                raise _missing(f"expert {entry.name}", "state bit", entry.n_bits - 1, self.n_bits)
        for port in self.ports:
            _check_port(port, self.n_bits)
        _check_data(self.data)
        _check_nodes(self.nodes, len(self.code))
        for pc, instruction in enumerate(self.code):
            self._check_instruction(pc, instruction)

    @property
    def n_bits(self) -> int:
        """Number of state bits."""
        return len(self.bit_names)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The messages of the code, each once, in order of first use."""
        return texts_of(self.code)

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        """The code as (len(code),) uint64 instruction words."""
        return encode_program(self.code, self.texts)

    @cached_property
    def data_starts(self) -> tuple[int, ...]:
        """Index in DATA of the first word of each name, in order."""
        sizes = [len(entry.words) for entry in self.data]
        return tuple(accumulate(sizes, initial=0))[: len(sizes)]

    @cached_property
    def other_numbers(self) -> frozenset[str]:
        """Names that stand for numbers in text without being data: state bits and ports."""
        return frozenset((*self.bit_names, *(port.name for port in self.ports)))

    def _check_instruction(self, pc: int, instruction: Instruction) -> None:
        where = f"program: instruction {pc} ({instruction.opcode.name})"
        check_instruction(instruction, where)
        for operand in FORM[instruction.opcode].operands:
            if operand is Operand.BIT:
                _check_index(where, "state bit", instruction.bit, self.n_bits)
            elif operand is Operand.TARGET:
                _check_index(where, "target", instruction.imm, len(self.code) + 1)
            elif operand is Operand.EXPERT:
                _check_index(where, "expert", instruction.imm, len(self.experts))
            elif operand is Operand.TEXT:
                check_text(instruction.text, where)
        port = called_port(instruction)
        if port is not None:
            _check_index(where, "port", port, len(self.ports))


def check_text(text: str, where: str) -> None:
    """Refuse a message that has no UTF-8 form (half a surrogate pair).

    Raises:
        ProgramError: it has none.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProgramError(
            f"the text {text!a} is no Unicode text", where=where, fix="drop the lone surrogate"
        ) from error


def bit_numbers(program: Program) -> Mapping[str, int]:
    """State bit of each bit name."""
    return {name: bit for bit, name in enumerate(program.bit_names)}


def name_fault(kind: str, name: str) -> tuple[str, str] | None:
    """Why a bit, expert, port, data or node may not be called so, and the fix; None if it may."""
    if not _PATTERNS[kind].fullmatch(name):
        shown = name if len(name) <= 60 else f"{name[:57]}..."
        return f"{shown!r} is no name", "start with a letter or _; see the attributes of Program"
    if kind in ("bit", "data") and _REGISTER.fullmatch(name):
        return f"{name!r} is a register", "choose another name"
    if kind == "bit" and name in CIRCUIT_KEYWORDS:
        return f"{name!r} is a keyword", "choose another name"
    return None


def _check_names(kind: str, names: tuple[str, ...]) -> None:
    where = f"program: {kind} names"
    seen: set[str] = set()
    for name in names:
        fault = name_fault(kind, name)
        if fault is not None:
            raise ProgramError(fault[0], where=where, fix=fault[1])
        if name in seen:
            raise ProgramError(f"{name!r} appears twice", where=where, fix="give each once")
        seen.add(name)


def _check_port(port: HostPort, n_bits: int) -> None:
    where = f"port {port.name}"
    if len(set(port.writes)) != len(port.writes):
        raise ProgramError("a bit is written twice", where=where, fix="write each bit once")
    for bit in port.writes:
        _check_index(where, "state bit", bit, n_bits)


def _check_data(data: tuple[Data, ...]) -> None:
    for entry in data:
        where = f"data {entry.name}"
        if not entry.words:
            raise ProgramError("no words", where=where, fix="give at least one")
        for word in entry.words:
            if not 0 <= word < 1 << 64:
                raise ProgramError(f"word {word}", where=where, fix="use 0 to 2^64 - 1")
    total = sum(len(entry.words) for entry in data)
    if total > MAX_DATA_WORDS:
        raise ProgramError(
            f"{total} words of data", where="program", fix=f"use at most {MAX_DATA_WORDS}"
        )


def _check_nodes(nodes: tuple[Node, ...], length: int) -> None:
    following = 0
    for node in nodes:
        if not following <= node.start < node.end <= length:
            raise ProgramError(
                f"[{node.start}, {node.end}) does not fit after {following} in {length} "
                "instructions",
                where=f"node {node.name}",
                fix="make nodes disjoint, in order and not empty",
            )
        following = node.end


def _check_index(where: str, what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise _missing(where, what, index, count)


def _missing(where: str, what: str, index: int, count: int) -> ProgramError:
    fix = f"use 0 to {count - 1}" if count else f"declare a {what} first"
    return ProgramError(f"{what} {index} does not exist", where=where, fix=fix)
