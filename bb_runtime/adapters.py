"""The tool adapters of a domain, opened for a command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bb_domains.api_json.tool_adapters import HttpAdapters
from bb_domains.domain import Domain


@contextmanager
def open_adapters(domain: Domain) -> Iterator[HttpAdapters]:
    """Adapters that reach the hosts of the domain, with its secrets from the environment.

    Proxies of the environment are not used: they would see what only the service should.

    Raises:
        BBError: the domain declares no service.
    """
    import httpx

    names = {name for tool in domain.schema.tools.values() for name in tool.secrets.values()}
    secrets = {name: os.environ[name] for name in names if name in os.environ}
    with httpx.Client(trust_env=False) as client:
        yield HttpAdapters(domain.schema, client, secrets)
