"""Certified plans on a robot behind a rosbridge server: executor, guards, adapters, chain."""

from __future__ import annotations

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
from bb_domains.simulation import try_plan
from bb_domains.tools import ToolFailed
from bb_runtime.check import check_plan
from bb_runtime.execute import Execution, execute
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
