"""The refusal that carries its own HTTP status; apart from `errors`, which needs the whole server.

BBError
└── HttpError
"""

from __future__ import annotations

from bb_core.errors import BBError


class HttpError(BBError):
    """A refusal with a status of its own.

    Attributes:
        status: of the answer.
        param: the field at fault; empty for none.
        code: a word for programs; empty for none.
    """

    def __init__(
        self, status: int, what: str, *, where: str = "", fix: str = "", code: str = ""
    ) -> None:
        self.status, self.param, self.code = status, where, code
        super().__init__(what, where=where, fix=fix)
