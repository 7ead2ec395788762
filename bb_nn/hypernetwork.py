"""Adapters of skills made from what the skills do, instead of stored for each.

A skill's signature says how its circuit behaves: of which outputs and inputs (how often each output
is 1, how it goes with each input, how often flipping an input flips it), and, as sums over all of
them, in what manner. A linear map, the same for all skills, takes it to how much of each of a few
shared directions the skill's adapter has. It has no parameter for any one skill, so it does not
grow with the library, and a skill that has just been patched in has an adapter that goes with what
it does before any training.

    φ_k = (P β_k, sums of β_k),   β = (E f, E f x_i, Pr[f(x) ≠ f(x ⊕ e_i)])   on shared probes
    g_k = W (φ_k − mean) / spread + 1        down_k = diag(g_k) V,  up_k = U

That the adapter is linear in the signature is what carries over: a network that makes both factors
fits the skills it was trained on as well, by factors that are turned differently for each, between
which nothing can be interpolated (`docs/decisions/0028-soft-programs.md` has the figures). A little
weight decay on W helps.

K skills, S signature, R rank, bits of a skill's outputs with the constant one, D width.

Sources: builderbrain 1 (hypernetwork adapters); Ha, Dai, Le: HyperNetworks, 2016; O'Donnell:
Analysis of Boolean Functions, 2014, 1.2 and 2.2 (degree-1 Fourier coefficients, influences);
Achlioptas 2003 (projections by random signs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bb_nn.errors import LibraryError
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.engines.engine import evaluate
from bem_kernel.identifiers.gray import gray
from bem_kernel.lanes import pack_bits, unpack_bits

SIGNATURE = 128
_SUMS = 8  # numbers that say in what manner, whatever the bits
_PROBES = 256
_SEED = 0x5BB
_FLAT = 1e-6  # spread of what no skill differs in


@dataclass(frozen=True)
class Factors:
    """Low-rank adapters of all skills: bits o of skill k become `up_kᵀ down_k o`.

    Attributes:
        down: (K, R, bits).
        up: (K, R, D).
    """

    down: Tensor
    up: Tensor

    def flat(self) -> Tensor:
        """(K, weights) of each skill's own, as `reuse_loss` takes them."""
        return torch.cat([self.down.flatten(1), self.up.flatten(1)], dim=1)


class StoredFactors(nn.Module):
    """Adapters as parameters: K R (bits + D) of them.

    Args:
        n_skills: K.
        rank: R.
        bits: of a skill's outputs, the constant one included.
        width: D.
    """

    def __init__(self, n_skills: int, rank: int, bits: int, width: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(n_skills, rank, bits) / bits**0.5)
        self.up = nn.Parameter(torch.randn(n_skills, rank, width) * 0.1 / rank**0.5)

    def forward(self) -> Factors:
        """The factors of all skills."""
        return Factors(self.down, self.up)


class HyperFactors(nn.Module):
    """Adapters made from signatures: R (S + 1 + bits + D) parameters, whatever K is.

    Args:
        signatures: (K, S) from `function_signatures`; later ones are compared with their mean and
            spread.
        rank: R.
        bits: of a skill's outputs, the constant one included.
        width: D.
    """

    signatures: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, signatures: Tensor, rank: int, bits: int, width: int) -> None:
        super().__init__()
        _check_signatures(signatures, signatures.shape[-1])
        spread = signatures.std(0, correction=0)
        self.register_buffer("signatures", signatures.clone())
        self.register_buffer("centre", signatures.mean(0))
        self.register_buffer("spread", spread.where(spread > _FLAT, torch.ones_like(spread)))
        self.share = nn.Linear(signatures.shape[1], rank)
        nn.init.ones_(self.share.bias)
        self.down = nn.Parameter(torch.randn(rank, bits) / bits**0.5)
        self.up = nn.Parameter(torch.randn(rank, width) * 0.1 / rank**0.5)

    def forward(self) -> Factors:
        """The factors of all skills."""
        return self.of(self.signatures)

    def of(self, signatures: Tensor) -> Factors:
        """The factors of skills that have these signatures, (K, S), in the library or not."""
        _check_signatures(signatures, len(self.centre))
        usual = (signatures - self.centre) / self.spread
        shares = self.share(usual / len(self.centre) ** 0.5)
        return Factors(shares[..., None] * self.down, self.up.expand(len(shares), -1, -1))

    def grow(self, signatures: Tensor) -> None:
        """Take the library's signatures as they are after skills came, went or merged: (K', S)."""
        _check_signatures(signatures, len(self.centre))
        self.signatures = signatures.to(self.centre)


def function_signatures(
    circuits: Sequence[Circuit], size: int = SIGNATURE, seed: int = _SEED
) -> Tensor:
    """What circuits of one shape do, in `size` numbers each.

    Args:
        circuits: state and inputs to next state and outputs, all of one shape.
        size: S, a multiple of 16; one half says of which bits, the other in what manner.
        seed: of probes and projection; signatures of equal shapes and seeds can be compared.

    Returns:
        (K, size) float32.

    Raises:
        LibraryError: no circuit, circuits of several shapes, a circuit without bits, or the size.
    """
    shapes = {(c.n_inputs, c.n_outputs) for c in circuits}
    if len(shapes) != 1 or 0 in next(iter(shapes)) or size < 1 or size % (2 * _SUMS):
        raise LibraryError(
            f"circuits of shapes {sorted(shapes)}, size {size}", where="signatures",
            fix=f"give circuits of one shape, with bits, and a multiple of {2 * _SUMS}",
        )  # fmt: skip
    ((n_in, n_out),) = shapes
    rng = np.random.default_rng(seed)
    probes = rng.random((_PROBES, n_in)) < 0.5
    projection = rng.choice([-1.0, 1.0], size=((2 * n_in + 1) * n_out, size // 2))
    found = [_behaviour(circuit, probes) for circuit in circuits]
    bits = np.stack([np.concatenate([p.ravel() for p in parts]) for parts in found]) @ projection
    sums = np.tile(np.stack([_sums(*parts) for parts in found]), size // 2 // _SUMS)
    return torch.from_numpy(np.concatenate([bits, sums], axis=1)).float()


def identifier_signatures(identifiers: NDArray[np.uint32]) -> Tensor:
    """(K, 32) Gray codes of BEM identifiers as −1 or 1, of length 1.

    Near identifiers give near adapters; worth something only where identifiers are given by what
    skills do, as after a split.
    """
    bits = gray(identifiers)[:, None] >> np.arange(32, dtype=np.uint32) & 1
    return torch.from_numpy((bits.astype(np.float32) * 2 - 1) / 32**0.5)


Matrix = NDArray[np.float64]


def _behaviour(circuit: Circuit, probes: NDArray[np.bool_]) -> tuple[Matrix, Matrix, Matrix]:
    """Means (n_out,), correlations with inputs (n_in, n_out), influences of inputs likewise."""
    n_probes, n_in = probes.shape
    flips = np.concatenate([np.zeros((1, n_in), np.bool_), np.eye(n_in, dtype=np.bool_)])
    lanes = (probes[None] ^ flips[:, None]).reshape(-1, n_in)
    values = unpack_bits(evaluate(circuit, pack_bits(lanes)), len(lanes))
    values = values.reshape(n_in + 1, n_probes, -1)
    signs, inputs = 1.0 - 2.0 * values[0], 1.0 - 2.0 * probes
    influences = (values[1:] != values[:1]).mean(1)
    return signs.mean(0), inputs.T @ signs / n_probes, influences


def _sums(means: Matrix, along: Matrix, influences: Matrix) -> Matrix:
    """(8,) sums that do not change when bits change places."""
    total = influences.sum(0)
    parts = (means, means**2, along, along**2, along**3, influences, influences**2, total**2)
    return np.array([part.sum() for part in parts])


def _check_signatures(signatures: Tensor, size: int) -> None:
    if signatures.dim() != 2 or not len(signatures) or signatures.shape[1] != size:
        raise LibraryError(
            f"signatures of shape {tuple(signatures.shape)}", where="hypernetwork",
            fix=f"give (skills, {size}), at least one skill",
        )  # fmt: skip
