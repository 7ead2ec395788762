"""What the constraints of a step's rows leave of the model's logits: masks, prices, budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bb_runtime.job import Budgeted, Soft
from bb_runtime.masks import unpack_on_device
from bb_runtime.text_row import TextRow


def constrain_logits(rows: Sequence[TextRow], logits: torch.Tensor) -> torch.Tensor:
    """Apply the masks of rows to their logits; soft rows hear what they leave out, at its price.

    Args:
        rows: those whose next token is chosen; one without a mask is left alone.
        logits: (rows, vocabulary) float32, changed in place.

    Returns:
        (rows, vocabulary), minus infinity where a token is forbidden. A row whose budget fails
        keeps the error.
    """
    bound = [i for i, row in enumerate(rows) if row.words is not None]
    if not bound:
        return logits
    words = np.stack([w for row in rows if (w := row.words) is not None])
    octets = torch.from_numpy(words.view(np.uint8)).to(logits.device)
    allowed = unpack_on_device(octets)[:, : logits.shape[1]]
    if allowed.shape[1] < logits.shape[1]:
        allowed = torch.nn.functional.pad(allowed, (0, logits.shape[1] - allowed.shape[1]))
    index = torch.tensor(bound, device=logits.device)
    free = logits[index]
    masked = free.masked_fill(~allowed, -torch.inf)
    soft = {at: state for at, i in enumerate(bound) if (state := rows[i].soft) is not None}
    if soft:
        places = list(soft)
        masked[places] = _priced(list(soft.values()), free[places], masked[places])
    logits[index] = masked
    for i in bound:
        row = rows[i]
        if isinstance(row.state, Budgeted) and row.error is None:
            try:
                logits[i] = row.state.within_budget(logits[i])
            except Exception as error:
                row.error = error
    return logits


def _priced(soft: Sequence[Soft], free: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
    """(rows, vocabulary) logits with the price of each row on the tokens that its mask leaves out.

    Args:
        soft: one state per row; each hears what its mask leaves out, in nats.
        free: (rows, vocabulary) logits of the model.
        masked: the same, minus infinity where the mask leaves a token out.
    """
    best = masked.amax(-1, keepdim=True)
    # Three times as fast as logsumexp, which is slow at minus infinity.
    inside = ((free - best).clamp(max=0).exp() * (masked > -torch.inf)).sum(-1).log() + best[:, 0]
    outside = free.logsumexp(-1) - inside
    for state, nats in zip(soft, outside.tolist(), strict=True):
        state.judge(nats)
    weight = free.new_tensor([state.weight for state in soft])[:, None]
    return torch.maximum(masked, free - weight)
