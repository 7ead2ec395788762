"""BEM_HOARE_CHECK: a program asks whether annotations of itself hold.

The descriptor is the text of the annotations in memory, word by word

    n, text     n bytes of UTF-8, eight a word, the first in the lowest bits

The answer is 1 if every edge was proved, else 0, also where the solver's budget did not do. Work is
counted in edges.

Source: BEM core spec 3.4, 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from bem_kernel.errors import HoareError
from bem_kernel.hoare.annotations import parse_annotations
from bem_kernel.hoare.check import hoare_check
from bem_kernel.hoare.state import layout_of
from bem_kernel.isa.core import Core
from bem_kernel.isa.units import Answer, Request

MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class HoareUnit:
    """The co-processor of BEM_HOARE_CHECK.

    Attributes:
        bound: most edges of a call.
        budget: most conflicts of the solver for an edge; nobody goes on beyond it.
    """

    bound: int = 4096
    budget: int = 20_000

    def call(self, request: Request) -> Answer:
        """Check the annotations that the descriptor holds.

        Raises:
            HoareError: they cannot be read, or do not fit the program, or the program runs in
                more lanes or another memory than the verdict would be about.
            AccessFault: a word of the descriptor does not exist, or may not be read.
        """
        address = request.address
        size = int(request.read(address, 1)[0])
        if size > MAX_BYTES:
            raise HoareError(
                f"annotations of {size} bytes", where="hoare unit", fix=f"use at most {MAX_BYTES}"
            )
        stored = request.read(address + 1, -(-size // 8)).astype("<u8").tobytes()[:size]
        try:
            text = stored.decode()
        except UnicodeDecodeError as error:
            raise HoareError(
                f"byte {error.start} is no UTF-8", where="hoare unit", fix="store a Unicode text"
            ) from error
        program = request.core.program
        _check_model(request.core)
        claims = parse_annotations(text, program, "descriptor")
        report = hoare_check(program, claims, budget=self.budget, hand_over=False)
        return Answer(int(report.accepted), len(report.edges))


def _check_model(core: Core) -> None:
    """Refuse a machine that is not the one that the verdict is about."""
    model = layout_of(core.program).core
    if core.lanes != 1 or core.memory.config != model.memory.config:
        raise HoareError(
            f"the program runs in {core.lanes} lanes, in a memory of "
            f"{len(core.memory.arrays.words)} words",
            where="hoare unit",
            fix="run it in one lane, in the memory that Machine(program) makes",
        )
