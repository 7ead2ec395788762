"""Bits of a token that need no network: which classes its bytes belong to.

A class is declared by a pattern over the token's bytes, or learned as a set of token ids.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_nn.errors import LibraryError


@dataclass(frozen=True)
class TokenClass:
    """A set of tokens.

    Attributes:
        name: for people.
        pattern: regular expression; tokens with bytes that match it anywhere belong. "" for none.
        ids: tokens that belong as well, by id.
    """

    name: str
    pattern: str = ""
    ids: tuple[int, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes the same class."""
        return {"name": self.name, "pattern": self.pattern, "ids": list(self.ids)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TokenClass:
        """Inverse of `to_json`.

        Raises:
            LibraryError: the data is not that of a class.
        """
        try:
            return cls(str(data["name"]), str(data["pattern"]), tuple(map(int, data["ids"])))
        except (KeyError, TypeError, ValueError) as error:
            raise LibraryError(
                f"not a token class ({error})", where="library.json", fix="save the library again"
            ) from error


DECLARED = (
    TokenClass("newline", r"\n"),
    TokenClass("space", r"^[ \t]"),
    TokenClass("digit", r"[0-9]"),
    TokenClass("capital", r"[A-Z]"),
    TokenClass("opens", r"[\[({]"),
    TokenClass("closes", r"[\])}]"),
    TokenClass("quote", r"[\"']"),
    TokenClass("stop", r"[.!?;,]"),
)
"""Classes to start with."""


def class_table(classes: Sequence[TokenClass], table: Sequence[bytes]) -> NDArray[np.bool_]:
    """The classes of every token.

    Args:
        classes: bit i is class i.
        table: bytes of each token id; b"" for special tokens, which match no pattern.

    Returns:
        (tokens, classes) bool.

    Raises:
        LibraryError: a pattern is no regular expression, or an id is no token.
    """
    bits = np.zeros((len(table), len(classes)), np.bool_)
    for column, entry in enumerate(classes):
        where = f"token class {entry.name}"
        try:
            pattern = re.compile(entry.pattern.encode()) if entry.pattern else None
        except re.error as error:
            raise LibraryError(
                f"the pattern is no regular expression ({error})", where=where, fix="mend it"
            ) from error
        if pattern is not None:
            bits[:, column] = [bool(piece and pattern.search(piece)) for piece in table]
        if any(not 0 <= i < len(table) for i in entry.ids):
            raise LibraryError(
                f"an id is none of {len(table)} tokens", where=where, fix="learn it anew"
            )
        bits[list(entry.ids), column] = True
    return bits
