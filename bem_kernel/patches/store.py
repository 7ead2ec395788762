"""A machine on disk with the log of its patches: an image, and beside it `IMAGE.patches.jsonl`.

The log comes first: an entry is on disk before the image is replaced, and the image is replaced in
one step. After `kill -9` at any moment the image is the machine before or after the patch. Where it
is the one before and the log has the entry, opening the store finishes the patch, which it proves
once more, so that machine and log agree again.

Source: BEM core spec 8.1, 9.4, 11.1.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from bem_kernel.errors import PatchError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.image import load_image, save_image
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply, finish, undo
from bem_kernel.patches.certificate import Certificate
from bem_kernel.patches.history import Change, History, history
from bem_kernel.patches.patch import Patch
from bem_kernel.patches.structure import structure_hash

SUFFIX = ".patches.jsonl"


def log_path(image: str | Path) -> Path:
    """Where the log of an image's patches is."""
    return Path(f"{image}{SUFFIX}")


class PatchStore:
    """An image and its log, opened for patching by one process; a context manager.

    Opening seals the table: whatever changes it from now on is in the log.

    Attributes:
        path: of the image.
        memory: the machine's.
        table: its experts.
        log: of its patches.

    Args:
        image: an image that exists. Its log is begun if there is none.

    Raises:
        ImageError: the image cannot be read or is damaged.
        LedgerError: another process holds the log, or it is damaged.
        PatchError: image and log are not of one machine.
    """

    def __init__(self, image: str | Path) -> None:
        self.path = Path(image)
        load_image(image)  # without a log where there is no image
        self.log = Ledger(log_path(image))
        try:
            for left in self.path.parent.glob(f".{self.path.name}.????????"):
                left.unlink()  # of a writer that was killed: whoever holds the log is alone
            self.memory: Memory = load_image(image)
            self.table = ExpertTable(self.memory)
            self.table.seal()
            self._agree()
        except BaseException:
            self.log.close()
            raise

    @property
    def history(self) -> History:
        """The machine's patches.

        Raises:
            LedgerError, PatchError: the log is damaged.
        """
        return history(read_entries(self.log.path), str(self.log.path))

    def apply(self, patch: Patch, certificate: Certificate) -> int:
        """Apply a patch to the machine on disk; see `apply.apply`.

        Returns:
            The index of the log's entry.

        Raises:
            KernelError: as `apply.apply`.
            BBError: the image cannot be written; the log has the entry, and opening the store
                again finishes the patch.
        """
        index = apply(self.table, patch, certificate, self.log)
        save_image(self.memory, self.path)
        return index

    def undo(self) -> Change:
        """Take the last patch in force back; see `apply.undo`.

        Raises:
            KernelError: as `apply.undo`.
            BBError: as `apply`.
        """
        change = undo(self.table, self.log)
        save_image(self.memory, self.path)
        return change

    def close(self) -> None:
        """Release the log; closing twice does nothing."""
        self.log.close()

    def __enter__(self) -> PatchStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _agree(self) -> None:
        """Begin the log, or finish what it says was begun."""
        found = structure_hash(self.table)
        if len(self.log) == 0:
            self.log.append({"kind": "patch.base", "structure": found})
            return
        last = self.history.last
        expected = self._base() if last is None else last.after
        if found == expected:
            return
        if last is None or found != last.before:
            raise PatchError(
                f"the image has structure {found[:16]}, its log leads to {expected[:16]}",
                where=str(self.path),
                fix="restore the image that belongs to the log",
            )
        finish(self.table, last, str(self.log.path))
        save_image(self.memory, self.path)

    def _base(self) -> str:
        first = next(read_entries(self.log.path))
        return str(first.get("structure")) if first.get("kind") == "patch.base" else ""
