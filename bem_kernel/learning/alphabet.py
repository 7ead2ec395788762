"""Alphabets whose symbols may carry an address, and words over them.

A token is one integer: the symbol's number, plus `n * (address + 1)` where it carries an address,
n being the number of symbols. Without addresses a token is its symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bem_kernel.errors import LearningError

Token = int
Word = tuple[Token, ...]

MAX_SYMBOLS = 256
MAX_ADDRESS = 1 << 20


@dataclass(frozen=True)
class Alphabet:
    """The symbols of a language.

    Attributes:
        symbols: their names, all different, without spaces or `@`.
        keyed: those that carry an address, as a subset of `symbols`.

    Raises:
        LearningError: a name is repeated, empty or has a space or `@` in it; or a keyed symbol is
            none of the symbols.
    """

    symbols: tuple[str, ...]
    keyed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not 1 <= len(self.symbols) <= MAX_SYMBOLS:
            raise LearningError(
                f"{len(self.symbols)} symbols", where="alphabet", fix=f"use 1 to {MAX_SYMBOLS}"
            )
        if len(set(self.symbols)) != len(self.symbols):
            raise LearningError(
                "a symbol appears twice", where="alphabet", fix="give each symbol its own name"
            )
        for name in self.symbols:
            if not name or "@" in name or name.split() != [name]:
                raise LearningError(
                    f"symbol {name!r}", where="alphabet", fix="use names without spaces and @"
                )
        strange = self.keyed - set(self.symbols)
        if strange:
            raise LearningError(
                f"keyed symbol {min(strange)!r} is no symbol",
                where="alphabet",
                fix=f"use {', '.join(self.symbols)}",
            )

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def code_bits(self) -> int:
        """Bits of a symbol's number."""
        return (len(self.symbols) - 1).bit_length()

    def tokens(self, width: int) -> list[Token]:
        """All tokens whose address, if any, is below `width`."""
        n = len(self.symbols)
        found = []
        for number, name in enumerate(self.symbols):
            if name in self.keyed:
                found += [number + n * (address + 1) for address in range(width)]
            else:
                found.append(number)
        return found

    def split(self, token: Token) -> tuple[int, int | None]:
        """The symbol's number and the address, or None."""
        above, symbol = divmod(token, len(self.symbols))
        return symbol, above - 1 if above else None

    def input_bits(self, token: Token, width: int) -> list[bool]:
        """A token as the input of a machine of that width, lowest bits first.

        The symbol's number; where the alphabet has keyed symbols, also the address in
        `address_bits(width)` bits and whether there is one.
        """
        symbol, address = self.split(token)
        bits = [bool(symbol >> i & 1) for i in range(self.code_bits)]
        if self.keyed:
            number = 0 if address is None else address
            bits += [bool(number >> i & 1) for i in range(address_bits(width))]
            bits.append(address is not None)
        return bits

    def n_input_bits(self, width: int) -> int:
        """Length of `input_bits`."""
        return self.code_bits + (address_bits(width) + 1 if self.keyed else 0)

    def read(self, text: str, where: str = "word") -> Word:
        """A word from text: symbols side by side if all are single characters, else with spaces.

        A keyed symbol is followed by `@` and its address, as in `key@3`.

        Raises:
            LearningError: a symbol is unknown, or an address is missing, malformed or unwanted.
        """
        plain = not self.keyed and all(len(name) == 1 for name in self.symbols)
        pieces = list("".join(text.split())) if plain else text.split()
        return tuple(self._read_token(piece, where) for piece in pieces)

    def _read_token(self, piece: str, where: str) -> Token:
        name, at, address = piece.partition("@")
        if name not in self.symbols:
            raise LearningError(
                f"unknown symbol {name!r}", where=where, fix=f"use {', '.join(self.symbols)}"
            )
        number = self.symbols.index(name)
        if (name in self.keyed) != bool(at):
            fix = f"write {name}@0" if name in self.keyed else f"write {name}"
            raise LearningError(f"token {piece!r}", where=where, fix=fix)
        if not at:
            return number
        if not (address.isascii() and address.isdigit() and int(address[:8]) < MAX_ADDRESS):
            raise LearningError(
                f"address {address!r}", where=where, fix=f"use 0 to {MAX_ADDRESS - 1}"
            )
        return number + len(self.symbols) * (int(address) + 1)

    def show(self, word: Sequence[Token]) -> str:
        """Inverse of `read`."""
        parts = []
        for token in word:
            symbol, address = self.split(token)
            parts.append(self.symbols[symbol] + ("" if address is None else f"@{address}"))
        plain = not self.keyed and all(len(name) == 1 for name in self.symbols)
        return ("" if plain else " ").join(parts)


def address_bits(width: int) -> int:
    """Bits of an address below `width`."""
    return (width - 1).bit_length()
