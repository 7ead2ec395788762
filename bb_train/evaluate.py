"""Decode every split with and without the masks, score it, and keep the figures with their n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bb_core.progress import Progress
from bb_core.trace import Trace, trace_plan
from bb_domains.domain import Domain
from bb_runtime.decode import decode_plans
from bb_train.metrics import Score, score

SPLITS = ("seen", "unseen_wordings", "unseen_compositions")
SPLIT_TITLES = {
    "seen": "like training",
    "unseen_wordings": "unseen wordings",
    "unseen_compositions": "unseen compositions",
}
METHODS = ("base", "lora", "rail")
METHOD_TITLES = {"base": "base", "lora": "LoRA", "rail": "dual-rail", "full": "fine-tuned"}


@dataclass(frozen=True)
class DecodeBudget:
    """How answers are decoded.

    Attributes:
        max_new_tokens: per answer without masks, end of sequence included.
        plan_bytes: per answer under the masks, which count a token as one byte.
        batch_size: rows decoded together.
    """

    max_new_tokens: int = 320
    plan_bytes: int = 1024
    batch_size: int = 32


@dataclass(frozen=True)
class CellScores:
    """The scores of one method, with or without masks, on one split, of one training seed."""

    method: str
    masked: bool
    split: str
    seed: int
    scores: tuple[Score, ...]


def evaluate_model(
    model,
    tokenizer,
    domain: Domain,
    splits: Mapping[str, Sequence[Trace]],
    budget: DecodeBudget,
    *,
    method: str,
    seed: int,
) -> list[CellScores]:
    """Score one model on every split, without and with the masks.

    Args:
        model: any HF causal LM.
        tokenizer: the model's.
        domain: whose masks and checker are used.
        splits: name -> traces; their plans are the references.
        budget: how to decode.
        method: name of the cells.
        seed: of the training; names the cells too.
    """
    cells = []
    rows = 2 * sum(len(traces) for traces in splits.values())
    with Progress(rows, f"decode {METHOD_TITLES[method]}") as bar:
        for split, traces in splits.items():
            for masked in (False, True):
                decoded = decode_plans(
                    model,
                    tokenizer,
                    [trace.request for trace in traces],
                    domain,
                    max_new_tokens=budget.plan_bytes if masked else budget.max_new_tokens,
                    masks=masked,
                    batch_size=budget.batch_size,
                    on_batch=bar.advance,
                )
                scores = tuple(
                    score(domain, trace_plan(trace), answer)
                    for trace, answer in zip(traces, decoded, strict=True)
                )
                cells.append(CellScores(method, masked, split, seed, scores))
    return cells


def cells_to_json(cells: Sequence[CellScores]) -> list[dict[str, Any]]:
    """Cells as plain JSON values, every example's score included."""
    return [asdict(cell) for cell in cells]


def cells_from_json(document: Sequence[Mapping[str, Any]]) -> list[CellScores]:
    """The inverse of `cells_to_json`."""
    return [
        CellScores(**{**cell, "scores": tuple(Score(**one) for one in cell["scores"])})
        for cell in document
    ]
