"""Where a batch's plan tokens are predicted, and which positions of two wordings correspond.

The token at column t is predicted at column t − 1. Prompts are of any length; a plan's tokens are
the same in every example of the same plan, because prompt and plan are tokenised apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bb_train.data import Example
from bb_train.objectives.errors import ObjectiveError


@dataclass(frozen=True)
class PlanPositions:
    """The N positions of a right-padded batch at which plan tokens are predicted.

    Attributes:
        rows: (N,) int64, index into the batch.
        columns: (N,) int64, index into time.
        targets: (N,) int64, the token that comes next; the last of each row is end of sequence.
    """

    rows: Tensor
    columns: Tensor
    targets: Tensor

    def take(self, states: Tensor) -> Tensor:
        """(N, …) of a tensor (B, T, …)."""
        return states[self.rows.to(states.device), self.columns.to(states.device)]


def plan_positions(
    examples: Sequence[Example], device: str | torch.device = "cpu"
) -> PlanPositions:
    """All plan positions of a batch, row after row.

    Args:
        examples: as they were collated.
        device: of the tensors.
    """
    spans = [range(e.n_prompt - 1, len(e.ids) - 1) for e in examples]
    rows = [row for row, span in enumerate(spans) for _ in span]
    columns = [column for span in spans for column in span]
    targets = [token for e in examples for token in e.ids[e.n_prompt :]]
    parts = (rows, columns, targets)
    return PlanPositions(*(torch.tensor(v, dtype=torch.int64, device=device) for v in parts))


def paired_positions(
    examples: Sequence[Example], pairs: Sequence[tuple[int, int]]
) -> tuple[PlanPositions, PlanPositions]:
    """Positions of two wordings of one plan, aligned by the plan's text.

    Args:
        examples: as they were collated.
        pairs: rows of the batch that carry the same plan under two wordings.

    Returns:
        Two sets of equal length and targets: n-th of the one corresponds to n-th of the other.

    Raises:
        ObjectiveError: two rows of a pair carry different plans.
    """
    for left, right in pairs:
        if _plan(examples[left]) != _plan(examples[right]):
            raise ObjectiveError(
                f"rows {left} and {right} carry different plans", where="invariance",
                fix="pair wordings of one goal whose plan texts are equal",
            )  # fmt: skip
    return _of_rows(examples, [p[0] for p in pairs]), _of_rows(examples, [p[1] for p in pairs])


def same_plan_pairs(examples: Sequence[Example]) -> list[tuple[int, int]]:
    """Rows of a batch with the same plan and different prompts, each row in one pair at most."""
    waiting: dict[tuple[int, ...], int] = {}
    pairs = []
    for row, example in enumerate(examples):
        other = waiting.get(_plan(example))
        if other is None:
            waiting[_plan(example)] = row
        elif examples[other].ids != example.ids:
            pairs.append((other, row))
            del waiting[_plan(example)]
    return pairs


def _plan(example: Example) -> tuple[int, ...]:
    return example.ids[example.n_prompt :]


def _of_rows(examples: Sequence[Example], rows: Sequence[int]) -> PlanPositions:
    found = plan_positions([examples[row] for row in rows])
    index = torch.tensor(list(rows), dtype=torch.int64)
    return PlanPositions(index[found.rows], found.columns, found.targets)
