"""Gradients through the lanes: straight through the exact multilinear extension.

Forward, the lanes step on hard bits. Backward, a step is taken for its multilinear extension, the
one polynomial of degree 1 in each bit that agrees with it on all of them; at hard values its slope
by a bit is what changes when that bit is flipped, -1, 0 or 1. So the slopes are found with the
engine, all steps and all flips at once, and depend on the function alone, not on the gates it is
written with. By the choice the step is linear: the slope is what each skill would have done.

Through the state, slopes go back `horizon` steps and no further: products of more of them count
paths rather than say where to go.

B batch, T time, K skills.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bb_nn.library.library import Library


class _Lanes(torch.autograd.Function):
    """See `run_lanes`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, choice: Tensor, state: Tensor, library: Library, horizon: int
    ) -> tuple[Tensor, Tensor]:
        bits, picked, start = (_bools(x) for x in (inputs, choice, state))
        states, outputs = library.run(bits, picked, start)
        before = np.concatenate([start[:, None], states], axis=1)[:, :-1]
        ctx.library, ctx.horizon = library, horizon
        kept = (bits, picked, before, states, outputs)
        ctx.save_for_backward(*(torch.from_numpy(x) for x in kept))
        found = torch.from_numpy(outputs).to(inputs.device, inputs.dtype)
        after = torch.from_numpy(states).to(inputs.device)
        ctx.mark_non_differentiable(after)
        return found, after

    @staticmethod
    def backward(ctx: Any, slope: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        library: Library = ctx.library
        bits, picked, before, states, outputs = (x.numpy() for x in ctx.saved_tensors)
        rows, length, n_in = bits.shape
        flat = tuple(x.reshape(rows * length, -1) for x in (before, bits, picked))
        own = slope.detach().float().cpu().numpy()
        n_state, seen = library.n_state, len(library.classes)
        flips = [*(range(n_state) if ctx.horizon else ()), *range(n_state + seen, n_state + n_in)]
        changed = library.differences(*flat, flips).reshape(rows, length, len(flips), -1)
        signs = 1 - 2 * np.concatenate([before, bits], axis=2)[..., flips].astype(np.float32)
        results = 1 - 2 * np.concatenate([states, outputs], axis=2).astype(np.float32)

        def back(total: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
            moved: NDArray[np.float32] = changed[..., part, :] @ (results * total)[..., None]
            return signs[..., part] * moved[..., 0]

        total = np.concatenate([np.zeros_like(before, dtype=np.float32), own], axis=2)
        for _ in range(ctx.horizon):
            earlier = back(total, slice(0, n_state))
            total[:, :-1, :n_state] = earlier[:, 1:]
        by_input = np.zeros(bits.shape, np.float32)
        by_input[..., seen:] = back(total, slice(len(flips) - (n_in - seen), len(flips)))
        every = torch.from_numpy(library.all_results(*flat[:2])).float()
        by_choice = every @ torch.from_numpy(total).flatten(0, 1)[..., None]
        found = (torch.from_numpy(by_input), by_choice.view(rows, length, -1))
        moved = (x.to(slope.device, slope.dtype) for x in found)
        return (*moved, None, None, None)


def run_lanes(
    inputs: Tensor, choice: Tensor, state: Tensor, library: Library, horizon: int = 1
) -> tuple[Tensor, Tensor]:
    """Step lanes over their tokens, differentiable by perception bits and choice.

    Args:
        inputs: (B, T, n_in) of 0 and 1; the token classes come first and get no gradient.
        choice: (B, T, K) of 0 and 1, at most one 1 at each token.
        state: (B, n_state) bool, before the first token.
        library: the skills.
        horizon: steps that gradients go back through the state.

    Returns:
        (B, T, n_out) outputs, 0 or 1, in the dtype of `inputs`; (B, T, n_state) bool states.
    """
    outputs, states = _Lanes.apply(inputs, choice, state, library, horizon)
    return outputs, states


def _bools(values: Tensor) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (values.detach() > 0.5 if values.is_floating_point() else values
    ).bool().cpu().numpy()  # fmt: skip
    return found
