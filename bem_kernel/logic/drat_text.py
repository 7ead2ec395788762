"""DRAT proofs as text: a clause a line, `d` before a deleted one, each ended by 0.

Source: Wetzler, Heule and Hunt 2014 (DRAT-trim).
"""

from __future__ import annotations

from collections.abc import Iterable

from bem_kernel.errors import ProofError
from bem_kernel.logic.proof import Proof, proof_from_steps


def parse_drat(lines: Iterable[str], where: str = "proof") -> Proof:
    """Read a textual proof; blank lines and lines that start with `c` are comments.

    Args:
        lines: one step each, such as `1 -2 0` or `d 1 -2 0`.
        where: what the lines are, for messages.

    Raises:
        ProofError: a line is no step; the message names it, counted from 1.
    """
    steps: list[tuple[bool, list[int]]] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("c"):
            continue
        deletes = words[0] == "d"
        try:
            literals = [int(word) for word in words[deletes:]]
        except ValueError:
            literals = []
        if not literals or literals[-1] != 0 or 0 in literals[:-1]:
            raise ProofError(
                f"{line.strip()[:60]!r} is no step",
                where=f"{where}: line {number}",
                fix="write literals and a 0 at the end, after `d` to delete",
            )
        steps.append((deletes, literals[:-1]))
    return proof_from_steps(steps)


def write_drat(proof: Proof) -> str:
    """The text of a proof, a step a line."""
    lines = []
    for index in range(len(proof)):
        deletes, literals = proof.step(index)
        lines.append(" ".join([*(["d"] if deletes else []), *map(str, literals), "0"]))
    return "\n".join(lines) + "\n" if lines else ""
