"""The demonstration service's rules without HTTP: sessions on a database in memory.

For trying many thousand calls; what is refused and why is what the service itself refuses, but for
malformed arguments, which are not looked at here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bb_domains.api_json.rules import Refused, Rules
from bb_domains.api_json.store import connect, seed_database
from bb_domains.tools import ToolFailed

_NAMES = {"order": "order_id", "customer": "customer_id"}  # of arguments, as the rules call them
_AUDIT = "audit"


class InProcessService:
    """A service of its own, filled from a seed; also reads its state, as auditors do.

    Args:
        seed: makes the data.
        db: an open database that has data, to serve that.
    """

    def __init__(self, seed: int, db: sqlite3.Connection | None = None) -> None:
        self._db = connect(Path(":memory:")) if db is None else db
        if db is None:
            seed_database(self._db, seed)
        self._numbers = count()

    def session(self) -> InProcessSession:
        """A caller who has not logged in."""
        return InProcessSession(self._db, f"session {next(self._numbers)}")

    def orders(self) -> list[dict[str, Any]]:
        """All orders, by number."""
        return Rules(self._db, _AUDIT).list_orders(0, 1_000_000)

    def customers(self) -> list[dict[str, Any]]:
        """All customers, by identifier."""
        return Rules(self._db, _AUDIT).list_customers("", 1_000_000)

    def state(self, numbers: Sequence[int], customer_ids: Sequence[str]) -> dict[str, Any]:
        """The named orders and customers with all that belongs to them."""
        return Rules(self._db, _AUDIT).read_state(list(numbers), list(customer_ids))

    def close(self) -> None:
        """Forget everything."""
        self._db.close()


@dataclass
class InProcessSession:
    """Calls tools as one caller; `bb_domains.tools.Adapters`.

    Attributes:
        db: the service's database.
        name: of the caller.
        logins: how often it has logged in; each time opens a session.
    """

    db: sqlite3.Connection
    name: str
    logins: int = 0

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The tool's result; keys are not honoured.

        Raises:
            ToolFailed: a rule refuses the call.
        """
        if tool == "login":
            self.logins += 1
            return {}
        if not self.logins:
            raise ToolFailed(tool, 401, "log in first")
        operation = getattr(Rules(self.db, f"{self.name}/{self.logins}"), tool)
        self.db.execute("BEGIN")
        try:
            answer = operation(**{_NAMES.get(name, name): value for name, value in args.items()})
            self.db.execute("COMMIT")
        except BaseException as error:
            self.db.execute("ROLLBACK")
            if isinstance(error, Refused):
                raise ToolFailed(tool, error.status, error.reason) from None
            raise
        assert isinstance(answer, dict)
        return answer
