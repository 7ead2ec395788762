"""A skill's program: a sequential Boolean circuit over a part of the lane's state.

Inputs of the circuit are `n_state` state bits, then the bits it reads; outputs are the next state,
then the bits it puts out. A lane starts with every state bit 0.

Sources: builderbrain 1 (K discrete skills); DESIGN.md 5; BEM core spec 5.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bb_core.errors import BBError
from bb_nn.errors import LibraryError
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.record import circuit_from_record, circuit_record

if TYPE_CHECKING:
    from bem_kernel.learning.sequential import Sequential


@dataclass(frozen=True)
class Skill:
    """A sequential circuit and where it came from.

    Attributes:
        name: for people and logs.
        circuit: n_state + n_in inputs, n_state + n_out outputs, the state first in both.
        n_state: state bits.
        learned_bits: bits of information that learning chose, counted as trainable parameters.
        certificate: SHA-256 of the certificate that it was patched in under; empty for none.
    """

    name: str
    circuit: Circuit
    n_state: int
    learned_bits: int = 0
    certificate: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.n_state <= min(self.circuit.n_inputs, self.circuit.n_outputs):
            raise LibraryError(
                f"{self.n_state} state bits, {self.circuit.n_inputs} inputs and "
                f"{self.circuit.n_outputs} outputs",
                where=f"skill {self.name}", fix="put the state first among inputs and outputs",
            )  # fmt: skip

    @property
    def n_in(self) -> int:
        """Bits it reads at each token."""
        return self.circuit.n_inputs - self.n_state

    @property
    def n_out(self) -> int:
        """Bits it puts out at each token."""
        return self.circuit.n_outputs - self.n_state

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes the same skill."""
        return {
            "name": self.name, "n_state": self.n_state, "learned_bits": self.learned_bits,
            "certificate": self.certificate, "circuit": circuit_record(self.circuit),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Skill:
        """Inverse of `to_json`.

        Raises:
            LibraryError: the data is not that of a skill.
        """
        try:
            circuit = circuit_from_record(data["circuit"])
            state, learned = int(data["n_state"]), int(data["learned_bits"])
            return cls(str(data["name"]), circuit, state, learned, str(data["certificate"]))
        except (BBError, KeyError, TypeError, ValueError) as error:
            raise LibraryError(
                f"not a skill ({error})", where="library.json", fix="save the library again"
            ) from error


@dataclass(frozen=True)
class Place:
    """Where a skill sits among a library's bits.

    Attributes:
        state: the lane's state bits that are the skill's own, in the skill's order.
        reads: the library's input bits that it reads, in the skill's order.
        writes: the library's output bits that it puts out, in the skill's order.
    """

    state: Sequence[int]
    reads: Sequence[int]
    writes: Sequence[int]


def placed(skill: Skill, place: Place, n_state: int, n_in: int, n_out: int) -> Skill:
    """The same skill over a library's bits: other state is left alone, other outputs are 0.

    Raises:
        LibraryError: the place names another number of bits than the skill has, or bits that the
            library has not.
    """
    wanted = (
        ("state", place.state, skill.n_state, n_state),
        ("reads", place.reads, skill.n_in, n_in),
        ("writes", place.writes, skill.n_out, n_out),
    )
    for what, bits, own, room in wanted:
        if len(bits) != own or any(not 0 <= bit < room for bit in bits):
            raise LibraryError(
                f"{what} is {list(bits)}", where=f"skill {skill.name}",
                fix=f"give {own} numbers from 0 to {room - 1}",
            )  # fmt: skip
    b = CircuitBuilder(n_state + n_in)
    found = b.embed(skill.circuit, [*place.state, *(n_state + bit for bit in place.reads)])
    state, outputs = list(range(n_state)), [b.const(False)] * n_out
    for bit, slot in zip(place.state, found[: skill.n_state], strict=True):
        state[bit] = slot
    for bit, slot in zip(place.writes, found[skill.n_state :], strict=True):
        outputs[bit] = slot
    circuit = b.build([*state, *outputs])
    return Skill(skill.name, circuit, n_state, skill.learned_bits, skill.certificate)


def skill_of_machine(
    name: str, machine: Sequential, learned_bits: int, certificate: str = ""
) -> Skill:
    """A learned machine as a skill: reads a token's bits, puts out verdict and trap.

    Lanes start at 0, so state bits that the machine starts at 1 are kept complemented.
    """
    circuit, n = machine.circuit, machine.n_state
    b = CircuitBuilder(circuit.n_inputs)
    flipped = [b.not_(i) if machine.initial[i] else i for i in range(n)]
    found = b.embed(circuit, [*flipped, *range(n, circuit.n_inputs)])
    state = [b.not_(s) if machine.initial[i] else s for i, s in enumerate(found[:n])]
    return Skill(name, b.build([*state, *found[n:]]), n, learned_bits, certificate)
