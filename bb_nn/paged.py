"""The dual rail under Hugging Face's continuous batching: the rail's state in the paged cache.

Everything that the rail keeps is a function of a text's beginning, so it can be laid down by
position as keys and values are. `PagedRail` shows transformers a configuration with a few more
full-attention layers than the base has, and the paged cache makes room for them. One position's
state, whatever its names and dtypes, is a row of bytes, cut over the keys and values of those
layers: they are copied, never computed with. So recurrent states, lanes' bits and token ids come
back as they were, in any dtype of the base, and blocks of equal beginnings can be shared.

Requests are packed into one row of tokens. Those with equally many new tokens run through the rail
together, padded on the left. Lanes' cursors are remembered by the hash of the text before, and read
again from the token ids when they are not.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin, PreTrainedModel
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from bb_nn.base import decoder_layers
from bb_nn.errors import CacheError
from bb_nn.memory import ABSENT_ID, RailCacheLayer, front_padded
from bb_nn.rail import DualRailForCausalLM
from bb_nn.reader import Cursor

_FULL, _SLIDING = "full_attention", "sliding_attention"
_CURSORS = 4096
"""Texts whose cursors are remembered."""


@dataclass(frozen=True)
class _Part:
    """One named tensor of a position's state."""

    name: str
    is_whole: bool
    shape: tuple[int, ...]
    dtype: torch.dtype
    size_bytes: int


@dataclass(frozen=True)
class _Row:
    """One request's tokens in a packed pass: `start` to `stop`, behind `past` earlier ones."""

    start: int
    stop: int
    past: int
    before: int  # where its earlier positions begin among all positions of the pass


class PagedRail(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A dual rail as continuous batching wants it: `PagedRail(dual).generate_batch(prompts)`.

    Every mixer works, attention and recurrences alike. Not supported: flash attention's decode path
    over block tables and CUDA graphs, which are turned off, since lanes step outside of the device.

    Args:
        dual: the model; used in place.
    """

    config_class = None
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, dual: DualRailForCausalLM) -> None:
        layout = _layout(dual)
        config = copy.deepcopy(dual.base.config.get_text_config(decoder=True))
        own = int(config.num_hidden_layers)
        kinds = list(getattr(config, "layer_types", None) or ())
        sliding = getattr(config, "sliding_window", None) is not None
        kinds = kinds or [_SLIDING if sliding else _FULL] * own
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        per_layer = 2 * heads * width * dual.dtype.itemsize
        more = -(-sum(part.size_bytes for part in layout) // per_layer)
        config.layer_types = kinds + [_FULL] * more
        config.num_hidden_layers = own + more
        config._experts_implementation = "eager"  # the view has no experts; the base keeps its own
        super().__init__(config)
        self.dual = dual
        self.generation_config = dual.generation_config
        self._layout, self._page = layout, (more, 2, heads, width)
        self._first_page, self._kinds = own, set(kinds)
        self._cursors: OrderedDict[bytes, Cursor] = OrderedDict()

    @property
    def device(self) -> torch.device:
        """The base's."""
        return self.dual.device

    @property
    def dtype(self) -> torch.dtype:
        """The base's."""
        return self.dual.dtype

    def get_output_embeddings(self) -> Any:
        """The base's."""
        return self.dual.get_output_embeddings()

    def init_continuous_batching(
        self,
        generation_config: Any = None,
        continuous_batching_config: ContinuousBatchingConfig | None = None,
        workload_hints: Any = None,
    ) -> Any:
        """As transformers does, without CUDA graphs, block tables and batches in flight.

        Raises:
            CacheError: the configuration asks for one of them.
        """
        wanted = continuous_batching_config or ContinuousBatchingConfig()
        for name in ("use_cuda_graph", "use_async_batching", "max_blocks_per_request"):
            if getattr(wanted, name):
                raise CacheError(
                    f"{name} cannot be had with a dual rail", where="continuous batching",
                    fix=f"leave {name} away",
                )  # fmt: skip
        off = {"use_cuda_graph": False, "use_async_batching": False, "max_blocks_per_request": 0}
        return super().init_continuous_batching(
            generation_config, replace(wanted, **off), workload_hints
        )

    @torch.no_grad()
    def forward(
        self, input_ids: Tensor, cache: Any, attention_mask: Any = None,
        logits_to_keep: int | Tensor = 0, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """One packed pass; the arguments are those of transformers' continuous batching."""
        rows = _rows(kwargs["cu_seq_lens_q"], kwargs["cu_seq_lens_k"][_FULL])
        past = self._exchange(cache, kwargs, input_ids.new_zeros(input_ids.shape[1], 0))
        if isinstance(attention_mask, dict) and len(self._kinds) == 1:
            attention_mask = attention_mask[next(iter(self._kinds))]
        taps: dict[int, Tensor] = {}
        written: list[Tensor] = []

        def read(index: int, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            taps[index] = hidden
            if index != self.dual.rail.tap_indices[-1]:
                return output
            mixed, state = self._mixed(rows, input_ids[0], past, taps)
            written.append(state)
            return (mixed, *output[1:]) if isinstance(output, tuple) else mixed

        layers = decoder_layers(self.dual.base)
        hooks = [
            layers[i].register_forward_hook(lambda _m, _i, out, at=i: read(at, out))
            for i in self.dual.rail.tap_indices
        ]
        try:
            found = self.dual.base(
                input_ids=input_ids, attention_mask=attention_mask, cache=cache,
                logits_to_keep=logits_to_keep, **kwargs,
            )  # fmt: skip
        finally:
            for hook in hooks:
                hook.remove()
        self._exchange(cache, kwargs, written[0])
        return found

    def _exchange(self, cache: Any, kwargs: dict[str, Any], state: Tensor) -> Tensor:
        """Write (N, bytes) of the new positions; return (S, bytes) of all, request by request."""
        more, _, heads, width = self._page
        room = 2 * more * heads * width * self.dtype.itemsize
        bytes_ = state.new_zeros(len(state), room, dtype=torch.uint8)
        bytes_[:, : state.shape[1]] = state
        pages = bytes_.view(self.dtype).view(-1, *self._page)
        found = []
        for page in range(more):
            key, value = (pages[None, :, page, side].transpose(1, 2) for side in (0, 1))
            pair = cache.update(key, value, self._first_page + page, dict(kwargs))
            found.append(torch.stack([part[0].transpose(0, 1) for part in pair], dim=1))
        whole = torch.stack(found, dim=1).contiguous()
        return whole.view(len(whole), -1).view(torch.uint8)

    def _mixed(
        self, rows: list[_Row], ids: Tensor, past: Tensor, taps: dict[int, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The last layer's output, (1, N, W), and (N, bytes) of the new positions' state."""
        dual = self.dual
        head = dual.base.get_output_embeddings().weight
        mixed = taps[dual.rail.tap_indices[-1]].clone()
        size = sum(part.size_bytes for part in self._layout)
        state = torch.zeros(len(ids), size, dtype=torch.uint8, device=ids.device)
        groups: dict[int, list[_Row]] = {}
        for row in rows:
            groups.setdefault(row.stop - row.start, []).append(row)
        for new, group in groups.items():
            at = torch.stack([torch.arange(r.start, r.stop, device=ids.device) for r in group])
            earlier = max(row.past for row in group)
            present = torch.ones(len(group), earlier + new, dtype=torch.int64, device=ids.device)
            for number, row in enumerate(group):
                present[number, : earlier - row.past] = 0
            layer = self._layer(group, earlier, past)
            current = dual._begin(ids[at], present, layer)
            current.taps |= {index: hidden[0, at] for index, hidden in taps.items()}
            mixed[0, at] = dual.rail(current, head, dual.step_tokens)
            state[at] = self._packed(layer, new)
            self._remember(layer, group)
        return mixed, state

    def _layer(self, group: list[_Row], earlier: int, past: Tensor) -> RailCacheLayer:
        """What the rail kept of a group's earlier positions, padded on the left."""
        layer = RailCacheLayer()
        layer.activate_past_recording()
        if not earlier:
            return layer
        parts: list[dict[str, list[Tensor]]] = [{}, {}]
        for row in group:
            first = 0
            state = past[row.before : row.before + row.past]
            for part in self._layout:
                own = state[:, first : first + part.size_bytes].contiguous()
                first += part.size_bytes
                value = own.view(part.dtype) if part.dtype != torch.bool else own.bool()
                fill = ABSENT_ID if part.name == "ids" else 0
                shaped = front_padded(value.view(1, row.past, *part.shape), earlier, fill)
                parts[not part.is_whole].setdefault(part.name, []).append(shaped)
        wholes, tails = ({k: torch.cat(v) for k, v in part.items()} for part in parts)
        texts = [wholes["ids"][i, earlier - row.past :] for i, row in enumerate(group)]
        layer.put(wholes, tails, [[self._cursor(text)] for text in texts])
        return layer

    def _packed(self, layer: RailCacheLayer, new: int) -> Tensor:
        """(R, T, bytes) of the last `new` positions."""
        tails, found = layer.tails(), []
        for part in self._layout:
            tensor = (layer.wholes if part.is_whole else tails)[part.name][:, -new:]
            flat = tensor.contiguous().to(part.dtype).flatten(2 if tensor.ndim > 2 else 1)
            flat = flat.view(*tensor.shape[:2], -1)
            found.append(flat.byte() if part.dtype == torch.bool else flat.view(torch.uint8))
        return torch.cat(found, dim=-1)

    def _cursor(self, text: Tensor) -> Cursor:
        """Where the lane stands after a text."""
        key = _key(text)
        if key not in self._cursors:
            lanes = self.dual.lanes
            if lanes is None or not len(text):
                return Cursor()
            pieces = self.dual._pieces(text[None], torch.ones_like(text[None]))
            self._put(key, lanes.run(pieces).cursors[0][-1])
        self._cursors.move_to_end(key)
        return self._cursors[key]

    def _remember(self, layer: RailCacheLayer, group: list[_Row]) -> None:
        for number, row in enumerate(group):
            length = row.past + row.stop - row.start
            self._put(_key(layer.wholes["ids"][number, -length:]), layer.cursors[number][-1])

    def _put(self, key: bytes, cursor: Cursor) -> None:
        self._cursors[key] = cursor
        if len(self._cursors) > _CURSORS:
            self._cursors.popitem(last=False)


def _layout(dual: DualRailForCausalLM) -> tuple[_Part, ...]:
    """The tensors that the rail keeps of a position, found by reading one token."""
    cache = dual.new_cache()
    with torch.no_grad():
        dual(torch.zeros(1, 1, dtype=torch.int64, device=dual.device), past_key_values=cache)
    layer = cache.layers[-1]
    kinds = [(True, layer.wholes), (False, layer.tails())]
    return tuple(
        _Part(name, is_whole, tuple(t.shape[2:]), t.dtype, t[0, 0].numel() * t.element_size())
        for is_whole, tensors in kinds
        for name, t in sorted(tensors.items())
        if name != "positions"
    )


def _rows(queries: Tensor, keys: Tensor) -> list[_Row]:
    """The requests of a pass, from the cumulative lengths of their new and of all tokens."""
    q, k = queries.tolist(), keys.tolist()
    return [
        _Row(q[i], q[i + 1], k[i + 1] - k[i] - (q[i + 1] - q[i]), k[i])
        for i in range(len(q) - 1)
        if q[i + 1] > q[i]
    ]


def _key(text: Tensor) -> bytes:
    return blake2b(text.cpu().to(torch.int64).numpy().tobytes(), digest_size=16).digest()
