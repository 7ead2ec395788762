"""Requests of the four shipped domains: granted, harmless, apart by split, the same everywhere."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from bb_core.errors import BBError
from bb_core.plan import Plan
from bb_domains import api_json, phone, robots, social
from bb_domains.api_json import layouts as shops
from bb_domains.api_json import planner as shop_planner
from bb_domains.api_json import policies as house_rules
from bb_domains.api_json.skins import skins as shop_skins
from bb_domains.domain import make_domain
from bb_domains.golden import check_simulator
from bb_domains.phone import layouts as looks
from bb_domains.phone import planner as phone_planner
from bb_domains.phone import policies as phone_policies
from bb_domains.phone.skins import skins as phone_skins
from bb_domains.requests import Case, draw_requests, is_training_text
from bb_domains.robots import floors
from bb_domains.robots import planner as robot_planner
from bb_domains.robots import policies as building_rules
from bb_domains.robots.skins import skins as robot_skins
from bb_domains.simulation import SPLITS, Request, record
from bb_domains.social import layouts as organisations
from bb_domains.social import planner as desk_planner
from bb_domains.social import policies as desk_rules
from bb_domains.social.skins import skins as desk_skins
from bb_domains.variants import Compositions, Variants
from bb_domains.wordings import Goal, Skin, value_in_words


@dataclass(frozen=True)
class Shipped:
    """A domain, and what its requests vary in."""

    package: ModuleType
    skins: Variants[Skin]
    layouts: Mapping[str, Any]
    policies: Mapping[str, Any]
    compositions: Compositions


SHIPPED = {
    "api_json": Shipped(
        api_json, shop_skins(), shops.LAYOUTS, house_rules.POLICIES, shop_planner.COMPOSITIONS
    ),
    "robots": Shipped(
        robots, robot_skins(), floors.LAYOUTS, building_rules.POLICIES, robot_planner.WORK_TOGETHER
    ),
    "phone": Shipped(
        phone, phone_skins(), looks.LAYOUTS, phone_policies.POLICIES, phone_planner.COMPOSITIONS
    ),
    "social": Shipped(
        social, desk_skins(), organisations.LAYOUTS, desk_rules.POLICIES, desk_planner.COMPOSITIONS
    ),
}
EACH = pytest.mark.parametrize("name", SHIPPED)

PRINT_DIGEST = """
from importlib import import_module
import hashlib
from bb_domains.simulation import SPLITS
made = [
    repr(list(import_module(f"bb_domains.{name}").requests(split, 2, 3)))
    for name in ("api_json", "robots", "phone", "social") for split in SPLITS
]
print(hashlib.sha256("".join(made).encode()).hexdigest())
"""


@cache
def requests_of(name: str, split: str) -> tuple[Request, ...]:
    return tuple(SHIPPED[name].package.requests(split, 12, 3))


@EACH
def test_plans_are_admissible_and_carried_out_without_incident(name: str) -> None:
    package = SHIPPED[name].package
    domain = make_domain(package.plan_schema(), package=package.__name__)
    assert check_simulator(domain, 8, seed=3) == []


@EACH
@pytest.mark.parametrize("split", SPLITS)
def test_a_split_has_what_it_holds_out_and_nothing_that_others_do(name: str, split: str) -> None:
    shipped, made = SHIPPED[name], requests_of(name, split)
    for request in made:
        kinds = tuple(goal["kind"] for goal in request.label["goals"])
        work = tuple(kind for kind in kinds if kind in shipped.compositions.kinds)
        held_out = {
            "unseen_wordings": shipped.skins[request.skin].held_out,
            "unseen_layouts": shipped.layouts[request.layout].held_out,
            "unseen_policies": shipped.policies[request.policy].held_out,
            "unseen_compositions": shipped.compositions.holds_out(work),
        }
        assert [which for which, is_so in held_out.items() if is_so] == [split] * (
            split in held_out
        )
        assert is_training_text(request.text) == (split == "train"), request.text
    assert len({request.text for request in made}) == len({r.id for r in made}) == len(made)


@EACH
@pytest.mark.parametrize("split", SPLITS)
def test_texts_say_what_the_plan_needs_and_what_the_policy_is(name: str, split: str) -> None:
    shipped = SHIPPED[name]
    for request in requests_of(name, split):
        in_words = {"kind", *shipped.skins[request.skin].words}
        for goal in request.label["goals"]:
            for slot, value in goal.items():
                said = value_in_words(value).lower()
                assert slot in in_words or said in request.text.lower(), (request.text, goal)
        says = getattr(shipped.policies[request.policy], "says", ())
        assert not says or any(request.text.endswith(f" {one}") for one in says)


@EACH
def test_the_first_of_more_are_the_same_and_another_seed_makes_others(name: str) -> None:
    make = SHIPPED[name].package.requests
    assert tuple(make("train", 5, 3)) == requests_of(name, "train")[:5]
    assert tuple(make("train", 5, 4)) != requests_of(name, "train")[:5]


def test_requests_do_not_depend_on_the_process_or_its_hashes() -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PRINT_DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1")
    ]
    here = "".join(
        repr(list(requests_of(name, split)[:2]))
        for name in ("api_json", "robots", "phone", "social")
        for split in SPLITS
    )
    digests = {process.communicate()[0].strip() for process in running}
    assert digests == {hashlib.sha256(here.encode()).hexdigest()}


@EACH
def test_a_trace_says_what_happened(name: str) -> None:
    request = requests_of(name, "train")[0]
    trace = record(name, SHIPPED[name].package.simulator(request), request)
    assert [(step.tool, step.ok) for step in trace.steps] == [
        (step.tool, True) for step in request.plan.steps
    ]
    assert trace.label["policy"] == request.policy
    assert set(trace.label["incidents"].values()) == {0}


@EACH
def test_training_sees_every_kind_first_and_second(name: str) -> None:
    compositions = SHIPPED[name].compositions
    n, held_out = len(compositions.kinds), compositions.held_out
    assert len(set(held_out)) == 2 * n
    assert not set(held_out) & set(compositions.seen)
    assert len(held_out) + len(compositions.seen) == n * n
    for place in (0, 1):
        assert {pair[place] for pair in compositions.seen} == set(compositions.kinds)
        assert {pair[place] for pair in held_out} == set(compositions.kinds)


def test_compositions_are_drawn_in_their_shares() -> None:
    compositions, rng = Compositions(tuple("abcde"), (1, 3), pair_share=0.25), random.Random(0)
    unseen = [compositions.draw("unseen_compositions", rng) for _ in range(1000)]
    assert all(map(compositions.holds_out, unseen))
    assert 0.7 < sum(len(kinds) == 3 for kinds in unseen) / 1000 < 0.8
    seen = [compositions.draw("dev", rng) for _ in range(1000)]
    assert not any(map(compositions.holds_out, seen))
    assert 0.35 < sum(len(kinds) == 1 for kinds in seen) / 1000 < 0.45
    assert {kind for kinds in seen for kind in kinds} == set("abcde")


@dataclass(frozen=True)
class Look:
    """A variant."""

    name: str
    held_out: bool


def test_variants_are_drawn_by_split_and_by_name() -> None:
    looks = Variants("layout", [Look("a", False), Look("b", False), Look("c", True)])
    assert [one.name for one in looks.of("train")] == ["a", "b"]
    assert [one.name for one in looks.of("unseen_policies")] == ["a", "b"]
    assert [one.name for one in looks.of("unseen_layouts")] == ["c"]
    rng = random.Random(0)
    assert {looks.draw("unseen_layouts", rng, first=1.0).name for _ in range(9)} == {"c"}
    assert {looks.draw("train", rng, first=1.0).name for _ in range(9)} == {"a"}
    assert {looks.draw("train", rng, first=0.0).name for _ in range(9)} == {"b"}
    assert {looks.draw("train", rng).name for _ in range(9)} == {"a", "b"}
    with pytest.raises(BBError, match="no layout 'd'; use one of a, b, c"):
        looks["d"]


def test_running_out_of_requests_is_said() -> None:
    skin = Skin(name="dull", held_out=False, goals={"look": ("Look.",)})

    def draw(rng: random.Random) -> Iterator[Case]:
        yield Case(skin, (Goal("look", {}),), Plan(()), 0, "", "")

    split = "train" if is_training_text("Look.") else "dev"
    (request,) = draw_requests(draw, split, 1, 0)
    assert (request.text, request.id) == ("Look.", f"{split}-0-0")
    with pytest.raises(BBError, match=f"requests: {split}: no new request found; ask for fewer"):
        list(draw_requests(draw, split, 2, 0))
    with pytest.raises(BBError, match="no new request found"):
        list(draw_requests(draw, "dev" if split == "train" else "train", 1, 0))
