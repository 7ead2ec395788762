"""Losses over the whole vocabulary, without ever holding all logits.

The losses of a position depend on that position's final hidden state alone. So a few rows at a
time are taken through the LM head, their losses and the losses' derivatives by the states are
kept, and the logits are let go: what stays is (N, width) for each loss instead of (N, vocabulary)
for each step of its computation. Several losses of one position share the logits.

N positions, D width of the states, V vocabulary.

Source: the recomputed LM head of Hsu et al., Liger kernel, 2024 (fused linear cross-entropy),
here for any loss of rows and in plain torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from peft import PeftModel
from torch import Tensor, nn

from bb_nn.rail import DualRailForCausalLM
from bb_train.objectives.errors import ObjectiveError, ShapeError

_ELEMENTS = 2**22  # logits held at a time
Measure = Callable[[Tensor, slice], Tensor]
"""(n, …, V) log-probabilities of the rows in the slice -> (n,), a loss of each row."""


@dataclass(frozen=True)
class Head:
    """What takes final states to logits; it is not trained.

    Attributes:
        project: (n, …, D) -> (n, …, V).
        size: V.
    """

    project: Callable[[Tensor], Tensor]
    size: int


@dataclass(frozen=True)
class VocabularyRows:
    """Losses of rows.

    Attributes:
        losses: (N,) each, differentiable by the states.
        top: (N, …) int64, the likeliest token.
    """

    losses: tuple[Tensor, ...]
    top: Tensor


def logits_head(size: int) -> Head:
    """The head for states that are logits already."""
    return Head(lambda logits: logits, size)


def vocabulary_rows(states: Tensor, head: Head, measures: Sequence[Measure]) -> VocabularyRows:
    """Losses of rows of the vocabulary's distribution.

    Args:
        states: (N, …, D) final hidden states; each row is measured alone.
        head: to logits.
        measures: the losses. Log-probabilities come to them in float32, or in the states' own
            dtype if that is wider.
    """
    if states.dim() < 2:
        raise ShapeError(
            f"states of shape {tuple(states.shape)}", where="vocabulary", fix="give (N, …, D)"
        )
    *losses, top = _Chunked.apply(states, head, tuple(measures))
    return VocabularyRows(tuple(losses), top)


class _Chunked(torch.autograd.Function):
    """Rows through the head, a few at a time; the derivatives are made on the way."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Head, measures: tuple[Measure, ...]) -> Any:
        wanted = ctx.needs_input_grad[0]
        kept = states.detach()
        dtype = torch.promote_types(kept.dtype, torch.float32)
        losses = [kept.new_zeros(len(kept), dtype=dtype) for _ in measures]
        slopes = [torch.zeros_like(kept) for _ in measures] if wanted else []
        top = torch.zeros(kept.shape[:-1], dtype=torch.int64, device=kept.device)
        width = max(1, _ELEMENTS // (head.size * max(1, kept[:1, ..., 0].numel())))
        for start in range(0, len(kept), width):
            part = slice(start, min(start + width, len(kept)))
            rows = kept[part].clone().requires_grad_(wanted)
            with torch.set_grad_enabled(wanted):
                found = head.project(rows).to(dtype).log_softmax(-1)
                values = [measure(found, part) for measure in measures]
            top[part] = found.detach().argmax(-1)
            for i, value in enumerate(values):
                losses[i][part] = value.detach()
                if wanted:
                    last = i + 1 == len(values)
                    slopes[i][part] = _slope(value, rows, retain=not last)
        ctx.save_for_backward(*slopes)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(top)
        return (*losses, top)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        total: Tensor | None = None
        for gradient, slope in zip(gradients[:-1], ctx.saved_tensors, strict=True):
            if gradient is None:
                continue
            shaped = gradient.view(-1, *[1] * (slope.dim() - 1))
            part = slope * shaped.to(slope.dtype)
            total = part if total is None else total + part
        return total, None, None


def _slope(value: Tensor, rows: Tensor, retain: bool) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(rows)
    ones = torch.ones_like(value)
    return torch.autograd.grad(value, rows, ones, retain_graph=retain)[0]


def nll_of(targets: Tensor) -> Measure:
    """Negative log-likelihood of (N,) int64 target tokens, in nats."""

    def measure(found: Tensor, part: slice) -> Tensor:
        return -found.gather(-1, targets[part, None].to(found.device))[:, 0]

    return measure


def log_confidence(found: Tensor, part: slice) -> Tensor:
    """Logarithm of the likeliest token's probability."""
    return found.max(-1).values


def final_states(model: nn.Module, **inputs: Any) -> Tensor:
    """(B, T, D) states after the last norm, where the LM head reads; logits are not made.

    Args:
        model: a dual rail, a causal LM, a peft model, or one of these in a DDP wrapper.
        **inputs: of its forward pass, without labels.
    """
    seen: list[Tensor] = []
    handle = _causal_lm(model).base_model.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output[0])
    )
    try:
        model(**inputs, logits_to_keep=1)
    finally:
        handle.remove()
    return seen[-1]


def vocabulary_head(model: nn.Module) -> Head:
    """The LM head of a model, with the final soft cap where the architecture has one.

    Args:
        model: as for `final_states`.

    Raises:
        ObjectiveError: the head is trained (its gradient would be lost here), or the model does
            more to its logits than this.
    """
    causal = _causal_lm(model)
    module = causal.get_output_embeddings()
    if any(p.requires_grad for p in module.parameters()):
        raise ObjectiveError(
            "the LM head is trained", where="vocabulary",
            fix="measure on logits: logits_head(size) and logits as states",
        )  # fmt: skip
    cap = getattr(causal.config.get_text_config(), "final_logit_softcapping", None)

    def project(states: Tensor) -> Tensor:
        logits = module(states.to(module.weight.dtype))
        return logits if cap is None else torch.tanh(logits / cap) * cap

    head = Head(project, module.weight.shape[0])
    _check(causal, head)
    return head


@torch.no_grad()
def _check(causal: Any, head: Head) -> None:
    """Compare the head with the model's own logits after a few tokens."""
    device = causal.get_output_embeddings().weight.device
    probe = torch.arange(min(8, head.size), device=device)[None]
    theirs = causal(input_ids=probe).logits[:, -1].float()
    ours = head.project(final_states(causal, input_ids=probe)[:, -1]).float()
    if not torch.allclose(ours, theirs, rtol=0, atol=1e-2 * float(theirs.abs().max())):
        raise ObjectiveError(
            f"{type(causal).__name__} does more to its logits than its head", where="vocabulary",
            fix="measure on logits: logits_head(size) and logits as states",
        )  # fmt: skip


def _causal_lm(model: nn.Module) -> Any:
    """The Hugging Face causal LM inside wrappers."""
    inner = extract_model_from_parallel(model)
    if isinstance(inner, DualRailForCausalLM):
        return inner.base
    return inner.get_base_model() if isinstance(inner, PeftModel) else inner
