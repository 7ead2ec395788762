"""AIGER files: both forms, and what is wrong with a damaged one."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from bem_kernel.errors import SynthesisError
from bem_kernel.forms.truth_table import truth_table
from bem_kernel.synthesis.aiger import parse_aiger, read_aiger

# The half adder of the format's description.
TEXT = b"aag 7 2 0 2 3\n2\n4\n6\n12\n6 13 15\n12 2 4\n14 3 5\ni0 x\ni1 y\no0 s\no1 c\n"
ORDERED = b"aag 5 2 0 2 3\n2\n4\n10\n6\n6 4 2\n8 5 3\n10 9 7\nc\nhalf adder\n"
PACKED = b"aig 5 2 0 2 3\n10\n6\n\x02\x02\x03\x02\x01\x02i0 x\n"


@pytest.mark.parametrize("data", [ORDERED, PACKED])
def test_a_half_adder(data: bytes) -> None:
    assert truth_table(parse_aiger(data)).tolist() == [[0, 0], [1, 0], [1, 0], [0, 1]]


def test_constants_and_negated_outputs() -> None:
    circuit = parse_aiger(b"aag 1 1 0 4 0\n2\n0\n1\n2\n3\n")
    assert truth_table(circuit).tolist() == [[0, 1, 0, 1], [0, 1, 1, 0]]
    assert truth_table(parse_aiger(b"aig 0 0 0 1 0\n1\n")).tolist() == [[1]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: no AIGER header"),
        (b"aag 1 1 0\n", "line 1: the header is not `aig M I L O A`"),
        (b"aag 1 0 1 0 0\n2 3\n", "line 1: latches"),
        (b"aag 1 2 0 0 0\n2\n4\n", "line 1: 1 variables for 2 inputs and 0 gates"),
        (b"aig 9 2 0 2 3\n10\n6\n", "line 1: M is not I \\+ A"),
        (b"aag 99999999 0 0 0 99999999\n", "line 1: 99999999 variables"),
        (b"aig 16000000 0 0 0 16000000\n", "line 1: 16000000 gates and 0 outputs in 28 bytes"),
        (TEXT, "line 6: literal 13 is not defined before"),
        (b"aag 1 1 0 1 0\n2\n", "line 3: not 1 numbers"),
        (b"aag 1 1 0 1 0\n2\nx\n", "line 3: not 1 numbers"),
        (b"aag 2 2 0 0 0\n2\n2\n", "line 3: literal 2 cannot be defined here"),
        (b"aag 1 1 0 0 0\n3\n", "line 2: literal 3 cannot be defined here"),
        (b"aag 1 1 0 1 0\n2\n8\n", "line 3: literal 8 is not defined before"),
        (PACKED[:-8], "gate 1, byte 21: the file ends in a number"),
        (b"aig 1 0 0 0 1\n\xff\xff\xff\xff\xff\x01\x01", "byte 14: a number is too long"),
        (b"aig 1 0 0 0 1\n\x00\x00", "byte 14: operands do not come before the gate"),
    ],
)
def test_damage_is_placed(data: bytes, message: str) -> None:
    with pytest.raises(SynthesisError, match=f"half.aig: .*{message}"):
        parse_aiger(data, "half.aig")


def outcome(data: bytes) -> str:
    try:
        parse_aiger(data)
    except SynthesisError:
        return "refused"
    return "read"


def test_any_bytes_parse_or_are_refused() -> None:
    rng, seen = Random(3), set()
    for _ in range(3000):
        data = bytearray(rng.choice([TEXT, ORDERED, PACKED]))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        seen.add(outcome(bytes(data[: rng.randrange(1, len(data) + 1)])))
    assert seen == {"read", "refused"}


def test_a_file_is_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "half.aig"
    with pytest.raises(SynthesisError, match="half.aig: cannot be read: No such file"):
        read_aiger(path)
    path.write_bytes(PACKED)
    assert read_aiger(path).n_outputs == 2
