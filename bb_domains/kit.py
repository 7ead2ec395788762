"""What a domain's package offers beyond its schema: adapters, a simulator, requests.

A domain is a Python package, installed (an entry point of the group `bb.domains`) or a folder with
an `__init__.py`. Its functions, all but the first optional:

    plan_schema() -> PlanSchema
    open_adapters(schema, environment) -> context manager of Adapters
    requests(split, n, seed) -> iterator of Request     splits as in simulation.SPLITS
    simulator(request) -> Simulator                     the world that the request is made in

Code of a folder runs only when one of these is asked for, never when its schema is read.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from bb_core.errors import BBError
from bb_domains.domain import Domain
from bb_domains.errors import DomainError
from bb_domains.privacy import LEAST_HIDDEN, is_secret_name, without_secrets
from bb_domains.simulation import SPLITS, Request, Simulator
from bb_domains.tools import Adapters, ToolFailed


@contextmanager
def open_adapters(
    domain: Domain, environment: Mapping[str, str] = os.environ
) -> Iterator[Adapters]:
    """What carries the domain's calls out: its package's own adapters, or HTTP.

    Over HTTP the hosts of the schema are reached and no others, with secrets from the environment;
    its proxies are not used: they would see what only the service should.

    Raises:
        BBError: the domain has no adapters and declares no service.
    """
    own = _offered(domain, "open_adapters")
    if own is not None:
        with own(domain.schema, environment) as adapters:
            yield Discreet(adapters, _secrets(domain, environment))
        return
    from bb_domains.http_adapters import HttpAdapters
    from bb_domains.outgoing import open_client, service_of

    names = _secret_names(domain)
    secrets = {name: environment[name] for name in names if name in environment}
    with open_client(service_of(domain.schema)) as client:
        yield HttpAdapters(domain.schema, client, secrets)


@dataclass(frozen=True)
class Discreet:
    """Adapters of a domain's own, and no secret in what they say of failures or answer.

    Attributes:
        adapters: carry the calls out.
        secrets: by the names of their variables.
    """

    adapters: Adapters
    secrets: Collection[str] = field(repr=False)

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """See `tools.Adapters`."""
        try:
            answer = self.adapters.call(tool, args, idempotency_key)
        except ToolFailed as error:
            said = without_secrets(error.reason, self.secrets)
            raise ToolFailed(tool, error.status, said, sent=error.sent) from None
        except BBError as error:
            what, where = without_secrets([error.what, error.where], self.secrets)
            raise BBError(what, where=where, fix=error.fix) from None
        long = [secret for secret in self.secrets if len(secret) >= LEAST_HIDDEN]
        kept: dict[str, Any] = without_secrets(answer, long)
        return kept


def make_requests(domain: Domain, split: str, n: int, seed: int) -> Iterator[Request]:
    """Requests of a split, with plans that fulfil them.

    Args:
        domain: whose.
        split: one of `simulation.SPLITS`.
        n: how many.
        seed: makes them; the same seed makes the same requests.

    Raises:
        DomainError: no such split, or the domain has no generator.
    """
    if split not in SPLITS:
        known = ", ".join(SPLITS)
        raise DomainError(f"no split {split!r}", where="requests", fix=f"use one of {known}")
    made: Iterator[Request] = _needed(domain, "requests")(split, n, seed)
    return made


def make_simulator(domain: Domain, request: Request) -> Simulator:
    """A fresh world in which a request is made.

    Raises:
        DomainError: the domain has no simulator.
    """
    made: Simulator = _needed(domain, "simulator")(request)
    return made


def has_simulator(domain: Domain) -> bool:
    """Whether the domain's package offers a simulator and requests to try in it."""
    return None not in (_offered(domain, "simulator"), _offered(domain, "requests"))


def _secret_names(domain: Domain) -> set[str]:
    return {name for tool in domain.schema.tools.values() for name in tool.secrets.values()}


def _secrets(domain: Domain, environment: Mapping[str, str]) -> set[str]:
    """What of the environment is secret: what the domain says, and what the names say."""
    declared = {environment.get(name, "") for name in _secret_names(domain)}
    named = {value for name, value in environment.items() if is_secret_name(name)}
    return (declared - {""}) | {value for value in named if len(value) >= LEAST_HIDDEN}


def _needed(domain: Domain, name: str) -> Callable[..., Any]:
    found = _offered(domain, name)
    if found is None:
        raise DomainError(
            f"offers no {name}()",
            where=f"domain {domain.name}",
            fix="add it to the __init__.py of its package; bb_domains/kit.py says what it is given",
        )
    return found


def _offered(domain: Domain, name: str) -> Callable[..., Any] | None:
    module = _module(domain)
    found = getattr(module, name, None)
    return found if callable(found) else None


def _module(domain: Domain) -> ModuleType | None:
    """The domain's package; None if it is a schema alone."""
    if domain.package:
        return importlib.import_module(domain.package)
    if domain.root is None or not (domain.root / "__init__.py").exists():
        return None
    return _import_folder(domain.root)


def _import_folder(root: Path) -> ModuleType:
    """Import a folder as a package under a name of its own, once."""
    place = root.resolve()
    name = f"bb_domain_folder_{place.name}_{abs(hash(str(place))):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, place / "__init__.py", submodule_search_locations=[str(place)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: its own files import one another through it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, BBError):
            raise
        raise DomainError(
            f"cannot be imported: {type(error).__name__}: {error}",
            where=str(place / "__init__.py"),
            fix="mend the package",
        ) from error
    return module
