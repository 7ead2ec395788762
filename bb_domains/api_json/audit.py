"""Reading the demonstration service's state, for traces and for showing what a plan changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from bb_domains.api_json.credentials import Credentials
from bb_domains.http_adapters import TIMEOUT_S
from bb_domains.tools import ToolFailed

PAGE = 10_000


@dataclass
class HttpAuditor:
    """A session of its own that only reads.

    Attributes:
        base_url: where the service is.
        client: keeps connections alive.
        credentials: for its login.
    """

    base_url: str
    client: httpx.Client
    credentials: Credentials
    _headers: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def orders(self) -> list[dict[str, Any]]:
        """All orders, by number."""
        found: list[dict[str, Any]] = self._get("/audit/orders", {"limit": PAGE})
        return found

    def customers(self) -> list[dict[str, Any]]:
        """All customers, by identifier."""
        found: list[dict[str, Any]] = self._get("/audit/customers", {"limit": PAGE})
        return found

    def state(self, numbers: Sequence[int], customer_ids: Sequence[str]) -> dict[str, Any]:
        """The named orders and customers with all that belongs to them."""
        query = {"number": list(numbers), "customer": list(customer_ids)}
        found: dict[str, Any] = self._get("/audit/state", query)
        return found

    def _get(self, path: str, query: dict[str, Any]) -> Any:
        if not self._headers:
            self._log_in()
        response = self.client.get(
            self.base_url + path, params=query, headers=self._headers, timeout=TIMEOUT_S
        )
        if not response.is_success:
            raise ToolFailed(path, response.status_code, response.text)
        return response.json()

    def _log_in(self) -> None:
        body = {"username": self.credentials.username, "password": self.credentials.password}
        response = self.client.post(self.base_url + "/login", json=body, timeout=TIMEOUT_S)
        if not response.is_success:
            raise ToolFailed("login", response.status_code, response.text)
        self._headers = {"Authorization": f"Bearer {response.json()['token']}"}
