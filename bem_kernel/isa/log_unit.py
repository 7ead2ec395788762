"""BEM_LOG_APPEND: words of a program in the hash-chained log.

A descriptor is `n` and then n words. The entry is

    {"event": "words", "program": name, "pc": …, "words": ["00000000000000ff", …]}

with words in hex, since JSON numbers above 2^53 have no canonical form.

Source: BEM core spec 3.6, 8.1, 11.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from bem_kernel.errors import MachineError
from bem_kernel.isa.units import Answer, Request
from bem_kernel.ledger.chain import Ledger

MAX_WORDS = 4096
"""Most words of an entry."""


@dataclass(frozen=True)
class LogUnit:
    """Appends to a ledger; work is counted in words.

    Attributes:
        ledger: open for appending.
        program: what the entries call the program, such as its fingerprint.
    """

    ledger: Ledger
    program: str

    @property
    def bound(self) -> int:
        """The words of the longest entry."""
        return MAX_WORDS

    def call(self, request: Request) -> Answer:
        """Append; the value is the index of the entry."""
        n = int(request.read(request.address, 1)[0])
        if n > MAX_WORDS:
            raise MachineError(
                f"an entry of {n} words", where="BEM_LOG_APPEND", fix=f"use at most {MAX_WORDS}"
            )
        words = request.read(request.address + 1, n).tolist() if n else []
        entry = {
            "event": "words",
            "program": self.program,
            "pc": request.pc,
            "words": [f"{word:016x}" for word in words],
        }
        return Answer(self.ledger.append(entry), n)
