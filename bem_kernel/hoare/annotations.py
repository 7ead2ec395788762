"""What is claimed of a program, as text: a condition at nodes of its control-flow graph.

    width r1 4              # r1 is 0 to 15 wherever a node is annotated
    width table s8          # each word of table is -128 to 127
    allow RAISED            # this trap is a good end; any other refutes the program
    always !bad             # holds before and after every instruction
    at entry: r1 == 0       # what the program may rely on when it starts
    at loop: r1 <= 8        # whenever control comes to the node `loop`
    at line 12: closed      # a node by the line that it starts in
    at exit: r1 == 8        # when the program has ended

Lines for one node are joined by `&`. Every loop must pass through an annotated node. A declared
width is part of the claim: it is proved like everything else, except of registers at entry.

Source: BEM core spec 9.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bem_kernel.errors import HoareError
from bem_kernel.hoare.formula import Formula
from bem_kernel.hoare.state import Width
from bem_kernel.hoare.words import WIDTH
from bem_kernel.isa.control_flow import basic_blocks
from bem_kernel.isa.core import TRAPS, Stop
from bem_kernel.isa.instructions import REGISTERS
from bem_kernel.isa.program import Program

ENTRY, EXIT = "entry", "exit"

_REGISTER = re.compile(r"r([0-9]{1,2})")
_WIDTH = re.compile(r"(s?)([0-9]{1,2})")
_AT = re.compile(r"at\s+(?:line\s+([0-9]{1,9})|([^\s:][^\s]*?))\s*:\s+(.*)")


@dataclass(frozen=True)
class Annotations:
    """What is claimed.

    Attributes:
        at: formulas by name of a node, `entry` or `exit`; all of them hold there.
        always: formulas that hold before and after every instruction.
        registers: declared widths by number; 64 bits, signed, if left out.
        words: declared widths by name of data.
        allowed: traps that are good ends.
    """

    at: Mapping[str, tuple[Formula, ...]] = field(default_factory=dict)
    always: tuple[Formula, ...] = ()
    registers: Mapping[int, Width] = field(default_factory=dict)
    words: Mapping[str, Width] = field(default_factory=dict)
    allowed: frozenset[Stop] = frozenset()


def parse_annotations(text: str, program: Program, source: str = "annotations") -> Annotations:
    """Read annotations.

    Args:
        text: see the head of this file.
        program: what they are about.
        source: for messages.

    Raises:
        HoareError: a line does not parse, or names what the program does not have.
    """
    at: dict[str, tuple[Formula, ...]] = {}
    always: list[Formula] = []
    registers: dict[int, Width] = {}
    words: dict[str, Width] = {}
    allowed: set[Stop] = set()
    for count, line in enumerate(text.splitlines(), 1):
        body, where = line.partition("#")[0].strip(), f"{source}: line {count}"
        keyword = body.split(maxsplit=1)[0] if body else ""
        rest = body[len(keyword) :].strip()
        match keyword:
            case "":
                pass
            case "width":
                _read_width(rest, (registers, words), program, where)
            case "allow":
                allowed |= {_stop(name, where) for name in rest.replace(",", " ").split()}
            case "always":
                always.append(rest)
            case "at":
                name, formula = _read_at(body, program, where)
                at[name] = (*at.get(name, ()), formula)
            case _:
                fix = "start the line with width, allow, always or at"
                raise HoareError(f"cannot read {body[:60]!r}", where=where, fix=fix)
    return Annotations(at, tuple(always), registers, words, frozenset(allowed))


def _read_at(body: str, program: Program, where: str) -> tuple[str, str]:
    match = _AT.fullmatch(body)
    if match is None:
        raise HoareError(f"cannot read {body[:60]!r}", where=where, fix="write at NODE: condition")
    line, name, formula = match.groups()
    if line is None:
        return name, formula
    for block in basic_blocks(program):
        if program.code[block.start].line == int(line):
            return block.name, formula
    raise HoareError(
        f"no node starts in line {line}", where=where, fix="name a line that is jumped to, or .cfg"
    )


def _read_width(
    rest: str,
    widths: tuple[dict[int, Width], dict[str, Width]],
    program: Program,
    where: str,
) -> None:
    name, _, size = rest.partition(" ")
    match = _WIDTH.fullmatch(size.strip())
    bits = int(match.group(2)) if match else 0
    most = WIDTH if match and match.group(1) else WIDTH - 1
    if match is None or not 1 <= bits <= most:
        raise HoareError(
            f"cannot read {rest[:60]!r}",
            where=where,
            fix="write width NAME BITS, 1 to 63, or s1 to s64 for signed numbers",
        )
    width, register = Width(bits, bool(match.group(1))), _REGISTER.fullmatch(name)
    if register and 1 <= int(register.group(1)) < REGISTERS:
        widths[0][int(register.group(1))] = width
    elif name in {entry.name for entry in program.data}:
        widths[1][name] = width
    else:
        raise HoareError(f"no {name!r}", where=where, fix="name r1 to r31 or a name of data")


def _stop(name: str, where: str) -> Stop:
    if name not in {stop.name for stop in TRAPS}:
        known = ", ".join(stop.name for stop in TRAPS)
        raise HoareError(f"no trap {name[:60]!r}", where=where, fix=f"use {known}")
    return Stop[name]
