"""The loss of the next token without logits that outlive it.

A few rows at a time go through the LM head; their loss and its slope by the final states are kept,
the logits are let go. What stays for the backward pass is (N, width) instead of (N, vocabulary),
and rows without a target are never taken through the head.

N positions, D width of the final states, V vocabulary.

Source: fused linear cross-entropy of Hsu et al., Liger kernel, 2024, in plain torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_ELEMENTS = 1 << 22  # logits held at a time


@dataclass(frozen=True)
class Head:
    """An LM head that is not trained.

    Attributes:
        linear: D to V.
        cap: soft cap of the logits (`cap * tanh(logits / cap)`), or None.
    """

    linear: nn.Linear
    cap: float | None

    def logits(self, states: Tensor) -> Tensor:
        """(…, D) to (…, V)."""
        found: Tensor = self.linear(states)
        return found if self.cap is None else torch.tanh(found / self.cap) * self.cap


def head_of(base: Any) -> Head | None:
    """The head of a causal LM; None if it is trained or no plain matrix, or does not do it all.

    Compared with the model's own logits after a few tokens.
    """
    module = base.get_output_embeddings()
    if not isinstance(module, nn.Linear) or type(module.weight) is not nn.Parameter:
        return None  # no plain matrix: quantised, or sharded over processes
    if any(p.requires_grad for p in module.parameters()):
        return None
    cap = getattr(base.config.get_text_config(decoder=True), "final_logit_softcapping", None)
    head = Head(module, cap)
    probe = torch.arange(min(8, module.weight.shape[0]), device=module.weight.device)[None]
    with torch.no_grad():
        states, out = final_states(base, {"input_ids": probe, "use_cache": False})
        ours, theirs = head.logits(states[:, -1]).float(), out.logits[:, -1].float()
    close = torch.allclose(ours, theirs, rtol=0, atol=1e-2 * float(theirs.abs().max()))
    return head if close else None


def final_states(base: Any, inputs: dict[str, Any]) -> tuple[Tensor, Any]:
    """(B, T, D) states where the LM head reads, and the output, whose logits are the last only."""
    seen: list[Tensor] = []
    handle = base.base_model.register_forward_hook(lambda _m, _i, out: seen.append(out[0]))
    try:
        out = base(**{**inputs, "logits_to_keep": 1})
    finally:
        handle.remove()
    return seen[-1], out


def next_token_loss(states: Tensor, labels: Tensor, head: Head) -> Tensor:
    """Mean negative log-likelihood of the labels, in nats.

    Args:
        states: (B, T, D) final states.
        labels: (B, T), -100 where no loss is wanted; the state before predicts a label.
        head: to logits.
    """
    targets = labels[:, 1:].flatten()
    wanted = (targets != -100).nonzero()[:, 0]
    rows = states[:, :-1].flatten(0, 1).index_select(0, wanted)
    loss: Tensor = _Chunked.apply(rows, targets[wanted], head)
    return loss


class _Chunked(torch.autograd.Function):
    """Rows through the head, a few at a time; slopes are made on the way."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, targets: Tensor, head: Head) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        slopes = torch.empty_like(rows) if wanted else rows.new_empty(0)
        total = rows.new_zeros((), dtype=torch.float32)
        width = max(1, _ELEMENTS // head.linear.out_features)
        for start in range(0, len(rows), width):
            part = slice(start, start + width)
            logits, target = head.logits(rows[part]), targets[part, None]
            chances = torch.softmax(logits, -1, dtype=torch.float32)
            # From the likeliest token, since the target's own chance may round to 0.
            gap = logits.amax(-1, keepdim=True).float() - logits.gather(-1, target).float()
            total += (gap - chances.amax(-1, keepdim=True).log()).sum()
            if wanted:
                ones = torch.ones_like(target, dtype=chances.dtype)
                slope = chances.scatter_add_(-1, target, -ones)
                if head.cap is not None:
                    slope = slope * (1 - (logits.float() / head.cap).square())
                slopes[part] = slope.to(logits.dtype) @ head.linear.weight
        ctx.save_for_backward(slopes.div_(max(1, len(rows))))
        return total / len(rows)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * slope.to(slopes.dtype), None, None
