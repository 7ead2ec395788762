"""BEM_APPLY_PATCH: a program decides when a certified patch is applied.

Patches and their certificates are offered to the unit from outside; a program can name one, and
cannot make one. A descriptor is the patch's fingerprint as four words, the first bytes in the
first word, the most significant byte first.

Source: BEM core spec 4.2, 9.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bem_kernel.errors import PatchError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.units import Answer, Request
from bem_kernel.patches.apply import apply
from bem_kernel.patches.certificate import Certificate, check_certificate
from bem_kernel.patches.patch import Patch

if TYPE_CHECKING:
    from bem_kernel.ledger.chain import Ledger

FINGERPRINT_WORDS = 4


class PatchUnit:
    """Applies offered patches; work is counted in slots of the table, which is copied and hashed.

    Attributes:
        refusals: why calls were answered 0, in order.

    Args:
        table: of the machine that the programs run in.
        log: open; all of this machine's patches are in it.
    """

    def __init__(self, table: ExpertTable, log: Ledger) -> None:
        self._table = table
        self._log = log
        self._offered: dict[str, tuple[Patch, Certificate]] = {}
        self.refusals: list[str] = []

    @property
    def bound(self) -> int:
        """The table's slots."""
        return self._table.slots.capacity

    def offer(self, patch: Patch, certificate: Certificate) -> tuple[int, ...]:
        """Let programs apply a patch, once.

        Returns:
            The descriptor that names it.

        Raises:
            PatchError: the certificate is not for this patch and this machine.
        """
        check_certificate(self._table, patch, certificate)
        name = patch.fingerprint
        self._offered[name] = (patch, certificate)
        return tuple(int(name[i : i + 16], 16) for i in range(0, 64, 16))

    def call(self, request: Request) -> Answer:
        """Apply; the value is 1, or 0 where there is no such offer or it no longer fits.

        Raises:
            KernelError: the log cannot be written, or there is no room.
        """
        words = request.read(request.address, FINGERPRINT_WORDS)
        name = "".join(f"{word:016x}" for word in words.tolist())
        try:
            if name not in self._offered:
                raise PatchError(
                    f"no patch {name[:16]} was offered", where="BEM_APPLY_PATCH", fix="offer it"
                )
            patch, certificate = self._offered.pop(name)
            apply(self._table, patch, certificate, self._log)
        except PatchError as error:
            self.refusals.append(str(error))
            return Answer(0, self.bound)
        return Answer(1, self.bound)
