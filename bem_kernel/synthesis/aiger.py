"""AIGER files: and-inverter graphs, as text (aag) or packed (aig), without latches.

Source: Biere, "The AIGER And-Inverter Graph (AIG) Format", 20071012.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bb_core.errors import BBError
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import SynthesisError

MAX_VARIABLES = 1 << 24
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class _Header:
    packed: bool
    variables: int
    inputs: int
    outputs: int
    ands: int


def read_aiger(path: Path) -> Circuit:
    """Read the circuit of an AIGER file.

    Raises:
        SynthesisError: the file cannot be read, or is not a combinational AIGER file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SynthesisError(
            f"cannot be read: {error.strerror}", where=str(path), fix="give an AIGER file"
        ) from None
    return parse_aiger(data, str(path))


def parse_aiger(data: bytes, where: str = "aiger") -> Circuit:
    """The circuit in the bytes of an AIGER file; symbols and comments are left aside.

    Args:
        data: the file.
        where: its name, for messages.

    Raises:
        SynthesisError: a line or a packed number is not as the format says; the message has the
            line or the byte.
    """
    if len(data) > MAX_BYTES:
        raise SynthesisError("too large", where=where, fix=f"give at most {MAX_BYTES} bytes")
    header, at = _header(data, where)
    builder = CircuitBuilder(header.inputs)
    slots: dict[int, int] = {}
    line = 2
    if header.packed:
        slots.update((1 + i, i) for i in range(header.inputs))
    else:
        for i in range(header.inputs):
            (literal,), at = _numbers(data, at, 1, line, where)
            _define(slots, literal, i, header, f"{where}: line {line}")
            line += 1
    outputs = []
    for _ in range(header.outputs):
        (literal,), at = _numbers(data, at, 1, line, where)
        outputs.append((literal, line))
        line += 1
    for i in range(header.ands):
        if header.packed:
            place = f"{where}: gate {i}, byte {at}"
            result = 2 * (1 + header.inputs + i)
            first, at = _packed(data, at, place)
            second, at = _packed(data, at, place)
            x, y = result - first, result - first - second
            if first == 0 or y < 0:
                raise _bad(place, "operands do not come before the gate")
        else:
            place = f"{where}: line {line}"
            (result, x, y), at = _numbers(data, at, 3, line, where)
            line += 1
        gate = builder.and_(_slot(builder, slots, x, place), _slot(builder, slots, y, place))
        _define(slots, result, gate, header, place)
    found = [_slot(builder, slots, x, f"{where}: line {n}") for x, n in outputs]
    return builder.build(found)


def _header(data: bytes, where: str) -> tuple[_Header, int]:
    end = data.find(b"\n", 0, 256)
    words = data[: max(end, 0)].split()
    place = f"{where}: line 1"
    if end < 0 or not words or words[0] not in (b"aig", b"aag"):
        raise _bad(place, "no AIGER header")
    if len(words) < 6 or not all(word.isdigit() and len(word) < 10 for word in words[1:]):
        raise _bad(place, "the header is not `aig M I L O A`")
    variables, inputs, latches, outputs, ands = (int(word) for word in words[1:6])
    if latches or any(int(word) for word in words[6:]):
        raise _bad(place, "latches or properties, which no combinational circuit has")
    packed = words[0] == b"aig"
    if max(variables, outputs) > MAX_VARIABLES or inputs + ands > variables:
        raise _bad(place, f"{variables} variables for {inputs} inputs and {ands} gates")
    if packed and variables != inputs + ands:
        raise _bad(place, "M is not I + A")
    if len(data) < 2 * (ands + outputs):
        raise _bad(place, f"{ands} gates and {outputs} outputs in {len(data)} bytes")
    return _Header(packed, variables, inputs, outputs, ands), end + 1


def _numbers(data: bytes, at: int, count: int, line: int, where: str) -> tuple[list[int], int]:
    end = data.find(b"\n", at, at + 256)
    words = data[at : max(end, at)].split()
    place = f"{where}: line {line}"
    if end < 0 or len(words) != count or not all(w.isdigit() and len(w) < 10 for w in words):
        raise _bad(place, f"not {count} numbers")
    return [int(word) for word in words], end + 1


def _packed(data: bytes, at: int, place: str) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 35:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise _bad(place, "the file ends in a number" if at >= len(data) else "a number is too long")


def _define(slots: dict[int, int], literal: int, slot: int, header: _Header, place: str) -> None:
    variable = literal >> 1
    if literal & 1 or not 1 <= variable <= header.variables or variable in slots:
        raise _bad(place, f"literal {literal} cannot be defined here")
    slots[variable] = slot


def _slot(builder: CircuitBuilder, slots: dict[int, int], literal: int, place: str) -> int:
    if literal < 2:
        return builder.const(literal == 1)
    slot = slots.get(literal >> 1)
    if slot is None:
        raise _bad(place, f"literal {literal} is not defined before")
    return builder.not_(slot) if literal & 1 else slot


def _bad(place: str, what: str) -> BBError:
    return SynthesisError(
        what, where=place, fix="give a combinational AIGER file with gates in order of evaluation"
    )
