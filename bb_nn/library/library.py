"""K skills fused into one circuit: at each token the chosen skill steps the lane.

Inputs of the fused circuit are the lane's state, the input bits (token classes, then perception)
and a one-hot choice; where nothing is chosen (padding) the lane stays as it is and puts out 0. A
lane is a sequence, so a whole batch of whole sequences is one call of the engine: `scan` over the
tokens, a bit of a word for each sequence.

Sources: DESIGN.md 4, 5; BEM core spec 2.2, 6.5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_nn.errors import LibraryError
from bb_nn.library.skill import Skill
from bb_nn.library.token_classes import DECLARED, TokenClass
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import evaluate
from bem_kernel.engines.scan import scan
from bem_kernel.lanes import pack_bits, unpack_bits

Bits = NDArray[np.bool_]
Planes = NDArray[np.uint64]


@dataclass(frozen=True)
class Library:
    """Skills over the same bits.

    Attributes:
        skills: all with `n_state` state bits, `n_in` inputs and `n_out` outputs.
        perception: bits that the rail perceives; they follow the token's classes.
        classes: of tokens.
    """

    skills: tuple[Skill, ...]
    perception: int
    classes: tuple[TokenClass, ...] = DECLARED

    def __post_init__(self) -> None:
        if not self.skills:
            raise LibraryError("no skill", where="library", fix="give at least one")
        shape = (self.n_state, self.n_in, self.n_out)
        for skill in self.skills:
            if (skill.n_state, skill.n_in, skill.n_out) != shape:
                raise LibraryError(
                    f"{skill.n_state} state bits, {skill.n_in} inputs, {skill.n_out} outputs",
                    where=f"skill {skill.name}",
                    fix="place it (`bb_nn.library.skill.placed`) over {} state bits, {} inputs "
                    "and {} outputs".format(*shape),
                )

    @property
    def n_state(self) -> int:
        """State bits of a lane."""
        return self.skills[0].n_state

    @property
    def n_in(self) -> int:
        """Input bits of a step: token classes, then perception."""
        return len(self.classes) + self.perception

    @property
    def n_out(self) -> int:
        """Output bits of a step."""
        return self.skills[0].n_out

    @property
    def learned_bits(self) -> int:
        """Bits that learning chose, over all skills."""
        return sum(skill.learned_bits for skill in self.skills)

    @cached_property
    def step(self) -> Circuit:
        """(state, inputs, choice) to (next state, outputs)."""
        n_own, n_skills = self.n_state + self.n_in, len(self.skills)
        b = CircuitBuilder(n_own + n_skills)
        choices = range(n_own, n_own + n_skills)
        none = b.not_(_either(b, list(choices)))
        parts: list[list[int]] = [[] for _ in range(self.n_state + self.n_out)]
        for choice, skill in zip(choices, self.skills, strict=True):
            for part, slot in zip(parts, b.embed(skill.circuit, range(n_own)), strict=True):
                part.append(b.and_(choice, slot))
        for bit in range(self.n_state):
            parts[bit].append(b.and_(none, bit))
        return b.build([_either(b, part) for part in parts])

    @cached_property
    def machine(self) -> Circuit:
        """`step` that puts the next state out as well, for `scan`."""
        step = self.step
        return Circuit(step.n_inputs, step.gates, step.outputs[: self.n_state] + step.outputs)

    @cached_property
    def every(self) -> Circuit:
        """(state, inputs) to (next state, outputs) of skill after skill."""
        b = CircuitBuilder(self.n_state + self.n_in)
        inputs = range(self.n_state + self.n_in)
        return b.build([slot for skill in self.skills for slot in b.embed(skill.circuit, inputs)])

    def run(self, inputs: Bits, choice: Bits, state: Bits) -> tuple[Bits, Bits]:
        """Step every lane over its tokens, in one call of the engine.

        Args:
            inputs: (B, T, n_in).
            choice: (B, T, K), one or no 1 at each token.
            state: (B, n_state) before the first token.

        Returns:
            (B, T, n_state) states after each token, (B, T, n_out) outputs.
        """
        rows, length, _ = inputs.shape
        symbols = np.concatenate([inputs, choice], axis=2)
        planes = pack_bits(symbols.reshape(rows, -1)).reshape(length, symbols.shape[2], -1)
        found = scan(self.machine, pack_bits(state), planes)
        width = self.n_state + self.n_out
        bits = unpack_bits(found.reshape(length * width, -1), rows).reshape(rows, length, width)
        return bits[..., : self.n_state], bits[..., self.n_state :]

    def differences(self, before: Bits, inputs: Bits, choice: Bits, flips: Sequence[int]) -> Bits:
        """Which results of a step change when one of its inputs is flipped.

        All flips of all steps are lanes of one evaluation.

        Args:
            before: (N, n_state) states before the steps.
            inputs: (N, n_in).
            choice: (N, K).
            flips: numbers of inputs among state bits and then input bits.

        Returns:
            (N, flips, n_state + n_out), the state's bits first.
        """
        planes = pack_bits(np.concatenate([before, inputs, choice], axis=1))
        words = planes.shape[1]
        tiled = np.tile(planes, (1, 1 + len(flips)))
        for at, flip in enumerate(flips, start=1):
            tiled[flip, at * words : (at + 1) * words] ^= np.uint64(2**64 - 1)
        found = evaluate(self.step, tiled).reshape(-1, 1 + len(flips), words)
        changed = (found[:, 1:] ^ found[:, :1]).reshape(-1, words)
        bits = unpack_bits(changed, len(before)).reshape(len(before), -1, len(flips))
        return bits.transpose(0, 2, 1)

    def all_results(self, before: Bits, inputs: Bits) -> Bits:
        """What every skill would do: (N, K, n_state + n_out), the next state first."""
        planes = pack_bits(np.concatenate([before, inputs], axis=1))
        bits = unpack_bits(evaluate(self.every, planes), len(before))
        return bits.reshape(len(before), len(self.skills), -1)

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes the same library."""
        return {
            "perception": self.perception,
            "classes": [entry.to_json() for entry in self.classes],
            "skills": [skill.to_json() for skill in self.skills],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Library:
        """Inverse of `to_json`.

        Raises:
            LibraryError: the data is not that of a library.
        """
        try:
            skills = tuple(Skill.from_json(entry) for entry in data["skills"])
            classes = tuple(TokenClass.from_json(entry) for entry in data["classes"])
            return cls(skills, int(data["perception"]), classes)
        except (KeyError, TypeError, ValueError) as error:
            raise LibraryError(
                f"not a library ({error})", where="library.json", fix="save the library again"
            ) from error

    def text(self) -> str:
        """The library as canonical text, for fingerprints."""
        return json.dumps(self.to_json(), sort_keys=True)


def _either(b: CircuitBuilder, slots: list[int]) -> int:
    """The disjunction of slots, as a balanced tree."""
    while len(slots) > 1:
        odd = slots[len(slots) // 2 * 2 :]
        slots = [b.or_(x, y) for x, y in zip(slots[::2], slots[1::2], strict=False)] + odd
    return slots[0]
