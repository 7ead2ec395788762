"""How a machine was run, as a JSON record: its settings and its compiled world.

With the image from which a run began and the log that it wrote, the record is all that it takes to
play the run again.

Source: DESIGN 7 (records are canonical JSON).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Checked

from bem_kernel.errors import RunnerError
from bem_kernel.experts.place import Field
from bem_kernel.experts.table import ExpertTable
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.learning import Estimator, Learning
from bem_kernel.runner.observation import NumberTap, Over, SignTap, StateTap, Tap
from bem_kernel.runner.query import QueryRule, Rule
from bem_kernel.runner.reward import FieldReward, LaneReward, RewardTerm
from bem_kernel.runner.world import CompiledWorld

FORMAT = "bem-run-1"

_Int = Annotated[int, Checked(strict=True)]
_Natural = Annotated[int, Checked(strict=True, ge=0)]
_Term = tuple[_Natural, _Natural, _Int]
"""Offset and width of a field of M, and its stride."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _StateTap(_Record):
    bit: _Natural
    over: Literal["lane", "any", "all"] = "lane"

    def tap(self) -> Tap:
        return StateTap(self.bit, Over[self.over.upper()])


class _NumberTap(_Record):
    terms: list[_Term]
    width: _Natural
    constant: _Int = 0
    shift: _Natural = 0

    def tap(self) -> Tap:
        return NumberTap(_terms(self.terms), self.width, self.constant, self.shift)


class _SignTap(_Record):
    terms: list[_Term]
    constant: _Int = 0

    def tap(self) -> Tap:
        return SignTap(_terms(self.terms), self.constant)


class _Query(_Record):
    rule: Literal["hash", "near"] = "hash"
    shard: _Int = 0
    key: _Natural = 0


class _Learning(_Record):
    eta_q16: _Natural = Learning.eta_q16
    estimator: Estimator = Learning.estimator
    every: _Natural = Learning.every


class _LaneReward(_Record):
    bit: _Natural
    weight: _Int = 1

    def term(self) -> RewardTerm:
        return LaneReward(self.bit, self.weight)


class _FieldReward(_Record):
    field: tuple[_Natural, _Natural]
    weight: _Int = 1

    def term(self) -> RewardTerm:
        return FieldReward(Field(*self.field), self.weight)


class _World(_Record):
    rewards: list[_LaneReward | _FieldReward]
    noise: list[_Natural] = []
    expert: str | None = None


class _Run(_Record):
    format: Literal["bem-run-1"]
    world: _World
    observation: list[_StateTap | _NumberTap | _SignTap] = []
    query: _Query = _Query()
    candidates: _Natural = RunnerConfig.candidates
    each_lane: Annotated[bool, Checked(strict=True)] = False
    learning: _Learning = _Learning()
    trace_rows: _Natural = RunnerConfig.trace_rows
    key: _Natural = 0


@dataclass(frozen=True)
class RunSettings:
    """How a machine was run.

    Attributes:
        config: its settings.
        world: what it acted in.
    """

    config: RunnerConfig
    world: CompiledWorld


def run_from_record(record: object, table: ExpertTable, where: str = "run record") -> RunSettings:
    """Read how a machine was run.

    Args:
        record: JSON values from anywhere; what is left out is as in `RunnerConfig`.
        table: where the world's expert is looked up by name.
        where: the file, for messages.

    Raises:
        RunnerError: the record has another shape (the message names the field), or a setting is
            out of range.
        ExpertError: no expert has the name.
    """
    try:
        read = _Run.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the record"
        raise RunnerError(
            f"{place}: {first['msg']}", where=where, fix=f"write a record of format {FORMAT}"
        ) from error
    learning, query, world = read.learning, read.query, read.world
    config = RunnerConfig(
        tuple(each.tap() for each in read.observation),
        QueryRule(Rule[query.rule.upper()], query.shard, query.key),
        read.candidates,
        read.each_lane,
        Learning(learning.eta_q16, learning.estimator, learning.every),
        read.trace_rows,
        read.key,
    )
    expert = None if world.expert is None else table.find(world.expert)
    rewards = tuple(each.term() for each in world.rewards)
    return RunSettings(config, CompiledWorld(rewards, tuple(world.noise), expert))


def run_record(settings: RunSettings, table: ExpertTable) -> dict[str, Any]:
    """Inverse of `run_from_record`; the world's expert is named.

    Raises:
        IdentifierError: the world's expert is not in the table.
    """
    config, world = settings.config, settings.world
    query, learning = config.query, config.learning
    return {
        "format": FORMAT,
        "world": {
            "rewards": [_reward_record(term) for term in world.rewards],
            "noise": list(world.noise),
            "expert": None if world.expert is None else table.expert(world.expert).name,
        },
        "observation": [_tap_record(tap) for tap in config.observation],
        "query": {"rule": query.rule.name.lower(), "shard": query.shard, "key": query.key},
        "candidates": config.candidates,
        "each_lane": config.each_lane,
        "learning": {
            "eta_q16": learning.eta_q16,
            "estimator": learning.estimator,
            "every": learning.every,
        },
        "trace_rows": config.trace_rows,
        "key": config.key,
    }


def _reward_record(term: RewardTerm) -> dict[str, Any]:
    if isinstance(term, LaneReward):
        return {"bit": term.bit, "weight": term.weight}
    return {"field": [term.field.offset, term.field.width], "weight": term.weight}


def _tap_record(tap: Tap) -> dict[str, Any]:
    if isinstance(tap, StateTap):
        return {"bit": tap.bit, "over": tap.over.name.lower()}
    terms = [[field.offset, field.width, stride] for field, stride in tap.terms]
    if isinstance(tap, SignTap):
        return {"terms": terms, "constant": tap.constant}
    return {"terms": terms, "width": tap.width, "constant": tap.constant, "shift": tap.shift}


def _terms(terms: list[_Term]) -> tuple[tuple[Field, int], ...]:
    return tuple((Field(offset, width), stride) for offset, width, stride in terms)
