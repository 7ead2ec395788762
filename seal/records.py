"""The rows of the output files: what a later reader needs to know where an edit came from."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from seal.generator import NO_EDIT_KEPT, PassageEdits
from seal.settings import GenerationSettings


@dataclass(frozen=True)
class Provenance:
    """What all rows of a run share: strategy, model fingerprint, generation settings."""

    strategy: str
    model: str
    settings: GenerationSettings


def output_rows(result: PassageEdits, provenance: Provenance) -> list[dict[str, Any]]:
    """Rows of the output file for one passage.

    One row per accepted edit; if there is none, one row of kind "original" that holds the passage
    itself and the reason. A blank passage gives no row: there is nothing to train on.
    """
    passage = result.passage
    if passage.is_empty:
        return []
    shared = {
        "id": passage.id,
        "passage_sha256": passage.sha256,
        "strategy": provenance.strategy,
        "model_fingerprint": provenance.model,
        "generation": asdict(provenance.settings),
        "cut": result.shown_chars < len(passage.text),
    }
    rows = [
        {
            **shared,
            "kind": "edit",
            "edit": edit.text,
            "attempt": edit.attempt,
            "seed": edit.seed,
            "prompt_sha256": edit.prompt_sha256,
            "quality": edit.scores,
        }
        for edit in result.edits
    ]
    if rows:
        return rows
    original = {
        "kind": "original",
        "edit": passage.text,
        "reason": NO_EDIT_KEPT,
        "attempt": result.attempts - 1,
        "seed": result.seed,
        "prompt_sha256": result.prompt_sha256,
        "quality": {},
    }
    return [{**shared, **original}]


def rejected_rows(result: PassageEdits) -> list[dict[str, Any]]:
    """Rows of the file of rejections for one passage: refused candidates, and a blank passage."""
    passage = result.passage
    if passage.is_empty:
        return [{"id": passage.id, "refused_by": "passage", "reason": "the passage is blank"}]
    return [
        {
            "id": passage.id,
            "passage_sha256": passage.sha256,
            "edit": rejection.text,
            "attempt": rejection.attempt,
            "refused_by": rejection.refused_by,
            "reason": rejection.reason,
            "quality": rejection.scores,
        }
        for rejection in result.rejections
    ]


def counts(result: PassageEdits) -> Counter[str]:
    """What one passage adds to the totals of a run; rejections count as "rejected/FILTER"."""
    totals: Counter[str] = Counter(f"rejected/{r.refused_by}" for r in result.rejections)
    totals["passages"] = 1
    totals["edits"] = len(result.edits)
    totals["attempts"] = result.attempts
    totals["tokens"] = result.tokens
    empty = result.passage.is_empty
    totals["blank_passages"] = int(empty)
    totals["originals"] = int(not empty and not result.edits)
    totals["cut_passages"] = int(result.shown_chars < len(result.passage.text) and not empty)
    return totals
