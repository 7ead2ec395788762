"""The channel that a request names: `"channel": "post"`, and `"domain"` where several are served.

The domain's plan schema says what a channel does (`bb_runtime.channels`), not the request. Each
choice of the answer says what became of it:

    "channel": {"domain": "social", "name": "post", "mode": "soft", "in_grammar": true,
                "energy_nats": 3.2, "distance": 0}

`in_grammar`, `energy_nats` and `distance` are those of `bb_runtime.soft`; a hard channel has the
first only, and one that is off none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bb_domains.domain import Domain
from bb_domains.profile.channels import channel, channel_names
from bb_domains.schema import PLAN_CHANNEL
from bb_runtime.channels import keep_to_channel
from bb_runtime.engine import Constraint, Energy, Engine, Reason
from bb_runtime.http.bodies import Asking, ChatBody
from bb_runtime.http.keys import Key, check_domain
from bb_runtime.http.planning import Planner
from bb_runtime.http.refusal import HttpError


@dataclass(frozen=True)
class ChannelUse:
    """A channel that a request may use.

    Attributes:
        domain: whose.
        name: of the channel.
        mode: how strictly its grammar holds.
    """

    domain: Domain
    name: str
    mode: Literal["hard", "soft", "off"]

    def told(self, reason: Reason, energy: Energy | None) -> dict[str, Any]:
        """What a choice that has ended says of it."""
        found: dict[str, Any] = {
            "domain": self.domain.name, "name": self.name, "mode": self.mode,
        }  # fmt: skip
        if self.mode == "hard":
            found["in_grammar"] = reason == "stop"
        if energy is not None:
            nats = energy.nats if math.isfinite(energy.nats) else None
            found |= {"in_grammar": energy.in_grammar, "energy_nats": nats}
            found["distance"] = energy.distance
        return {"channel": found}


class Channels:
    """The channels of the domains that are served, their grammars compiled once, at the start.

    Args:
        engine: decodes.
        planner: whose domains are served; None for none.

    Raises:
        BBError: the grammar of a channel is missing or refused.
    """

    def __init__(self, engine: Engine, planner: Planner | None) -> None:
        self._engine, self._planner = engine, planner
        domains: Mapping[str, Domain] = {} if planner is None else planner.domains
        self._compiled = {
            (domain.name, name): keep_to_channel(engine.tokenizer, domain, name, 0, engine.end_ids)
            for domain in domains.values()
            for name in channel_names(domain)
            if name != PLAN_CHANNEL
        }

    def find(self, body: Asking, key: Key) -> ChannelUse | None:
        """The channel of a request; None if it names none.

        Raises:
            HttpError: there is none of this name, the key has no right to its domain, or the
                request has a constraint of its own beside it.
        """
        if body.channel is None:
            return None
        if self._planner is None:
            raise HttpError(
                400, "no domain is served here", where="channel",
                fix="start the server with --domain, or leave it out",
            )  # fmt: skip
        domain = self._planner.find(body.domain)
        check_domain(key, domain.name, run=False)
        known = channel_names(domain)
        if body.channel not in known:
            raise HttpError(
                400, f"domain {domain.name} has no channel {body.channel!r}", where="channel",
                fix=f"use {', '.join(known)}",
            )  # fmt: skip
        use = ChannelUse(domain, body.channel, channel(domain, body.channel).mode)
        if use.mode != "off":
            _check_alone(body, use)
        return use

    def constraint(self, use: ChannelUse, max_new_tokens: int) -> Constraint | None:
        """What a text of the channel keeps to.

        Raises:
            MaskError: the budget is too small for any plan.
        """
        if use.name == PLAN_CHANNEL:
            return keep_to_channel(self._engine.tokenizer, use.domain, use.name, max_new_tokens)
        return self._compiled[use.domain.name, use.name]


def _check_alone(body: Asking, use: ChannelUse) -> None:
    """Refuse what would constrain or cut a text that keeps to its channel's grammar."""
    beside = {
        "response_format": body.is_constrained and body.response_format is not None,
        "structured_outputs": body.structured_outputs is not None,
        "tools": isinstance(body, ChatBody) and body.may_call,
        "stop": bool(body.stops),
    }
    for name, is_given in beside.items():
        if is_given:
            raise HttpError(
                400, f"{name} cannot be combined with channel {use.name}, whose grammar is "
                f"{use.mode}", where=name, fix="leave one of them out",
            )  # fmt: skip
