"""Certified plans on a robot behind a rosbridge server: executor, guards, adapters, chain."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bb_core.plan import Plan, Step
from bb_domains import robots
from bb_domains.domain import Domain, load_domain
from bb_domains.kit import open_adapters
from bb_domains.robots.bridge_server import BridgeServer, serving
from bb_domains.robots.floors import LAYOUTS
from bb_domains.robots.simulated import RobotSimulator
from bb_domains.robots.world import make_world
from bb_domains.simulation import Request, try_plan
from bb_domains.tools import ToolFailed
from bb_runtime.check import check_plan
from bb_runtime.execute import Execution, execute, resume
from bem_kernel.ledger.chain import Ledger, read_entries


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain("robots")


def run(domain: Domain, plan: Plan, robot: RobotSimulator, ledger: Path) -> Execution:
    certificate = check_plan(domain, plan)
    with serving(BridgeServer(robot, domain.schema)) as port:
        where = {"BB_ROBOTS_URL": f"ws://127.0.0.1:{port}"}
        with open_adapters(domain, where) as adapters, Ledger(ledger) as chain:
            return execute(domain, plan, certificate, adapters, chain)


@pytest.mark.parametrize("split", ["train", "unseen_layouts", "unseen_compositions"])
def test_requests_are_carried_out_over_the_bridge(
    domain: Domain, split: str, tmp_path: Path
) -> None:
    for request in robots.requests(split, 2, 1):
        robot = robots.simulator(request)
        ended = run(domain, request.plan, robot, tmp_path / f"{request.id}.ledger")
        assert (ended.status, ended.reason) == ("done", "")
        assert not any(robot.incidents().values())
        alone = robots.simulator(request)
        assert try_plan(alone, request.plan).done
        assert robot.state() == alone.state()


def _forbidden_trip() -> tuple[RobotSimulator, dict[str, Any]]:
    """A world in which the short way to some place goes through a zone."""
    for seed in range(200):
        for layout in LAYOUTS:
            robot = RobotSimulator(make_world(seed, layout, "light_loads"))
            probe = robot.copy()
            probe.call("undock", {})
            for place in robot.world.floor.places:
                asked = {"kind": place.kind, "number": place.number, "way": "short"}
                try:
                    route = probe.call("plan_route", asked)
                except ToolFailed:  # a door is shut
                    continue
                if route["no_go"] and route["charge_after"] >= route["reserve"]:
                    return robot, asked
    raise AssertionError("no such world")


def test_a_guard_stops_the_drive_before_it_begins(domain: Domain, tmp_path: Path) -> None:
    robot, asked = _forbidden_trip()
    plan = Plan(
        (
            Step("a", "undock", {}),
            Step("b", "plan_route", asked),
            Step("c", "drive", {"to": "$b.id", "from": "$a.id", "pace": "slow"}),
            Step("d", "look", {"at": "$b.id"}),
        )
    )
    ledger = tmp_path / "plans.ledger"
    ended = run(domain, plan, robot, ledger)
    assert (ended.status, ended.step) == ("failed", "c")
    assert "to.no_go == false" in ended.reason
    assert robot.incidents()["no_go_entries"] == 0
    called = [entry["tool"] for entry in read_entries(ledger) if entry["event"] == "call"]
    assert called == ["undock", "plan_route"]


class Unlucky:
    """A robot whose answers get lost, or before which the process dies."""

    def __init__(self, robot: RobotSimulator, *, lost: str = "", dies: str = "") -> None:
        self.robot, self.lost, self.dies = robot, lost, dies
        self.done: list[str] = []

    def call(
        self, tool: str, args: Mapping[str, Any], idempotency_key: str | None = None
    ) -> dict[str, Any]:
        if tool == self.dies:
            self.dies = ""
            raise KeyboardInterrupt
        answer = self.robot.call(tool, args, idempotency_key)
        self.done.append(tool)
        if tool == self.lost:
            self.lost = ""
            raise ToolFailed(tool, 0, "the answer got lost")
        return answer


MOVES = ("undock", "drive", "grasp", "stow_arm", "put", "dock", "open_door")


@cache
def _fetch() -> Request:
    found = (r for r in robots.requests("train", 60, 5) if r.label["goals"][-1]["kind"] == "home")
    return next(r for r in found if any(g["kind"] == "fetch" for g in r.label["goals"]))


@pytest.mark.parametrize("lost", MOVES[:-1])
def test_a_lost_answer_is_looked_up(domain: Domain, lost: str, tmp_path: Path) -> None:
    request = _fetch()
    robot = Unlucky(robots.simulator(request), lost=lost)
    with Ledger(tmp_path / "plans.ledger") as chain:
        ended = execute(domain, request.plan, check_plan(domain, request.plan), robot, chain)
    assert (ended.status, ended.reason) == ("done", "")
    tools = [step.tool for step in request.plan.steps]
    for move in MOVES:
        assert robot.done.count(move) == tools.count(move), "nothing moved twice"
    assert not any(robot.robot.incidents().values())


@pytest.mark.parametrize("dies", ["undock", "plan_route", "drive", "grasp", "put", "dock"])
def test_a_run_that_died_goes_on(domain: Domain, dies: str, tmp_path: Path) -> None:
    request = _fetch()
    robot = Unlucky(robots.simulator(request), dies=dies)
    path = tmp_path / "plans.ledger"
    certificate = check_plan(domain, request.plan)
    with Ledger(path) as chain, pytest.raises(KeyboardInterrupt):
        execute(domain, request.plan, certificate, robot, chain)
    with Ledger(path) as chain:
        words = {_open_step(request, dies): False} if dies in MOVES else None
        ended = resume(domain, "", robot, chain, words=words)
    assert (ended.status, ended.reason) == ("done", "")
    tools = [step.tool for step in request.plan.steps]
    for move in MOVES:
        assert robot.done.count(move) == tools.count(move), "nothing moved twice"


def _open_step(request: Request, tool: str) -> str:
    return next(step.id for step in request.plan.steps if step.tool == tool)
