"""Golden tests of a domain: what it means, and plans with their verdicts, in files beside it.

    golden/meaning.json   `fingerprints.meaning`: what every tool asks for and does
    golden/plans.json     [{"name", "plan", "verdict"}]: verdicts as `verdicts.judge` gives them,
                          of which whether it is accepted and which step is at fault are compared

Whoever edits the schema or the grammar so that anything means something else fails them, with the
place; `write_golden` renews the files, and the difference is there to be read in review.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_core.files import read_json, write_atomic
from bb_core.plan import Plan, Step, plan_text, rename_steps
from bb_domains.domain import Domain
from bb_domains.fingerprints import meaning
from bb_domains.kit import has_simulator, make_requests, make_simulator
from bb_domains.simulation import SPLITS, Outcome, Request, try_plan
from bb_domains.verdicts import judge

FOLDER = "golden"
MEANING_FILE = "meaning.json"
PLANS_FILE = "plans.json"

N_REQUESTS = 20
"""Requests of each split that are tried in the simulator."""


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be: the place, what was expected, what was found."""

    where: str
    what: str


def check_golden(domain: Domain, folder: Path) -> list[Fault]:
    """What is not as the golden files say.

    Raises:
        BBError: a file is missing or of another shape; `write_golden` makes them.
    """
    said = _read(folder / MEANING_FILE, dict)
    plans = _read(folder / PLANS_FILE, list)
    faults = [
        Fault(f"{MEANING_FILE}: {at}", what) for at, what in _differences(said, meaning(domain))
    ]
    for number, item in enumerate(plans):
        if not isinstance(item, Mapping) or not {"name", "plan", "verdict"} <= set(item):
            where = f"{folder / PLANS_FILE}: {number}"
            raise BBError("is no golden plan", where=where, fix="give it name, plan and verdict")
        found = judge(domain, _text(item["plan"])).as_record()
        if _compared(found) != _compared(item["verdict"]):
            what = f"expected {json.dumps(item['verdict'])}, found {json.dumps(found)}"
            faults.append(Fault(f"{PLANS_FILE}: {item['name']}", what))
    return faults


def write_golden(domain: Domain, folder: Path, seed: int = 0) -> int:
    """Write the golden files anew; plans that are there stay, with the verdicts of today.

    Without plans, the first requests of the domain's simulator and what they become when a step is
    lost, doubled or comes too early are taken.

    Returns:
        How many plans there are.

    Raises:
        BBError: the files that are there cannot be read, or written.
    """
    place = folder / PLANS_FILE
    kept = _read(place, list) if place.exists() else []
    named = kept or [{"name": n, "plan": json.loads(t)} for n, t in _made_plans(domain, seed)]
    plans = [{**item, "verdict": judge(domain, _text(item["plan"])).as_record()} for item in named]
    folder.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(item, ensure_ascii=True) for item in plans)
    write_atomic(place, f"[\n{lines}\n]\n" if plans else "[]\n")
    write_atomic(folder / MEANING_FILE, json.dumps(meaning(domain), indent=1) + "\n")
    return len(plans)


def check_simulator(domain: Domain, n: int = N_REQUESTS, seed: int = 0) -> list[Fault]:
    """Try requests of every split: their plans are accepted, granted, harmless, and repeatable."""
    if not has_simulator(domain):
        return []
    faults: list[Fault] = []
    made: dict[str, list[Request]] = {}
    for split in SPLITS:
        made[split] = list(make_requests(domain, split, n, seed))
        again = list(make_requests(domain, split, n, seed))
        if made[split] != again:
            faults.append(Fault(f"requests: {split}", "the same seed makes other requests"))
        if len({request.id for request in made[split]}) < len(made[split]):
            faults.append(Fault(f"requests: {split}", "two requests have one id"))
        for request in made[split]:
            faults += [Fault(f"request {request.id}", what) for what in _tried(domain, request)]
    return faults + [Fault("requests", what) for what in _shared(made)]


def _tried(domain: Domain, request: Request) -> Iterator[str]:
    verdict = judge(domain, plan_text(request.plan))
    if not verdict.accepted:
        yield f"its plan is refused: step {verdict.step}: {verdict.rule}"
        return
    world = make_simulator(domain, request)
    twin, before = world.copy(), world.state()
    outcome = try_plan(world, request.plan)
    if not outcome.done:
        failed = outcome.steps[-1]
        yield f"{failed.tool} is refused: {failed.result}"
    for name, count in outcome.incidents.items():
        if count:
            yield f"its own plan causes {count} {name}"
    if twin.state() != before:
        yield "a copy of its world changes with it"
    elif _told(try_plan(twin, request.plan)) != _told(outcome) or twin.state() != world.state():
        yield "a copy of its world answers otherwise"


def _told(outcome: Outcome) -> list[Any]:
    return [(step.tool, step.args, step.result, step.ok) for step in outcome.steps]


def _shared(made: Mapping[str, list[Request]]) -> Iterator[str]:
    """What a split holds out and training has."""
    seen = made["train"] + made["dev"]
    for split, name in (
        ("unseen_wordings", "skin"),
        ("unseen_layouts", "layout"),
        ("unseen_policies", "policy"),
    ):
        kept = {getattr(request, name) for request in made[split]} - {""}
        common = kept & {getattr(request, name) for request in seen}
        if common:
            yield f"{split} has the {name} {min(common)} that training has"


def _made_plans(domain: Domain, seed: int) -> Iterator[tuple[str, str]]:
    if not has_simulator(domain):
        return
    for split in SPLITS:
        for request in make_requests(domain, split, 2, seed):
            yield request.id, plan_text(request.plan)
    (request,) = make_requests(domain, "train", 1, seed + 1)
    for name, plan in _spoilt(request.plan):
        yield f"{request.id} {name}", plan_text(plan)


def _spoilt(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """A plan with each step lost, with the last one doubled, and backwards."""
    steps = plan.steps
    for i in range(len(steps)):
        yield f"without step {i + 1}", _renamed((*steps[:i], *steps[i + 1 :]))
    yield "last step doubled", _renamed((*steps, replace(steps[-1], id="again")))
    yield "backwards", _renamed(steps[::-1])
    yield "empty", Plan(())


def _renamed(steps: tuple[Step, ...]) -> Plan:
    """The steps under canonical names; a reference to what is gone stays."""
    return rename_steps(Plan(steps))


def _compared(verdict: Mapping[str, Any]) -> tuple[Any, Any]:
    """What of a verdict is compared; its rule is there for the reader."""
    return verdict.get("accepted"), verdict.get("step")


def _text(plan: Any) -> str:
    return plan if isinstance(plan, str) else json.dumps(plan)


def _read(path: Path, kind: type) -> Any:
    if not path.exists():
        raise BBError("there is none yet", where=str(path), fix="bb domain test --write")
    value = read_json(path)
    if not isinstance(value, kind):
        raise BBError(f"is no {kind.__name__}", where=str(path), fix="bb domain test --write")
    return value


def _differences(said: Any, found: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Where two JSON values differ, as deep as can be told."""
    if isinstance(said, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys((*said, *found)):
            place = f"{at}.{key}" if at else str(key)
            if key not in said:
                yield place, f"is new: {json.dumps(found[key])[:200]}"
            elif key not in found:
                yield place, f"is gone: {json.dumps(said[key])[:200]}"
            else:
                yield from _differences(said[key], found[key], place)
    elif said != found:
        yield at, f"was {json.dumps(said)[:300]}, is {json.dumps(found)[:300]}"
