"""Proofs as text and in bytes: round trips, hostile input, which of the two a file is."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from bb_core.errors import BBError
from bem_kernel.errors import ProofError
from bem_kernel.logic.drat_binary import decode_drat, encode_drat
from bem_kernel.logic.drat_file import load_drat, read_drat, save_drat
from bem_kernel.logic.drat_text import parse_drat, parse_drat_bytes, write_drat
from bem_kernel.logic.proof import Proof, proof_from_steps

LARGEST = (1 << 31) - 1


def random_proof(rng: Random) -> Proof:
    def literal() -> int:
        return rng.randint(1, rng.choice((1, 63, 64, 9000, LARGEST))) * rng.choice((1, -1))

    return proof_from_steps(
        (rng.random() < 0.3, [literal() for _ in range(rng.choice((0, 1, 3, 9)))])
        for _ in range(rng.randint(0, 20))
    )


def equal(left: Proof, right: Proof) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("offsets", "literals", "deletes")
    )


@pytest.mark.parametrize("seed", range(50))
def test_both_forms_give_back_the_proof(seed: int, tmp_path: Path) -> None:
    proof = random_proof(Random(seed))
    assert equal(decode_drat(encode_drat(proof)), proof)
    assert equal(parse_drat(write_drat(proof).splitlines()), proof)
    for binary in (False, True):
        save_drat(tmp_path / "p", proof, binary=binary)
        assert equal(load_drat(tmp_path / "p"), proof)


def test_the_bytes_are_those_of_drat_trim() -> None:
    """The example of DRAT-trim's description of the format."""
    proof = proof_from_steps([(True, [-63, -8193]), (False, [129, -8191])])
    assert encode_drat(proof) == bytes.fromhex("64 7f 83 80 01 00 61 82 02 ff 7f 00")


def test_text_has_comments_blank_lines_and_broken_lines() -> None:
    text = "c made by hand\n\n  1 -2\n 3 0 d 4\t0\r\nd 5 6 0\nc 0\nd -7 0 c end\n0"
    steps = [(False, [1, -2, 3]), (True, [4]), (True, [5, 6]), (True, [-7]), (False, [])]
    assert equal(parse_drat_bytes(text.encode()), proof_from_steps(steps))


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("1 2 0\n3 x 0", "line 2, column 3", "'x' is no literal"),
        ("1 2147483648 0", "line 1, column 3", "'2147483648' is no literal"),
        ("1 99999999999999999999999 0", "line 1, column 3", "is no literal"),
        ("1 -0", "line 1, column 3", "'-0' is no literal"),
        ("01 0", "line 1, column 1", "'01' is no literal"),
        ("1 - 2 0", "line 1, column 3", "'-' is no literal"),
        ("1 2,3 0", "line 1, column 3", "'2,3' is no literal"),
        ("d d 1 0", "line 1, column 3", "'d' is no literal"),
        ("1 c 0", "line 1, column 3", "'c' is no literal"),
        ("1 0\n\n  2 3\n", "line 3, column 5", "the last step has no end"),
        ("1 0\nd", "line 2, column 1", "the last step has no end"),
        ("é 0", "line 1, column 1", "'é' is no literal"),
    ],
)
def test_text_that_is_no_proof_is_refused(text: str, place: str, what: str) -> None:
    with pytest.raises(ProofError, match=f"^a.drat: {place}: .*{what}; write|{what}; end it"):
        parse_drat_bytes(text.encode(), "a.drat")


@pytest.mark.parametrize(
    ("data", "place", "what"),
    [
        (b"a\x02\x00x\x00", "byte 3", "byte 120 begins no step; begin each with `a` or `d`"),
        (b"\x00", "byte 0", "byte 0 begins no step"),
        (b"a\x02", "byte 1", "the last step has no end"),
        (b"a", "byte 0", "the last step has no end"),
        (b"a\x02\x00d\x82", "byte 4", "the last step has no end"),
        (b"a\x01\x00", "byte 1", "a literal has more than 32 bits, or is a negated 0"),
        (b"a\x04\x80\x80\x80\x80\x10\x00", "byte 2", "a literal has more than 32 bits"),
        (b"a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "byte 1", "more than 32 bits"),
    ],
)
def test_bytes_that_are_no_proof_are_refused(data: bytes, place: str, what: str) -> None:
    with pytest.raises(ProofError, match=f"^b.drat: {place}: .*{what}"):
        decode_drat(data, "b.drat")


def test_random_bytes_never_do_more_than_raise() -> None:
    rng = Random(1)
    alphabets = (b"ad\x00\x01\x02\x80\xff", b"0123456789- \ncd", bytes(range(256)))
    proofs = 0
    for _ in range(3000):
        data = bytes(rng.choice(rng.choice(alphabets)) for _ in range(rng.randint(0, 12)))
        try:
            proof = read_drat(data)
        except ProofError:
            continue
        proofs += 1
        assert equal(read_drat(encode_drat(proof)), proof)
    assert proofs > 100


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BBError, match="none.drat"):
        load_drat(tmp_path / "none.drat")
    with pytest.raises(ProofError, match=r"bad.drat: line 1, column 1: 'q'"):
        (tmp_path / "bad.drat").write_text("q")
        load_drat(tmp_path / "bad.drat")


def test_a_literal_of_32_bits_is_refused() -> None:
    arrays = (np.array([0, 1], np.int32), np.array([-(1 << 31)], np.int32), np.zeros(1, np.bool_))
    with pytest.raises(ProofError, match="proof: step 0: literal -2147483648; use DIMACS"):
        Proof(*arrays)
