"""Reading the plan that a command is given: a file, or standard input for `-`."""

from __future__ import annotations

import sys

from bb_core.errors import UsageError
from bb_core.files import read_text

_MAX_BYTES = 1_000_000


def read_plan_text(source: str) -> str:
    """The text of a plan.

    Args:
        source: a file, or "-" for standard input.

    Raises:
        BBError: the file cannot be read.
        UsageError: standard input is not UTF-8, or larger than a plan can be.
    """
    if source != "-":
        return read_text(source)
    data = sys.stdin.buffer.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise UsageError("more than a plan can be", where="standard input", fix="send one plan")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"byte {error.start} is not UTF-8", where="standard input", fix="send text"
        ) from error
