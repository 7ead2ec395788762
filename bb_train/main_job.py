"""The main job: from a running service to an answered request, in eight steps.

    1 service   2 domain   3 traces   4 builder rail   5 comparison   6 gate   7 a request   8 map

Steps 3 to 6 are remembered in the workspace and reused while their inputs are equal; the service
starts and the request is answered anew each time.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bb_core.files import directory_atomic, write_atomic
from bb_core.progress import track
from bb_core.trace import Trace, save_traces
from bb_core.workspace import Workspace
from bb_domains.api_json.demo import Demo
from bb_domains.api_json.traces import TraceMaker
from bb_domains.domain import Domain, load_domain, make_domain
from bb_domains.schema import schema_yaml
from bb_train.answer import answer_request, unseen_request
from bb_train.evaluate import SPLITS, DecodeBudget
from bb_train.job import Job
from bb_train.promotion import Candidate, Verdict, decide
from bb_train.report import Row, Training, draw, results_table, rows_of, to_json, trainings_table
from bb_train.service import connected, credentials_file, database, live_service
from bb_train.steps import StepBook, announced, code_fingerprint
from bb_train.study import (
    Model,
    Study,
    compare,
    domain_meaning,
    trained,
    training_config,
    training_of,
)

Say = Callable[[str], None]

_STEPS = 8
_EVAL_STEPS = 4
_TRACE_CODE = ("bb_domains", "bb_core.trace", "bb_core.plan")


@dataclass(frozen=True)
class Place:
    """Where a job runs.

    Attributes:
        work: workspace.
        job: what to do.
        model: the base.
        book: remembers finished steps.
    """

    work: Workspace
    job: Job
    model: Model
    book: StepBook

    @property
    def domain(self) -> Path:
        """Folder of the imported domain."""
        return self.work.domains / self.job.domain

    @property
    def report(self) -> Path:
        """Folder of the table and the pictures."""
        return self.work.runs / "report"

    @property
    def budget(self) -> DecodeBudget:
        """How answers are decoded."""
        return DecodeBudget(**self.job.decode.model_dump())

    def study(self) -> Study:
        """What trainings and evaluations share."""
        train = self.job.train
        return Study(
            work=self.work,
            domain=str(self.domain),
            traces=self.work.traces,
            configs={"rail": train.rail, "lora": train.lora},
            model=self.model,
            budget=self.budget,
            processes=train.processes,
            book=self.book,
        )


def run_main_job(place: Place) -> dict[str, Any]:
    """Do the eight steps.

    Returns:
        A summary as JSON values: folders, the table's rows, the gate's verdict, the answer.

    Raises:
        BBError: a step was refused or failed; finished steps are remembered.
    """
    with prepared(place, _STEPS) as demo:
        domain, study = load_domain(place.domain), place.study()
        rail = _train(place, study)
        rows, trainings = _compare(place, study)
        verdict = _decide(place, domain, demo, rail)
        with announced(7, _STEPS, "answer one request that nobody trained on") as say:
            wanted = unseen_request(demo, place.job.question_seed)
            rail_parts = (verdict.folder, place.model, place.budget)
            answer = answer_request(place.work, domain, demo, rail_parts, wanted, say)
    summary = {
        "work": str(place.work.root),
        "rail": str(rail),
        "evaluation": to_json(rows, trainings),
        "gate": verdict.summary(),
        "answer": answer.summary(),
    }
    write_atomic(place.report / "summary.json", json.dumps(summary, indent=1))
    _say_where(place, verdict)
    return summary


@contextmanager
def prepared(place: Place, of: int) -> Iterator[Demo]:
    """Steps 1 to 3: the service runs while the context lasts; domain and traces are on disk."""
    service = place.job.service
    with ExitStack() as stack:
        with announced(1, of, "start the demonstration service") as say:
            live = live_service(place.work, seed=service.seed, port=service.port)
            base_url = stack.enter_context(live)
            say(f"{base_url}, database {database(place.work)}")
        with announced(2, of, "import its OpenAPI document as a domain") as say:
            demo = stack.enter_context(connected(place.work, base_url))
            domain = _write_domain(place, demo)
            say(f"{len(domain.schema.tools)} tools, {len(domain.schema.fluents)} fluents")
            say(f"{place.domain}: plan_schema.yaml, grammar.lark")
        with announced(3, of, "make traces by driving the service over HTTP") as say:
            _make_traces(place, demo, domain, say)
        yield demo


def _write_domain(place: Place, demo: Demo) -> Domain:
    domain = make_domain(demo.schema)
    with directory_atomic(place.domain) as folder:
        write_atomic(folder / "plan_schema.yaml", schema_yaml(demo.schema))
        write_atomic(folder / "grammar.lark", domain.grammar)
    return load_domain(place.domain)


def _make_traces(place: Place, demo: Demo, domain: Domain, say: Say) -> None:
    job = place.job.traces
    inputs = {
        "traces": job.model_dump(),
        "service": place.job.service.seed,
        "domain": domain_meaning(domain),
        "code": code_fingerprint(*_TRACE_CODE),
    }

    def make() -> dict[str, Any]:
        maker = TraceMaker(demo.adapters, demo.auditor, job.seed)
        folder = place.work.traces
        dev = _record(maker, "dev", job.tuning + job.evaluation)
        parts = {
            "train": _record(maker, "train", job.train),
            "tuning": dev[: job.tuning],
            "seen": dev[job.tuning :],
            "unseen_wordings": _record(maker, "unseen_wordings", job.evaluation),
            "unseen_compositions": _record(maker, "unseen_compositions", job.evaluation),
        }
        for name, traces in parts.items():
            save_traces(folder / f"{name}.jsonl", traces)
        sizes = {name: len(traces) for name, traces in parts.items()}
        return {"sizes": sizes, "files": [str(folder / f"{name}.jsonl") for name in parts]}

    result = place.book.result("traces", inputs, make)
    sizes = ", ".join(f"{name} {result['sizes'][name]}" for name in ("train", "tuning", *SPLITS))
    say(f"{'reused' if result['reused'] else 'made'}: {sizes}")


def _record(maker: TraceMaker, split: str, n: int) -> list[Trace]:
    return list(track(maker.make(split, n), f"traces {split}", n))


def _train(place: Place, study: Study) -> Path:
    with announced(4, _STEPS, "train the builder rail beside the frozen base rail") as say:
        run, reused = trained(study, training_config(study, "rail", place.job.train.seed, []))
        cost = training_of(run)
        say(f"{'reused' if reused else 'trained'}: {run}")
        say(
            f"{cost.trainable_parameters:,} parameters and program bits, {cost.steps} steps, "
            f"{cost.seconds:.0f} s"
        )
    return run


def _compare(place: Place, study: Study) -> tuple[list[Row], list[Training]]:
    title = "compare base, LoRA and dual rail, with and without the same masks"
    with announced(5, _STEPS, title) as say:
        cells, trainings = compare(study, [place.job.train.seed], ("base", "lora", "rail"), say)
        rows = rows_of(cells)
        show_results(rows, trainings, place.report, say)
    return rows, trainings


def compare_seeds(place: Place, n_seeds: int, methods: Sequence[str]) -> dict[str, Any]:
    """What `bb eval` does: the comparison of step 5 over several training seeds."""
    with prepared(place, _EVAL_STEPS):
        pass
    first = place.job.train.seed
    with announced(4, _EVAL_STEPS, f"train and score over {n_seeds} seeds") as say:
        seeds = range(first, first + n_seeds)
        cells, trainings = compare(place.study(), seeds, methods, say)
        rows = rows_of(cells)
        show_results(rows, trainings, place.work.runs / f"report-{n_seeds}-seeds", say)
    return to_json(rows, trainings)


def show_results(
    rows: Sequence[Row], trainings: Sequence[Training], folder: Path, say: Say
) -> None:
    """Print the tables and write them as JSON and as a picture."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(results_table(rows))
    console.print(trainings_table(trainings))
    write_atomic(folder / "evaluation.json", json.dumps(to_json(rows, trainings), indent=1))
    draw(rows, folder / "evaluation.png")
    say(f"table as JSON: {folder / 'evaluation.json'}")
    say(f"picture: {folder / 'evaluation.png'}")


def _decide(place: Place, domain: Domain, demo: Demo, rail: Path) -> Verdict:
    with announced(6, _STEPS, "take the rail through the promotion gate") as say:
        candidate = Candidate(rail, place.model, domain, place.budget)
        gate = place.job.gate
        return decide(place.work, candidate, demo, (gate.policy, gate.requests), say)


def _say_where(place: Place, verdict: Verdict) -> None:
    work = place.work
    with announced(8, _STEPS, "where everything is, and what to type next") as say:
        say(f"rail ({verdict.alias})   {verdict.folder}")
        say(f"domain              {place.domain}")
        say(f"table and pictures  {place.report}")
        say(f"logs                {work.logs}")
        say(f"credentials         {credentials_file(work)}")
        at = f"--work {work.root}"
        say("next:")
        bb, seal = _typed("bb"), _typed("seal")
        say(f"  {bb} demo serve {at}        # the service, for as long as you like")
        model = f"--domain {place.domain} --model {verdict.folder}"
        say(f"  {bb} generate 'Track order 1042.' {model}")
        say(f"  {bb} serve {model}")
        say(f"  {seal} generate --input README.md --output implications.jsonl")
        say(f"  {bb} eval {at} --seeds 3")


def _typed(program: str) -> str:
    """What a user types to start a program of ours: its name, or its path if it is on no PATH."""
    beside = Path(sys.executable).parent / program
    if shutil.which(program) == str(beside):
        return program
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)
