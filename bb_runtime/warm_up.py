"""What the first plan would have to wait for, done before anybody asks.

The kernels that prove and run plans are compiled when they are first called: some twenty seconds,
where no earlier process has left them on disk. They are the same for every domain, so a domain of
two tools will do; a few tokens of each served domain make its masks. Nothing is called, and what
the log of runs would hold is thrown away.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bb_core.plan import parse_plan
from bb_core.prompt import format_prompt
from bb_domains.domain import Domain, make_domain
from bb_domains.schema import parse_schema
from bb_runtime.check import check_plan
from bb_runtime.constraints import keep_to_plans
from bb_runtime.engine import Engine, Sampling
from bb_runtime.execute import execute
from bem_kernel.ledger.chain import Ledger

logger = logging.getLogger(__name__)

_SCHEMA: dict[str, Any] = {
    "domain": "warm_up",
    "fluents": {"known": []},
    "tools": {
        "look": {"effect": "read", "effects": ["known"]},
        "act": {"pre": "known"},
    },
}
_PLAN = '{"plan":[{"id":"a","tool":"look","args":{}},{"id":"b","tool":"act","args":{}}]}'


class _NoTools:
    def call(self, tool: str, *_: object) -> dict[str, Any]:
        """Never called in a dry run."""
        raise AssertionError(tool)


def warm_up(engine: Engine, domains: Collection[Domain], max_new_tokens: int) -> None:
    """Decode the beginning of a plan of each domain; check and dry-run a plan of none of them.

    Args:
        engine: decodes.
        domains: those that are served.
        max_new_tokens: budget of a plan.

    Raises:
        BBError: a domain's plans cannot be decoded within the budget, or the disk is full.
    """
    began_s = time.monotonic()
    certify_and_run()
    for domain in domains:
        constraint = keep_to_plans(engine.tokenizer, domain, max_new_tokens)
        with engine.submit(format_prompt("hello"), Sampling(max_new_tokens), constraint) as begun:
            next(iter(begun), None)
    seconds = round(time.monotonic() - began_s, 3)
    names = [domain.name for domain in domains]
    logger.info("warmed up", extra={"data": {"seconds": seconds, "domains": names}})


def certify_and_run() -> None:
    """Check a plan and dry-run it, with a log of its own."""
    domain, plan = make_domain(parse_schema(_SCHEMA)), parse_plan(_PLAN)
    certificate = check_plan(domain, plan)
    with (
        tempfile.TemporaryDirectory(prefix="bb-warm-up-") as folder,
        Ledger(Path(folder) / "plans.ledger") as ledger,
    ):
        execute(domain, plan, certificate, _NoTools(), ledger, dry_run=True)
