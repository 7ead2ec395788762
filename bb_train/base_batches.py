"""Where the rail's training gets the base's states from: the disk, packed rows, or a plain pass.

Without packing and without a cache there is nothing here to do: the model's own forward pass runs
base and rail together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bb_train.activation_cache import ActivationCache
from bb_train.data import Example, collate, padded_width
from bb_train.packing import packed_states

if TYPE_CHECKING:
    import torch

    from bb_nn.rail import DualRailForCausalLM
    from bb_nn.replay import BaseStates

Row = tuple[int, Example]
"""Index of an example in the data (-1 in a stream), and the example."""


@dataclass(frozen=True)
class BaseBatches:
    """Gives a dual rail's forward passes the base's states.

    Attributes:
        model: the dual rail, without wrappers.
        pad_id: token of padding.
        cache: of the data's states, or None.
        row_tokens: longest packed row; None for no packing.
    """

    model: DualRailForCausalLM
    pad_id: int
    cache: ActivationCache | None
    row_tokens: int | None

    @contextmanager
    def given(self, rows: Sequence[Row]) -> Iterator[None]:
        """Within the block, forward passes of the rows' batch find the states made here."""
        from bb_nn.replay import replayed

        with replayed(self.model, self._states(rows)):
            yield

    def flush(self) -> None:
        """Put what was cached on the disk."""
        if self.cache is not None:
            self.cache.flush()

    def _states(self, rows: Sequence[Row]) -> BaseStates:
        if self.cache is None:
            return self._computed([example for _, example in rows])
        return self._through_cache(self.cache, rows)

    def _computed(self, examples: Sequence[Example]) -> BaseStates:
        from bb_nn.replay import base_states

        if self.row_tokens is not None:
            return packed_states(self.model, examples, self.pad_id, self.row_tokens)
        batch = collate(examples, self.pad_id)
        batch.pop("labels")
        return base_states(self.model, **{k: v.to(self.model.device) for k, v in batch.items()})

    def _through_cache(self, cache: ActivationCache, rows: Sequence[Row]) -> BaseStates:
        """States from the disk, the missing ones computed and kept."""
        from bb_nn.replay import BaseStates

        found = [cache.get(index) for index, _ in rows]
        missing = [place for place, states in enumerate(found) if states is None]
        if missing:
            computed = self._computed([rows[place][1] for place in missing])
            for n, place in enumerate(missing):
                index, example = rows[place]
                parts = [computed.taps[layer][n, : len(example.ids)] for layer in cache.key.taps]
                found[place] = cache.rounded(_stacked(parts))
                cache.put(index, found[place])
        width = padded_width(max(len(example.ids) for _, example in rows))
        together = _laid_out(found, width).to(self.model.device, self.model.dtype)
        taps = dict(zip(cache.key.taps, together, strict=True))
        return BaseStates(taps, cache.key.in_tuples)


def _stacked(parts: list[torch.Tensor]) -> torch.Tensor:
    import torch

    return torch.stack(parts)


def _laid_out(states: Sequence[Any], width: int) -> torch.Tensor:
    """(taps, N, T, D) of N states (taps, tokens, D), zeros behind each."""
    first = states[0]
    together = first.new_zeros(first.shape[0], len(states), width, first.shape[-1])
    for row, state in enumerate(states):
        together[:, row, : state.shape[1]] = state
    return together
