"""DRAT proofs in files, as text or binary.

Every step of a binary proof ends with a byte 0, which text never has; so one tells them apart.
"""

from __future__ import annotations

from pathlib import Path

from bb_core.files import read_bytes, write_atomic
from bem_kernel.logic.drat_binary import decode_drat, encode_drat
from bem_kernel.logic.drat_text import parse_drat_bytes, write_drat
from bem_kernel.logic.proof import Proof


def read_drat(data: bytes, where: str = "proof") -> Proof:
    """Read a proof of either form.

    Args:
        data: a file's contents.
        where: what they are, for messages.

    Raises:
        ProofError: the contents are no proof; the message says where.
    """
    return decode_drat(data, where) if 0 in data else parse_drat_bytes(data, where)


def load_drat(path: Path) -> Proof:
    """Read a file of either form.

    Raises:
        BBError: the file cannot be read.
        ProofError: it is no proof; the message says where.
    """
    return read_drat(read_bytes(path), str(path))


def save_drat(path: Path, proof: Proof, *, binary: bool = False) -> None:
    """Write a file; it is there whole or not at all.

    Args:
        path: the file.
        proof: what to write.
        binary: in about a third of the bytes.

    Raises:
        BBError: the file cannot be written.
    """
    write_atomic(path, encode_drat(proof) if binary else write_drat(proof))
