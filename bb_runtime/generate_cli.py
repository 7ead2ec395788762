"""Answer a request with a plan, and run it if asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption, WorkOption
from bb_core.workspace import DEFAULT_ROOT
from bb_runtime.options import (
    DEFAULT_BUDGET,
    DEFAULT_DOMAIN,
    BaseOption,
    BudgetOption,
    DeviceOption,
    DomainOption,
    DtypeOption,
    ModelOption,
    SeedOption,
)

if TYPE_CHECKING:
    from bb_domains.domain import Domain
    from bb_runtime.decode import Decoded
    from bb_runtime.engine import Engine
    from bb_runtime.fallback import Proposer

app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def generate(
    request: Annotated[str, typer.Argument(help="What is asked for, in plain words.")],
    domain: DomainOption = DEFAULT_DOMAIN,
    model: ModelOption = None,
    base: BaseOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    max_new_tokens: BudgetOption = DEFAULT_BUDGET,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    seed: SeedOption = 0,
    run: Annotated[bool, typer.Option("--run", help="Run the plan once it is checked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run without calling tools.")] = False,
    log: Annotated[Path | None, typer.Option(help="Log of the run.")] = None,
    work: WorkOption = DEFAULT_ROOT,
    json_output: JsonOption = False,
) -> None:
    """Decode a plan under the masks, draw it, check it, and with --run carry it out.

    Where a rule stops the rail's plan before anything stands, the base plans instead.

    Example: bb generate "Where is order 1042?" --model bb-work/runs/rail/model
    """
    from bb_domains.domain import load_domain
    from bb_runtime.fallback import propose
    from bb_runtime.load import ModelSource, load_engine

    loaded = load_domain(domain)
    engine = load_engine(ModelSource(model, base, device, dtype))
    budget = Budget(max_new_tokens, temperature, seed)
    found: list[Decoded] = []
    proposers = _proposers(engine, request, loaded, budget, found)
    if run or dry_run:
        from bb_runtime.plan_cli import log_path
        from bb_runtime.run_plan import fulfil_and_report

        done = fulfil_and_report(
            loaded,
            proposers,
            log_path(log, work),
            on_plan=None if json_output else lambda _: _draw(found[-1]),
            dry_run=dry_run,
            as_json=json_output,
        )
        raise typer.Exit(0 if done.status == "done" else 1)
    propose(loaded, proposers)
    if json_output:
        _print_json(loaded, found[-1])
    else:
        _draw(found[-1])


@dataclass(frozen=True)
class Budget:
    """How a plan is decoded: most tokens, temperature (0 is greedy), seed."""

    max_new_tokens: int
    temperature: float
    seed: int


def _proposers(
    engine: Engine, request: str, domain: Domain, budget: Budget, found: list[Decoded]
) -> list[Proposer]:
    """The rail, and after it the base it stands beside; what they decode goes to `found`."""
    from bb_runtime.decode import decode_plans
    from bb_runtime.fallback import Proposer

    def decode(model: Any) -> str:
        (decoded,) = decode_plans(
            model,
            engine.tokenizer,
            [request],
            domain,
            max_new_tokens=budget.max_new_tokens,
            temperature=budget.temperature,
            seed=budget.seed,
        )
        found.append(decoded)
        return decoded.text

    from bb_nn.rail import DualRailForCausalLM

    first = Proposer(engine.name, lambda: decode(engine.model))
    if not isinstance(engine.model, DualRailForCausalLM):
        return [first]
    return [first, Proposer("base", lambda: decode(engine.model.base))]


def _draw(decoded: Decoded) -> None:
    """The drawing and the text on stdout; the speed on stderr."""
    import shutil

    from bb_core.plan import parse_plan
    from bb_runtime.draw import draw_terminal

    width = shutil.get_terminal_size((100, 24)).columns
    typer.echo(draw_terminal(parse_plan(decoded.text), width=width))
    typer.echo(decoded.text)
    speed = decoded.tokens / decoded.seconds if decoded.seconds else 0.0
    typer.echo(f"{decoded.tokens} tokens in {decoded.seconds:.2f} s, {speed:.0f}/s", err=True)


def _print_json(domain: Domain, decoded: Decoded) -> None:
    import json

    figures = {"tokens": decoded.tokens, "seconds": round(decoded.seconds, 4)}
    typer.echo(json.dumps({"domain": domain.name, **json.loads(decoded.text), **figures}))
