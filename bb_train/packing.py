"""Several examples in one row: the base computes less padding, and no example sees another.

A packed row's `position_ids` start at zero with each example; transformers makes the attention
block-diagonal from them where neither an attention mask nor a cache is given, in any attention
implementation, so no variable-length kernel is needed. Bases that do not honour this (recurrent
ones) are found out by trying: `check_separation`.

Of a dual rail only the base runs on packed rows. Its states are then laid out one example a row
for the rail, whose lanes, recurrence and attention so never meet a second example. Packed and
unpacked training differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bb_core.errors import BBError
from bb_train.data import IGNORED, Example, padded_width

if TYPE_CHECKING:
    import torch

    from bb_nn.rail import DualRailForCausalLM
    from bb_nn.replay import BaseStates

_ROUNDING = 1e-4, 0.02  # of the logits' size, in float32 and in narrower types


@dataclass(frozen=True)
class Packed:
    """Examples side by side.

    Attributes:
        input_ids: (R, L) int64.
        position_ids: (R, L) int64, from 0 in each example; all 0 where nothing is.
        labels: (R, L) int64, IGNORED on prompts, on each example's first token and on padding.
        places: (row, start, stop) of each example, in the order in which they came.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    places: tuple[tuple[int, int, int], ...]


def pack(examples: Sequence[Example], pad_id: int, row_tokens: int = 0) -> Packed:
    """Lay examples into as few rows as first-fit decreasing finds.

    Args:
        examples: at least one.
        pad_id: token where nothing is.
        row_tokens: longest row; the longest example's length if that is more.
    """
    import torch

    longest = max(row_tokens, *(len(e.ids) for e in examples))
    filled: list[int] = []
    places: dict[int, tuple[int, int, int]] = {}
    for index in sorted(range(len(examples)), key=lambda i: -len(examples[i].ids)):
        length = len(examples[index].ids)
        row = next((r for r, used in enumerate(filled) if used + length <= longest), len(filled))
        if row == len(filled):
            filled.append(0)
        places[index] = (row, filled[row], filled[row] + length)
        filled[row] += length
    shape = (len(filled), padded_width(max(filled)))
    input_ids = torch.full(shape, pad_id, dtype=torch.int64)
    position_ids = torch.zeros(shape, dtype=torch.int64)
    labels = torch.full(shape, IGNORED, dtype=torch.int64)
    for index, (row, start, stop) in places.items():
        example = examples[index]
        ids = torch.tensor(example.ids, dtype=torch.int64)
        input_ids[row, start:stop] = ids
        position_ids[row, start:stop] = torch.arange(stop - start)
        begin = max(1, example.n_prompt)
        labels[row, start + begin : stop] = ids[begin:]
    return Packed(input_ids, position_ids, labels, tuple(places[i] for i in range(len(examples))))


def unpacked(packed: Packed, states: torch.Tensor, width: int) -> torch.Tensor:
    """States of packed rows as one example a row, zeros behind each.

    Args:
        packed: the layout.
        states: (R, L, D) of the packed rows.
        width: T, at least the longest example.

    Returns:
        (N, T, D).
    """
    found = states.new_zeros(len(packed.places), width, states.shape[-1])
    for index, (row, start, stop) in enumerate(packed.places):
        found[index, : stop - start] = states[row, start:stop]
    return found


def packed_states(
    model: DualRailForCausalLM, examples: Sequence[Example], pad_id: int, row_tokens: int
) -> BaseStates:
    """The base's states of some examples, computed on packed rows, one example a row."""
    from bb_nn.replay import BaseStates, base_states

    packed = pack(examples, pad_id, row_tokens)
    device = model.device
    states = base_states(
        model,
        input_ids=packed.input_ids.to(device),
        position_ids=packed.position_ids.to(device),
    )
    width = padded_width(max(len(example.ids) for example in examples))
    taps = {layer: unpacked(packed, tap, width) for layer, tap in states.taps.items()}
    return BaseStates(taps, states.in_tuples)


def check_separation(base: Any, examples: Sequence[Example], pad_id: int) -> None:
    """Try on one packed row whether the base keeps its examples apart.

    Args:
        base: a causal LM, in evaluation mode.
        examples: two are taken.
        pad_id: token where nothing is.

    Raises:
        BBError: the second example's last logits depend on the first.
    """
    import torch

    pair = [*examples[:2], *examples[:1]][:2]
    packed = pack(pair, pad_id, sum(len(e.ids) for e in pair))
    first = next(base.parameters())
    device, tolerance = first.device, _ROUNDING[first.dtype != torch.float32]
    with torch.no_grad():
        together = base(
            input_ids=packed.input_ids.to(device), position_ids=packed.position_ids.to(device),
            use_cache=False,
        ).logits  # fmt: skip
        for example, (row, _, stop) in zip(pair, packed.places, strict=True):
            ids = torch.tensor([example.ids], device=device)
            alone = base(input_ids=ids, use_cache=False).logits[0, -1].float()
            size = float((alone - alone.mean()).abs().max())
            off = float((together[row, stop - 1].float() - alone).abs().max())
            if off > tolerance * size:
                raise BBError(
                    f"{type(base).__name__} lets packed examples see each other "
                    f"(logits differ by {off:.2g} of {size:.2g})",
                    where="data.packing",
                    fix="set data.packing to null for this base",
                )
