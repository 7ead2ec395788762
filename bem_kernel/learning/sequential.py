"""Machines that read a word token by token, as one circuit each.

This is the common form of what is learned and of what it is compared with. The circuit maps
(state, token) to (next state, verdict, trap). The verdict is that on the word read so far; a trap
says that a counter, a stack or an address no longer fits in the machine's width, and from then on
the machine says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import evaluate
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.alphabet import Alphabet, Token


@dataclass(frozen=True)
class Sequential:
    """A machine of fixed width.

    Attributes:
        circuit: len(initial) + token inputs; len(initial) + 2 outputs: next state, verdict, trap.
        initial: the state before the first token.
        empty: the verdict on the empty word.
        flags: positions in the state of the finite control.
        word: positions of the bits whose number grows with the width, the lowest first.
        latch: positions of the remembered address and of whether there is one.
    """

    circuit: Circuit
    initial: tuple[bool, ...]
    empty: bool
    flags: tuple[int, ...]
    word: tuple[int, ...]
    latch: tuple[int, ...]

    @property
    def n_state(self) -> int:
        """Number of state bits."""
        return len(self.initial)


class Family(Protocol):
    """A machine for every width."""

    @property
    def alphabet(self) -> Alphabet:
        """What it reads."""

    def at(self, width: int) -> Sequential:
        """The machine of one width."""


def verdicts(machine: Sequential, alphabet: Alphabet, word: Iterable[Token]) -> list[bool | None]:
    """The verdict after each token, None from a trap on; plain, for tests and short words."""
    state, found, trapped = list(machine.initial), list[bool | None](), False
    for token in word:
        bits = [*state, *alphabet.input_bits(token, max(1, len(machine.word)))]
        planes = evaluate(machine.circuit, pack_bits(np.array([bits], dtype=np.bool_)))
        outputs = unpack_bits(planes, 1)[0].tolist()
        state, trapped = outputs[: machine.n_state], trapped or outputs[-1]
        found.append(None if trapped else outputs[-2])
    return found


def build_table(builder: CircuitBuilder, table: list[bool], inputs: list[int]) -> int:
    """The slot of a function given by its truth table; bit i of a row is inputs[i]."""
    if len(table) == 1:
        return builder.const(table[0])
    half = len(table) // 2
    low, high = (build_table(builder, part, inputs[:-1]) for part in (table[:half], table[half:]))
    return low if low == high else builder.mux(inputs[-1], low, high)


def build_latch(
    builder: CircuitBuilder, state: list[int], given: list[int]
) -> tuple[list[int], list[int]]:
    """Remember the last address: next latch, and one line per address that is 1 for it.

    Args:
        builder: of the circuit.
        state: slots of the latch: the address, lowest bit first, and whether there is one.
        given: slots of the token's address in the same form.
    """
    present = given[-1]
    following = [builder.mux(present, old, new) for old, new in zip(state, given, strict=True)]
    lines = [following[-1]]  # from whether there is an address, halve by each of its bits
    for bit in following[:-1]:
        low = [builder.and_(line, builder.not_(bit)) for line in lines]
        lines = low + [builder.and_(line, bit) for line in lines]
    return following, lines
