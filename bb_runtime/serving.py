"""Answering plan requests over HTTP, and running the server."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import typer
import uvicorn

from bb_core.errors import BBError
from bb_core.plan import parse_plan
from bb_core.prompt import format_prompt
from bb_domains.domain import Domain, load_domain
from bb_domains.kit import open_adapters
from bb_runtime.bodies import PlanBody
from bb_runtime.check import check_plan
from bb_runtime.constraints import keep_to_plans
from bb_runtime.draw import draw_terminal
from bb_runtime.engine import Engine, Sampling
from bb_runtime.execute import execute
from bb_runtime.run_plan import as_data
from bb_runtime.server import PlanAnswer, ServerLimits, create_app
from bem_kernel.ledger.chain import Ledger


def plan_answers(engine: Engine, domain: Domain, log: Path | None) -> PlanAnswer:
    """What answers /v1/plans.

    Args:
        engine: decodes.
        domain: whose plans.
        log: the chain of executions; None where plans may not be run.
    """
    running = threading.Lock()

    def answer(body: PlanBody, budget: int) -> dict[str, Any]:
        if (body.run or body.dry_run) and log is None:
            raise BBError(
                "this server does not run plans", where="run", fix="start it with --allow-run"
            )
        sampling = Sampling(budget, temperature=body.temperature, seed=body.seed)
        constraint = keep_to_plans(engine.tokenizer, domain, budget)
        (decoded,) = engine.complete(format_prompt(body.request), sampling, constraint)
        certificate = check_plan(domain, decoded.text)
        plan = parse_plan(decoded.text)
        found: dict[str, Any] = {
            "domain": domain.name,
            "text": decoded.text,
            "tokens": decoded.completion_tokens,
            "plan_hash": certificate.plan_hash,
            "drawing": draw_terminal(plan),
        }
        if (body.run or body.dry_run) and log is not None:
            with running, Ledger(log) as ledger, open_adapters(domain) as adapters:
                done = execute(domain, plan, certificate, adapters, ledger, dry_run=body.dry_run)
            found["execution"] = as_data(done, plan)
        return found

    return answer


def serve_engine(
    engine: Engine,
    domain: str | None,
    address: tuple[str, int],
    *,
    max_new_tokens: int,
    log: Path | None,
) -> None:
    """Serve until interrupted.

    Args:
        engine: the model.
        domain: name or folder of the domain of /v1/plans; None for no plans.
        address: host and port.
        max_new_tokens: largest budget of an answer.
        log: the chain of executions; None where plans may not be run.

    Raises:
        BBError: the domain is broken, or the address is taken.
    """
    host, port = address
    limits = ServerLimits(max_new_tokens=max_new_tokens, hosts=_answered_hosts(host))
    answers = plan_answers(engine, load_domain(domain), log) if domain else None
    config = uvicorn.Config(create_app(engine, limits, answers), log_level="warning")
    with _listen(host, port) as listening:
        shown = listening.getsockname()
        typer.echo(f"{engine.name} on http://{shown[0]}:{shown[1]}", err=True)
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BBError(
            f"cannot listen there: {error.strerror}",
            where=f"{host}:{port}",
            fix="choose another --host or --port",
        ) from error


def _answered_hosts(host: str) -> tuple[str, ...]:
    """Names a request may use; on all addresses, any."""
    return ("*",) if host in ("0.0.0.0", "::") else (host, "127.0.0.1", "localhost")  # noqa: S104
