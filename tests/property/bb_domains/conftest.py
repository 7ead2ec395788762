"""The small domain, random texts of rules, and a byte tokenizer to walk llguidance with."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bb_core.plan import Step, step_id
from bb_domains.calls import PLAN_CLOSE, PLAN_OPEN
from bb_domains.compiler import PlanMachine, PlanState
from bb_domains.domain import Domain, load_domain
from bb_domains.grammar import step_grammar

SHOP = Path(__file__).parents[2] / "golden" / "bb_domains" / "shop"
EOS = 256


class Bytes:
    """A tokenizer of single bytes, as llguidance wants it."""

    eos_token_id = EOS
    bos_token_id = None
    tokens = (*(bytes([i]) for i in range(256)), b"<eos>")
    special_token_ids = (EOS,)

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


class Walker:
    """Random and given walks through llguidance grammars."""

    def __init__(self) -> None:
        llguidance = pytest.importorskip("llguidance", reason="needs the extra nn")
        self._matcher = llguidance.LLMatcher
        self._tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))
        self._known: dict[str, Any] = {}

    def matcher(self, grammar: str) -> Any:
        """A fresh matcher; a bad grammar fails the test, since llguidance does not raise."""
        if grammar not in self._known:
            matcher = self._matcher(self._tokenizer, grammar, log_level=0)
            assert not matcher.is_error(), matcher.get_error()
            self._known[grammar] = matcher
        return self._known[grammar].deep_copy()

    def accepts(self, grammar: str, text: str) -> bool:
        """Whether a whole text is a sentence of a grammar."""
        matcher = self.matcher(grammar)
        tokens = list(text.encode())
        return (
            matcher.validate_tokens(tokens) == len(tokens)
            and (not tokens or matcher.consume_tokens(tokens))
            and bool(matcher.is_accepting())
        )

    def sample(self, grammar: str, rng: random.Random) -> str:
        """A random sentence: uniform over the allowed bytes at each place."""
        matcher, text = self.matcher(grammar), bytearray()
        while not matcher.is_accepting():
            mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
            allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")[:EOS])
            byte = rng.choice(allowed.tolist())
            assert matcher.consume_token(byte)
            text.append(byte)
        return text.decode("ascii")

    def plan(self, machine: PlanMachine, budget: int, rng: random.Random) -> str:
        """A whole plan, decoded step grammar by step grammar."""
        state, text, emitted = machine.initial(), "", b""
        while True:
            grammar = step_grammar(machine, state, budget - len(text), emitted)
            piece = self.sample(grammar, rng)
            text += piece
            body = (emitted.decode() + piece).removeprefix(PLAN_OPEN).removeprefix(",")
            if body == PLAN_CLOSE:
                return text
            value, end = json.JSONDecoder().raw_decode(body)
            state = machine.apply(state, Step(value["id"], value["tool"], value["args"]))
            if body[end:] == PLAN_CLOSE:
                return text
            emitted = body[end:].encode()


@pytest.fixture(scope="session")
def walker() -> Walker:
    return Walker()


@pytest.fixture(scope="session")
def shop() -> Domain:
    return load_domain(SHOP)


@pytest.fixture(scope="session")
def random_state(shop: Domain) -> Callable[[random.Random], PlanState]:
    """A state after a random admissible beginning of a plan."""

    def make(rng: random.Random) -> PlanState:
        machine, state = shop.machine, shop.machine.initial()
        for _ in range(rng.randrange(7)):
            calls = machine.admissible(state)
            if not calls:
                break
            call = rng.choice(calls)
            values = {"number": rng.randrange(1000, 10000), "email": f"a{rng.randrange(99)}@b.cd"}
            args = {
                arg: f"${call.handles[arg]}.{shop.schema.tools[call.tool].handles[arg].path}"
                if arg in call.handles
                else values.get(arg)
                for arg in shop.schema.tools[call.tool].properties
            }
            key = args.get("number", args.get("email"))
            if any(key is not None and json.dumps(key) == h.key for h in state.handles):
                continue
            state = machine.apply(state, Step(step_id(state.n_steps), call.tool, args))
        return state

    return make
