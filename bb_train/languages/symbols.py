"""Characters as the symbols of a learner's alphabet, and as token classes of a rail.

One rule for all languages: letters are keys, all of one symbol, and carry their place in the
alphabet as an address; every other character is a symbol of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bb_core.errors import BBError
from bb_nn.library.token_classes import TokenClass
from bem_kernel.learning.alphabet import Alphabet, Token, Word

_KEY = "key"
PRESENT = "symbol"
"""Name of the class of all tokens that the program reads; it steps at no other."""


class LanguageError(BBError):
    """Strings that cannot be learned from, or a program that does not fit."""


@dataclass(frozen=True)
class Symbols:
    """The characters of some strings, in order."""

    characters: str

    @classmethod
    def of(cls, texts: Iterable[str]) -> Symbols:
        """The characters that occur.

        Raises:
            LanguageError: there is none.
        """
        found = "".join(sorted(set("".join(texts))))
        if not found:
            raise LanguageError("no characters", where="symbols", fix="give strings")
        return cls(found)

    @cached_property
    def alphabet(self) -> Alphabet:
        """For the kernel's learners."""
        letters = [char for char in self.characters if char.isalpha()]
        others = [char for char in self.characters if not char.isalpha()]
        return Alphabet((*[_KEY][: len(letters)], *others), frozenset([_KEY][: len(letters)]))

    @cached_property
    def tokens(self) -> dict[str, Token]:
        """The learner's token of each character."""
        n, names = len(self.alphabet), self.alphabet.symbols
        letters = sorted(char for char in self.characters if char.isalpha())
        keys = {char: n * (address + 1) for address, char in enumerate(letters)}
        return keys | {name: names.index(name) for name in self.characters if name in names}

    @property
    def addresses(self) -> int:
        """How many keys there are, rounded up to a power of two."""
        keys = sum(char.isalpha() for char in self.characters)
        return 1 << max(0, keys - 1).bit_length()

    def word(self, text: str) -> Word:
        """The string for the kernel's learners."""
        return tuple(self.tokens[char] for char in text)

    def input_bits(self) -> NDArray[np.bool_]:
        """(characters, bits) bool: each character as a machine reads it."""
        tokens = (self.tokens[char] for char in self.characters)
        rows = [self.alphabet.input_bits(token, self.addresses) for token in tokens]
        return np.array(rows, np.bool_).reshape(len(self.characters), -1)

    def classes(self, ids: Sequence[int]) -> tuple[TokenClass, ...]:
        """The bits of a character as token classes, and last whether there is one.

        Args:
            ids: the rail's token of each character.
        """
        columns = [*self.input_bits().T, np.ones(len(self.characters), np.bool_)]
        names = [*(f"bit {i}" for i in range(len(columns) - 1)), PRESENT]
        return tuple(
            TokenClass(name, ids=tuple(i for i, bit in zip(ids, column, strict=True) if bit))
            for name, column in zip(names, columns, strict=True)
        )
