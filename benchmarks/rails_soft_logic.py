"""Skills that begin soft: what is lost when they are decided, and adapters nobody stored."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row

if TYPE_CHECKING:
    from bb_train.soft_to_hard import Examples

_ROWS, _TOKENS = 64, 5


def _tasks(seed: int):
    """Sequential and combinational tasks, each with the shape of a network for it."""
    import numpy as np

    from bb_nn.soft_logic.network import NetworkShape
    from bb_train.soft_to_hard import Examples

    bits = np.random.default_rng(seed).random((_ROWS, _TOKENS, 2)) < 0.5
    vote, carry = np.zeros(_ROWS, np.int64), np.zeros(_ROWS, np.int64)
    votes, sums = [], []
    for t in range(_TOKENS):
        vote = (bits[:, t].sum(1) + vote >= 2).astype(np.int64)
        total = bits[:, t].sum(1) + carry
        carry = (total >= 2).astype(np.int64)
        votes.append(vote == 1)
        sums.append(total % 2 == 1)
    value = np.arange(256)
    byte = (value[:, None, None] >> np.arange(8) & 1).astype(bool)
    digit = ((value >= 48) & (value < 58))[:, None, None]
    memory = NetworkShape(2, 1, 1, (16, 8))
    return {
        "majority with memory": (Examples(bits, np.stack(votes, 1)[..., None]), memory),
        "serial adder": (Examples(bits, np.stack(sums, 1)[..., None]), memory),
        "digits among bytes": (Examples(byte, digit), NetworkShape(8, 1, 0, (24, 16, 8))),
    }


@cache
def _trained(seed: int, *, population: bool):
    """(examples, trained network) of each task."""
    from bb_train.soft_to_hard import SoftTraining, train_soft

    cycle = SoftTraining.cycle if population else SoftTraining.steps
    how = SoftTraining(seed=seed, cycle=cycle)
    return [(ex, train_soft(ex, shape, how)) for ex, shape in _tasks(seed).values()]


def _seeds(context: Context) -> range:
    return range(context.seed, context.seed + (6 if context.full else 2))


def _right(examples: Examples, trained) -> float:
    """Share of the examples' bits that the decided circuit has right."""
    from bb_nn.soft_logic.discrete import discretised
    from bb_train.soft_to_hard import run_circuit

    circuit = discretised(trained.network, trained.replica)
    found = run_circuit(circuit, trained.network.shape.n_state, examples.inputs)
    return float((found == examples.outputs).mean())


@row("rails.soft_logic_agreement", peer_name="all bits", unit="share", target=1.0)
def soft_logic_agreement(context: Context) -> Measured:
    """Output bits on which a trained network and its decided one are equal."""
    found = [t.agreement for s in _seeds(context) for _, t in _trained(s, population=True)]
    return Measured(found, [1.0] * len(found))


@row("rails.soft_logic_right", peer_name="gradients alone, then decided", unit="skills", target=1.0)
def soft_logic_right(context: Context) -> Measured:
    """Tasks that the decided network has wholly right; the same network and steps."""
    counts = [
        [sum(_right(*pair) == 1.0 for pair in _trained(s, population=p)) for s in _seeds(context)]
        for p in (True, False)
    ]
    return Measured(*counts)


@row(
    "rails.soft_logic_gates", peer_name="as it was decided", unit="gates", target=1.5, better="less"
)
def soft_logic_gates(context: Context) -> Measured:
    """Gates of all tasks' circuits after the superoptimiser, proved equal to those before."""
    from bb_train.soft_to_hard import harden

    ours, peer = [], []
    for seed in _seeds(context):
        made = [harden(t, ex, 300) for ex, t in _trained(seed, population=True)]
        ours.append(float(sum(len(h.circuit.gates) for h in made)))
        peer.append(float(sum(len(h.decided.gates) for h in made)))
    return Measured(ours, peer)


@row(
    "rails.hyper_adapters_size", peer_name="stored, rank 4", unit="parameters", target=4.0,
    better="less",
)  # fmt: skip
def hyper_adapters_size(context: Context) -> Measured:
    """Adapters of a library: 32 starter skills, and of 256 skills of the same shape."""
    import torch

    from bb_nn.hypernetwork import HyperFactors, StoredFactors, function_signatures
    from bb_nn.library.starter import starter_library

    torch.manual_seed(context.seed)
    library = starter_library(32)
    bits = library.n_out + 1
    signatures = function_signatures([skill.circuit for skill in library.skills])
    sizes = [
        [sum(p.numel() for p in module.parameters()) for module in pair]
        for pair in (
            (HyperFactors(signatures.repeat(times, 1), 12, bits, 96),
             StoredFactors(32 * times, 4, bits, 96))
            for times in (1, 8)
        )
    ]  # fmt: skip
    return Measured([float(s[0]) for s in sizes], [float(s[1]) for s in sizes])


@row(
    "rails.hyper_adapters_new", peer_name="the mean of the others' adapters", unit="error",
    target=1.3, better="less",
)  # fmt: skip
def hyper_adapters_new(context: Context) -> Measured:
    """Adapters of starter skills left out of training: error against the map they were to have.

    Each skill's map tells in one direction which state bit it writes and in another which kind it
    is; one skill of each kind is left out.
    """
    import torch

    from bb_nn.hypernetwork import HyperFactors, function_signatures
    from bb_nn.library.starter import starter_library

    library = starter_library(37)
    kinds = ("set", "toggle", "load", "reset")
    named = [(s.circuit, s.name.split()) for s in library.skills]
    members = [(c, n[0], int(n[1])) for c, n in named if len(n) == 2 and n[0] in kinds]
    signatures = function_signatures([c for c, _, _ in members])
    bits, width = library.n_out + 1, 24
    ours, peer = [], []
    for seed in _seeds(context):
        torch.manual_seed(seed)
        of_bit, of_kind = torch.randn(library.n_state, width), torch.randn(len(kinds), width)
        maps = torch.zeros(len(members), bits, width)
        for k, (_, kind, at) in enumerate(members):
            maps[k, at], maps[k, -1] = of_bit[at], of_kind[kinds.index(kind)]
        out = [k for k, (_, kind, at) in enumerate(members)
               if at == (2 * kinds.index(kind) + seed) % library.n_state]  # fmt: skip
        kept = [k for k in range(len(members)) if k not in out]
        hyper = HyperFactors(signatures[kept], 16, bits, width)
        optimiser = torch.optim.AdamW(hyper.parameters(), lr=1e-2, weight_decay=1.0)
        for _ in range(400):
            made = hyper()
            wrong = made.down.transpose(1, 2) @ made.up - maps[kept]
            optimiser.zero_grad()
            wrong.square().sum().backward()
            optimiser.step()
        with torch.no_grad():
            made, usual = hyper.of(signatures[out]), hyper()
            maps_made = made.down.transpose(1, 2) @ made.up
            maps_usual = (usual.down.transpose(1, 2) @ usual.up).mean(0)
        ours.append(float((maps_made - maps[out]).norm()))
        peer.append(float((maps_usual - maps[out]).norm()))
    return Measured(ours, peer)
