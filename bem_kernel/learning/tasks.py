"""The named tasks: parity, majority, Dyck-1, mod-k, key-value retrieval and a stack.

Source: BEM suite 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Callable

from bem_kernel.errors import LearningError
from bem_kernel.learning.reference import (
    BitStack,
    CounterAutomaton,
    Move,
    Reference,
    Registers,
    counter_automaton,
)

MAX_MODULUS = 16


def parity() -> CounterAutomaton:
    """Whether the number of ones is odd."""
    moves = {(s, b): (s ^ (b == "1"), 0) for s in (0, 1) for b in "01"}
    return counter_automaton("parity", "01", moves, [(False, False), (True, True)])


def majority() -> CounterAutomaton:
    """Whether at least half of the bits are ones; states: ones lead, zeros lead."""
    moves = {}
    for state, leader in ((0, "1"), (1, "0")):
        for bit in "01":
            above = (state, 1) if bit == leader else (state, -1)
            moves[state, bit] = ((0 if bit == "1" else 1, 1), above)
    return counter_automaton("majority", "01", moves, [(True, True), (True, False)])


def dyck_online() -> CounterAutomaton:
    """Whether no prefix closes more than it opens."""
    return _dyck("dyck-online", [(True, True), (False, False)])


def dyck_final() -> CounterAutomaton:
    """Whether all that is opened is closed, in order."""
    return _dyck("dyck-final", [(True, False), (False, False)])


def _dyck(name: str, accept: list[tuple[bool, bool]]) -> CounterAutomaton:
    moves: dict[tuple[int, str], Move | tuple[Move, Move]] = {
        (0, "("): (0, 1),
        (0, ")"): ((1, 0), (0, -1)),
        (1, "("): (1, 0),
        (1, ")"): (1, 0),
    }
    return counter_automaton(name, "()", moves, accept)


def mod(k: int) -> CounterAutomaton:
    """Whether the number of ones is divisible by k.

    Raises:
        LearningError: k is not 2 to 16.
    """
    if not 2 <= k <= MAX_MODULUS:
        raise LearningError(f"modulus {k}", where="tasks.mod", fix=f"use 2 to {MAX_MODULUS}")
    moves = {(s, b): ((s + (b == "1")) % k, 0) for s in range(k) for b in "01"}
    return counter_automaton(f"mod-{k}", "01", moves, [(s == 0, s == 0) for s in range(k)])


NAMES = ("parity", "majority", "dyck-online", "dyck-final", "mod-3", "mod-5", "key-value", "stack")


def task(name: str) -> Reference:
    """The task of that name; `mod-k` for every k.

    Raises:
        LearningError: there is none.
    """
    plain: dict[str, Callable[[], Reference]] = {
        "parity": parity,
        "majority": majority,
        "dyck-online": dyck_online,
        "dyck-final": dyck_final,
        "key-value": Registers,
        "stack": BitStack,
    }
    if name in plain:
        return plain[name]()
    head, dash, k = name.partition("-")
    if head == "mod" and dash and k.isascii() and k.isdigit() and len(k) < 9:
        return mod(int(k))
    raise LearningError(f"no task {name!r}", where="tasks", fix=f"use {', '.join(NAMES)}")
