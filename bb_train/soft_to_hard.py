"""From examples to an expert: train a logic network, decide it, make it small, prove, install.

    examples ─ train_soft ─► soft network ─ harden ─► circuit, and a smaller one proved equal
                                                                     │
                                         install: two patches, each with its certificate
                                             add       the circuit as it was decided
                                             replace   by the smaller one, proved equal again

The first patch promises nothing of what the expert does, so the second one, whose obligations are
the equality of old and new, is what ties the expert in the machine to the network that was trained:
its proofs are made and checked by the machine itself, from what lies in its own memory.

**Training.** Gradients alone end at almost right networks, which deciding makes worse. So replicas
are a population: in each cycle gates are cooled from soft to nearly hard, and then those whose
decided networks are worst give way to shaken copies of the best. What was tried is in
`docs/decisions/0028-soft-programs.md`.

Sources: DESIGN.md 5 (soft-to-hard path); Petersen et al. 2022 (`bb_nn.soft_logic.gates`);
Jaderberg et al.: Population Based Training, 2017; BEM core spec 8.4, 9.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bb_core.canonical import fingerprint
from bb_core.errors import BBError
from bb_nn.library.skill import Place, Skill
from bb_nn.soft_logic.discrete import discretised
from bb_nn.soft_logic.network import NetworkShape, SoftNetwork
from bem_kernel.circuits.circuit import ARITY, Circuit
from bem_kernel.engines.scan import scan
from bem_kernel.experts.expert import Expert
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import encode_words
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.logic.proof import Proof
from bem_kernel.patches.apply import apply
from bem_kernel.patches.certificate import Certificate, certificate_record
from bem_kernel.patches.patch import Entry, Kind, Patch
from bem_kernel.patches.propose import drafted, free_near, propose_replace
from bem_kernel.patches.verify import Proved, verify
from bem_kernel.synthesis.optimise import optimise

if TYPE_CHECKING:
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.ledger.chain import Ledger

Bits = NDArray[np.bool_]

_LEAST = 1e-4  # chance that a bit is wrong which the loss assumes at least
_SURVIVE = 4  # one replica in so many is copied
_OPERATIONS = 5  # of two inputs or one; what a gate's description chooses among
_PROVENANCE = (("by", "soft logic"),)


class SoftToHardError(BBError):
    """A skill that cannot go from soft to hard: examples, accuracy or proof are wanting."""


@dataclass(frozen=True)
class Examples:
    """Sequences of a skill; lanes start with every state bit 0.

    Attributes:
        inputs: (N, T, n_in) bool.
        outputs: (N, T, n_out) bool, wanted at each token.
    """

    inputs: Bits
    outputs: Bits

    def __post_init__(self) -> None:
        shapes = (self.inputs.shape, self.outputs.shape)
        fits = all(len(s) == 3 for s in shapes) and shapes[0][:2] == shapes[1][:2]
        if not fits or not self.inputs.size or not self.outputs.size:
            raise SoftToHardError(
                f"inputs {shapes[0]}, outputs {shapes[1]}", where="examples",
                fix="give (sequences, tokens, bits) of both, with the same sequences and tokens",
            )  # fmt: skip
        if self.inputs.dtype != np.bool_ or self.outputs.dtype != np.bool_:
            raise SoftToHardError("values that are not bool", where="examples", fix="use bits")


@dataclass(frozen=True)
class SoftTraining:
    """How a network is trained.

    Attributes:
        replicas: trained side by side.
        steps: of gradient descent, at most; training ends when a decided network is right.
        rate: of Adam.
        cycle: steps of one cooling.
        coolest: temperature at its end; 1 at its start.
        jolt: standard deviation of what is added to the logits of copies.
        seed: of starts and jolts.
    """

    replicas: int = 32
    steps: int = 800
    rate: float = 0.1
    cycle: int = 50
    coolest: float = 0.3
    jolt: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.replicas, self.steps, self.cycle) < 1 or not 0 < self.coolest <= 1:
            raise SoftToHardError(
                f"{self.replicas} replicas, {self.steps} steps, cycles of {self.cycle} down to "
                f"{self.coolest}", where="soft training", fix="use numbers from 1, and 0 to 1",
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network.

    Attributes:
        network: all replicas.
        replica: the one whose decided network is best, and of these the one surest of it.
        steps: that were taken.
        soft_accuracy: share of output bits that its soft network has right, rounded.
        hard_accuracy: share that its decided network has right.
        agreement: share in which the two are equal.
    """

    network: SoftNetwork
    replica: int
    steps: int
    soft_accuracy: float
    hard_accuracy: float
    agreement: float


def train_soft(
    examples: Examples, shape: NetworkShape, how: SoftTraining = SoftTraining()
) -> Trained:
    """Train a logic network on examples.

    Raises:
        SoftToHardError: the examples have other bits than the network.
    """
    if (examples.inputs.shape[2], examples.outputs.shape[2]) != (shape.n_in, shape.n_out):
        raise SoftToHardError(
            f"examples of {examples.inputs.shape[2]} inputs and {examples.outputs.shape[2]} "
            f"outputs", where="soft training", fix=f"give {shape.n_in} and {shape.n_out}",
        )  # fmt: skip
    inputs = torch.from_numpy(examples.inputs).float()
    wanted = torch.from_numpy(examples.outputs).float()
    weight = _balance(wanted)
    network = SoftNetwork(shape, how.replicas, how.seed)
    jolts = torch.Generator().manual_seed(how.seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=how.rate)
    for step in range(1, how.steps + 1):
        temperature = how.coolest ** ((step - 1) % how.cycle / how.cycle)
        soft = network(inputs, temperature).clamp(_LEAST, 1 - _LEAST)
        nats = -(wanted * soft.log() + (1 - wanted) * (1 - soft).log())
        optimiser.zero_grad()
        (weight * nats).mean((1, 2, 3)).sum().backward()
        optimiser.step()
        if step % how.cycle == 0 or step == how.steps:
            hard = _right(network(inputs, hard=True), wanted)
            if float(hard.max()) == 1.0 or step == how.steps:
                break
            _select(network, optimiser, hard, jolts, how.jolt)
    return _trained(network, inputs, wanted, how.coolest, step)


@torch.no_grad()
def _trained(
    network: SoftNetwork, inputs: Tensor, wanted: Tensor, coolest: float, steps: int
) -> Trained:
    soft, hard = network(inputs, coolest), network(inputs, hard=True)
    right, sure = _right(hard, wanted), -network.indecision(coolest)
    best = max(range(network.replicas), key=lambda r: (float(right[r]), float(sure[r])))
    agreement = float(((soft[best] > 0.5) == (hard[best] > 0.5)).float().mean())
    return Trained(
        network, best, steps, float(_right(soft, wanted)[best]), float(right[best]), agreement
    )


def _balance(wanted: Tensor) -> Tensor:
    """Weights under which the rarer value of each output counts as much as the other."""
    share = wanted.mean((0, 1)).clamp(0.02, 0.98)
    return wanted * 0.5 / share + (1 - wanted) * 0.5 / (1 - share)


def _right(found: Tensor, wanted: Tensor) -> Tensor:
    """(R,) share of right bits."""
    return ((found > 0.5) == (wanted > 0.5)).float().mean((1, 2, 3))


@torch.no_grad()
def _select(
    network: SoftNetwork, optimiser: torch.optim.Adam, right: Tensor, jolts: torch.Generator,
    size: float,
) -> None:  # fmt: skip
    """The best quarter stays; the others become copies of it, shaken."""
    order = right.argsort(descending=True, stable=True)
    kept = order[: max(1, len(order) // _SURVIVE)]
    lost = order[len(kept) :]
    parents = kept.repeat(_SURVIVE)[: len(lost)]
    for parameter in network.parameters():
        copies = parameter[parents]
        parameter[lost] = copies + size * torch.randn(copies.shape, generator=jolts)
        moments = optimiser.state[parameter]
        moments["exp_avg"][lost] = 0.0
        moments["exp_avg_sq"][lost] = moments["exp_avg_sq"][parents]


@dataclass(frozen=True, eq=False)
class Hardened:
    """A skill's circuit.

    Attributes:
        circuit: (state, inputs) to (next state, outputs), as small as it was made.
        decided: the network's own circuit.
        n_state: state bits.
        optimal: whether it is known that no circuit has fewer gates.
        proof: that the two are equal, accepted by the checker; None if they are one.
    """

    circuit: Circuit
    decided: Circuit
    n_state: int
    optimal: bool
    proof: Proof | None

    @property
    def learned_bits(self) -> int:
        """Length of the circuit's description: what learning chose, in bits."""
        return description_bits(self.circuit)


def harden(
    trained: Trained, examples: Examples, budget_ms: int = 500, *, least: float = 1.0, seed: int = 0
) -> Hardened:
    """Decide a network and make its circuit small.

    Args:
        trained: from `train_soft`.
        examples: that the circuit is run on before it is believed.
        budget_ms: milliseconds for the search of the superoptimiser.
        least: share of the examples' output bits that the circuit must have right.
        seed: of the search.

    Raises:
        SoftToHardError: the circuit is right on too few.
        KernelError: the budget is out of range.
    """
    circuit = discretised(trained.network, trained.replica)
    n_state = trained.network.shape.n_state
    found = run_circuit(circuit, n_state, examples.inputs)
    right = float((found == examples.outputs).mean())
    if right < least:
        raise SoftToHardError(
            f"the decided network has {right:.4f} of the bits right", where="harden",
            fix=f"train longer, with more gates or replicas, or ask for less than {least}",
        )  # fmt: skip
    smaller = optimise(circuit, budget_ms, seed=seed)
    if len(smaller.circuit.gates) >= len(circuit.gates):
        return Hardened(circuit, circuit, n_state, smaller.optimal, None)
    return Hardened(smaller.circuit, circuit, n_state, smaller.optimal, smaller.equality.proof)


def run_circuit(circuit: Circuit, n_state: int, inputs: Bits) -> Bits:
    """Step a sequential circuit over sequences from state 0: (N, T, n_in) to (N, T, n_out)."""
    rows, length, n_in = inputs.shape
    planes = pack_bits(inputs.reshape(rows, -1)).reshape(length, n_in, -1)
    state = pack_bits(np.zeros((rows, n_state), np.bool_))
    found = scan(circuit, state, planes)
    n_out = circuit.n_outputs - n_state
    return unpack_bits(found.reshape(length * n_out, -1), rows).reshape(rows, length, n_out)


def description_bits(circuit: Circuit) -> int:
    """Bits that say which circuit this is among all: operations, operands, outputs."""
    total = 0.0
    for i, gate in enumerate(circuit.gates):
        total += log2(_OPERATIONS) + ARITY[gate.op] * log2(max(1, circuit.n_inputs + i))
    return ceil(total + circuit.n_outputs * log2(max(1, circuit.n_slots)))


@dataclass(frozen=True)
class InstalledSkill:
    """An expert in a machine.

    Attributes:
        name: of the skill and the expert.
        identifier: of the expert.
        hardened: its circuits.
        added: certificate of the patch that added it.
        proved: certificate of the patch that made it small; None if it was as small as it gets.
    """

    name: str
    identifier: int
    hardened: Hardened
    added: Certificate
    proved: Certificate | None

    @property
    def certificate(self) -> str:
        """SHA-256 of the record of the last certificate, hex."""
        return fingerprint(certificate_record(self.proved or self.added))

    def skill(self) -> Skill:
        """The same for a rail's library, over its own bits; `placed` puts it among others'."""
        made = self.hardened
        return Skill(self.name, made.circuit, made.n_state, made.learned_bits, self.certificate)


def install(
    table: ExpertTable, log: Ledger, name: str, hardened: Hardened, place: Place
) -> InstalledSkill:
    """Add a skill to a machine as an expert, in patches that are proved.

    Args:
        table: of the machine.
        log: open; all of the machine's patches are in it.
        name: of the expert.
        hardened: from `harden`.
        place: the machine's state bits that are the skill's state, its inputs and its outputs.

    Raises:
        SoftToHardError: a patch cannot be proved; the machine is as it was before that patch.
        KernelError: the expert does not fit the machine, or the log cannot be written.
    """
    state = tuple(place.state)
    expert = Expert(name, (*state, *place.reads), hardened.decided, (*state, *place.writes))
    first = int(encode_words(IdClass.EXPERT, np.zeros(1, np.int64), np.zeros(1, np.int64))[0])
    (identifier,) = free_near(table, first, 1)
    reason = f"skill {name}, trained as a logic network"
    entry = Entry(identifier, expert)
    add = drafted(table, Patch(Kind.ADD, "", "", reason, _PROVENANCE, added=(entry,)))
    added = _applied(table, log, add)
    proved = None
    if hardened.proof is not None:
        gates = f"{len(hardened.circuit.gates)} gates in place of {len(hardened.decided.gates)}"
        replace = propose_replace(
            table, identifier, hardened.circuit, reason=gates, provenance=_PROVENANCE
        )
        proved = _applied(table, log, replace)
    return InstalledSkill(name, identifier, hardened, added, proved)


def _applied(table: ExpertTable, log: Ledger, patch: Patch) -> Certificate:
    verdict = verify(table, patch, log=log)
    if not isinstance(verdict, Proved):
        raise SoftToHardError(
            f"no proof that {verdict.claim}", where=f"{patch.kind.value} patch",
            fix="report this; equal circuits should have one",
        )  # fmt: skip
    apply(table, patch, verdict.certificate, log)
    return verdict.certificate
