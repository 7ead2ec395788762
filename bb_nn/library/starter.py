"""Skills that a new rail begins with: small machines that most sequential programs are made of.

Learned and proved skills join them later. Each is stated over the whole state, whose bits it puts
out; a choice at each token composes them, so that two latches and a counter, say, run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bb_nn.errors import LibraryError
from bb_nn.library.library import Library
from bb_nn.library.skill import Skill
from bb_nn.library.token_classes import DECLARED, TokenClass
from bem_kernel.circuits.builder import CircuitBuilder

_COUNTER = 3  # bits
Rule = Callable[[CircuitBuilder, list[int], list[int]], list[int]]
"""State and input slots to the slots of the next state."""


def starter_library(
    n_skills: int = 32,
    *,
    n_state: int = 8,
    perception: int = 8,
    classes: tuple[TokenClass, ...] = DECLARED,
) -> Library:
    """The first machines of the list, over as many outputs as state bits.

    Raises:
        LibraryError: more skills are asked for than there are, or there is too little state.
    """
    n_in = len(classes) + perception
    if n_state < _COUNTER or perception < 1:
        raise LibraryError(
            f"{n_state} state and {perception} perception bits", where="starter library",
            fix=f"use at least {_COUNTER} and 1",
        )  # fmt: skip
    rules = list(_rules(n_state, len(classes), perception))
    if not 0 < n_skills <= len(rules):
        raise LibraryError(
            f"{n_skills} skills", where="starter library", fix=f"use 1 to {len(rules)}"
        )
    skills = tuple(_skill(name, rule, n_state, n_in) for name, rule in rules[:n_skills])
    return Library(skills, perception, classes)


def _skill(name: str, rule: Rule, n_state: int, n_in: int) -> Skill:
    b = CircuitBuilder(n_state + n_in)
    after = rule(b, list(range(n_state)), list(range(n_state, n_state + n_in)))
    return Skill(name, b.build([*after, *after]), n_state)


def _rules(n_state: int, n_classes: int, perception: int) -> Iterator[tuple[str, Rule]]:
    yield "hold", lambda b, s, x: s
    yield "clear", lambda b, s, x: [b.const(False)] * n_state
    yield "perceive", lambda b, s, x: [x[n_classes + i % perception] for i in range(n_state)]
    yield "shift", lambda b, s, x: [x[n_classes], *s[:-1]]
    yield "count", lambda b, s, x: _counted(b, s, x[n_classes])
    for i in range(n_classes):
        yield f"count class {i}", lambda b, s, x, i=i: _counted(b, s, x[i])
    for i in range(n_state):
        bit = n_classes + i % perception
        yield f"set {i}", lambda b, s, x, i=i, bit=bit: _with(s, i, b.or_(s[i], x[bit]))
        yield f"toggle {i}", lambda b, s, x, i=i, bit=bit: _with(s, i, b.xor(s[i], x[bit]))
        yield f"load {i}", lambda b, s, x, i=i, bit=bit: _with(s, i, x[bit])
    for i in range(n_state):
        bit = n_classes + i % perception
        yield f"reset {i}", lambda b, s, x, i=i, bit=bit: _with(s, i, b.and_(s[i], b.not_(x[bit])))
    for i in range(n_classes):
        at = i % n_state
        yield f"toggle class {i}", lambda b, s, x, i=i, at=at: _with(s, at, b.xor(s[at], x[i]))
    for i in range(n_classes):
        at = i % n_state
        yield f"load class {i}", lambda b, s, x, i=i, at=at: _with(s, at, x[i])


def _with(state: list[int], at: int, slot: int) -> list[int]:
    return [*state[:at], slot, *state[at + 1 :]]


def _counted(b: CircuitBuilder, state: list[int], tick: int) -> list[int]:
    """The last bits of the state as a counter, stepped where `tick` is 1."""
    found, carry = list(state), tick
    for at in range(len(state) - _COUNTER, len(state)):
        found[at], carry = b.xor(state[at], carry), b.and_(state[at], carry)
    return found
