"""The root of the error tree.

    BBError                 refused or failed, exit code 1
    └── UsageError          the caller asked for something that cannot be meant, exit code 2

Each package adds its own leaves under these two. A message says where, what, and the fix:
`plan.yaml:3:7: unknown key 'tols'; use one of tools, fluents`.
"""

from __future__ import annotations

from typing import ClassVar


class BBError(Exception):
    """Something was refused or failed, and the reader can mend it.

    Args:
        what: the fault, in one clause.
        where: file, line, column, node or field; empty if there is none.
        fix: what to do or write instead; empty if there is nothing to say.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        fix = f"; {self.fix}" if self.fix else ""
        return f"{where}{self.what}{fix}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only fields would be lost by the default, for instance in a worker process.
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


class UsageError(BBError):
    """The command or call itself cannot be meant; exit code 2."""

    exit_code: ClassVar[int] = 2


def _rebuild(cls: type[BBError], args: tuple[object, ...], fields: dict[str, object]) -> BBError:
    """Make the error again without running a subclass's own constructor."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error
