"""Networks made smaller by walking over equal ones, as a whole or window by window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import SynthesisError
from bem_kernel.lanes import WORD_BITS
from bem_kernel.synthesis import resubstitution
from bem_kernel.synthesis.network import Network
from bem_kernel.synthesis.observation import simulate

_FULL = (1 << WORD_BITS) - 1
_WITHIN_WORD = (
    0xAAAAAAAAAAAAAAAA,
    0xCCCCCCCCCCCCCCCC,
    0xF0F0F0F0F0F0F0F0,
    0xFF00FF00FF00FF00,
    0xFFFF0000FFFF0000,
    0xFFFFFFFF00000000,
)


def all_inputs(n_inputs: int) -> NDArray[np.uint64]:
    """Every row of a truth table at once.

    Returns:
        (n_inputs, words) uint64: bit r % 64 of word r // 64 is bit i of r; tables of fewer than 64
        rows are repeated.

    Raises:
        SynthesisError: more inputs than are simulated exhaustively.
    """
    if n_inputs > resubstitution.MAX_INPUTS:
        raise SynthesisError(
            f"{n_inputs} inputs",
            where="synthesis",
            fix=f"use at most {resubstitution.MAX_INPUTS}, or windows",
        )
    words = max(1, (1 << n_inputs) // WORD_BITS)
    planes = np.zeros((n_inputs, words), dtype=np.uint64)
    for i in range(n_inputs):
        if i < len(_WITHIN_WORD):
            planes[i] = _WITHIN_WORD[i]
        else:
            planes[i] = np.where(np.arange(words) >> (i - len(_WITHIN_WORD)) & 1, _FULL, 0)
    return planes


def evaluated(network: Network) -> NDArray[np.uint64]:
    """Truth tables of the outputs: (outputs, words) uint64, rows as in `all_inputs`."""
    planes = all_inputs(network.n_inputs)
    sims = np.zeros((len(network.gates), planes.shape[1]), dtype=np.uint64)
    sims[1 : 1 + network.n_inputs] = planes
    simulate(network.n_inputs, len(network.gates), network.gates, sims)
    flips = np.where(network.outputs & 1, np.uint64(_FULL), np.uint64(0))
    tables: NDArray[np.uint64] = sims[network.outputs >> 1] ^ flips[:, None]
    return tables


def walked(
    network: Network, key: int, moves: int, care: NDArray[np.uint64] | None = None
) -> Network:
    """An equal network, of the same size or smaller, at the end of a random walk.

    Args:
        network: of at most 14 inputs.
        key: of the random numbers.
        moves: gates to try.
        care: (words,) uint64, the rows of the truth table that count; None for all.

    Raises:
        SynthesisError: too many inputs.
    """
    planes = all_inputs(network.n_inputs)
    count, n = len(network.gates), network.n_inputs
    gates = np.zeros((count + 8, 3), dtype=np.int64)
    gates[:count] = network.gates
    sims = np.zeros((count + 8, planes.shape[1]), dtype=np.uint64)
    sims[1 : 1 + n] = planes
    outs = network.outputs.copy()
    given = np.full(planes.shape[1], _FULL, dtype=np.uint64) if care is None else care
    room, words = sims.shape
    left = resubstitution.walk(
        n,
        count,
        gates,
        outs,
        sims,
        given,
        key,
        moves,
        np.zeros((2, room, 3), dtype=np.int64),
        np.zeros((2, len(outs)), dtype=np.int64),
        np.zeros((3, 16), dtype=np.int64),
        np.zeros((resubstitution.N_ROWS, 1 << (4 * room).bit_length()), dtype=np.int64),
        np.zeros((2, room), dtype=np.uint8),
        np.zeros((room, words), dtype=np.uint64),
        np.zeros(room, dtype=np.uint64),
        np.zeros((3, words), dtype=np.uint64),
    )
    return Network(n, gates[:left].copy(), outs)
