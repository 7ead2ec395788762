"""The dual rail: a frozen causal LM and a trained builder rail beside it.

Side fusion (DESIGN.md 5): the base runs as it is; hooks read its hidden states at the tapped
layers, and one hook, on the last decoder layer, replaces that layer's output by

    h_L = α_L ⊙ U c_L + (1 - α_L) ⊙ h^B_L

which then goes through the base's own final norm and LM head. No gradient passes through the
base's layers, since nothing before that hook requires one. At ᾱ = 0 the logits are those of the
base, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from bb_core.plan import MAX_STEPS, STEP_IDS
from bb_nn.base import decoder_layers, fingerprint, freeze, hidden_size, vocabulary_hash
from bb_nn.blocks import CompBlock, Pass, RMSNorm, WordTensors
from bb_nn.config import DualRailConfig
from bb_nn.copying import WordCopy, unit_rows
from bb_nn.gates import Gates
from bb_nn.lanes import LaneProgram
from bb_nn.memory import Memory, RailCacheLayer
from bb_nn.reader import Cursor
from bb_nn.roomy import roomy_cache
from bb_nn.token_bytes import token_bytes
from bb_nn.words import entries_of, plan_encoder


class BuilderRail(nn.Module):
    """The trained network: one CompBlock a tap, gates, and the way back to the base's width."""

    def __init__(self, config: DualRailConfig, taps: list[int], base_width: int, bits: int) -> None:
        super().__init__()
        width = config.width
        self.tap_indices = taps
        self.norms = nn.ModuleList([RMSNorm(base_width) for _ in taps])
        self.inward = nn.ModuleList([nn.Linear(base_width, width) for _ in taps])
        shape = (width, config.heads, bits, config.skills)
        self.blocks = nn.ModuleList([CompBlock(*shape, f"block{i}") for i in range(len(taps))])
        gated = [width] * (len(taps) - 1) + [base_width]
        self.gates = Gates(gated, config.alpha_start, config.alpha_budget)
        self.norm = RMSNorm(width)
        self.outward = nn.Linear(width, base_width, bias=False)
        nn.init.zeros_(self.outward.weight)
        self.copy = WordCopy(width)
        # Of U c, words and registers, log units: the first two start near the base's own size.
        self.gain = nn.Parameter(torch.tensor([3.5, 4.0, 5.0]))
        self.register_gate = nn.Linear(width, 2)
        nn.init.constant_(self.register_gate.bias, -3.0)

    def forward(self, current: Pass, head: Tensor) -> Tensor:
        """The last layer's output with the builder rail mixed in.

        Args:
            current: taps and lanes of this pass.
            head: (vocabulary, base width) rows of the LM head.

        Returns:
            (B, T, base width), in the dtype of the tapped states.
        """
        alphas = self.gates()
        dtype = self.outward.weight.dtype
        x: Tensor | None = None
        first: Tensor | None = None
        for i, block in enumerate(self.blocks):
            hidden = current.taps[self.tap_indices[i]]
            seen = self.inward[i](self.norms[i](hidden.to(dtype))) * current.present
            first = seen if first is None else first
            x = seen if x is None else x
            c = block(x, seen, current)
            if i + 1 < len(self.blocks):
                x = alphas[i] * c + (1 - alphas[i]) * seen
        last = current.taps[self.tap_indices[-1]]
        assert first is not None
        built = self._outward(self.norm(c), first, last, current, head)
        alpha = alphas[-1].to(last.dtype)
        return alpha * built.to(last.dtype) + (1 - alpha) * last

    def _outward(
        self, c: Tensor, first: Tensor, last: Tensor, current: Pass, head: Tensor
    ) -> Tensor:
        """U c_L in base width, in units of the base's own root mean square.

        Three parts: a linear map, what is copied from the request, and the step names that the
        lanes' registers hold.
        """
        copied = self.copy(c, current.memory.grow("copy.seen", first), current, head)
        unit = last.float().pow(2).mean(-1, keepdim=True).sqrt().to(c.dtype)
        linear_gain, word_gain, step_gain = self.gain.exp()
        gate = torch.sigmoid(self.register_gate(c)) * (current.registers >= 0)
        named = F.embedding(current.registers.clamp(min=0), head).to(c.dtype)
        steps = (gate[..., None] * unit_rows(named)).sum(2)
        return unit * (linear_gain * self.outward(c) + word_gain * copied + step_gain * steps)


class DualRailForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A causal LM of Hugging Face's: the base rail, the builder rail and its lanes.

    Make one with `from_base`, or `from_pretrained` for a trained rail.
    """

    config_class = DualRailConfig
    main_input_name = "input_ids"
    _is_stateful = False

    def __init__(
        self, config: DualRailConfig, base: Any, tokenizer: Any, lanes: LaneProgram | None
    ) -> None:
        super().__init__(config)
        freeze(base)
        self.base = base
        self.generation_config = base.generation_config
        self.lanes = lanes
        self.table = token_bytes(tokenizer)
        self.encode = plan_encoder(tokenizer, self.table)
        self.step_tokens = np.array([self.encode(i)[0] for i in STEP_IDS] + [-1])
        layers = decoder_layers(base)
        taps = config.tap_indices(len(layers))
        bits = lanes.n_features if lanes is not None else 0
        self.rail = BuilderRail(config, taps, hidden_size(base), bits)
        self.rail.to(device=next(base.parameters()).device)
        self._pass: Pass | None = None
        for index in taps:
            hook = self._read_tap if index != taps[-1] else self._mix
            layers[index].register_forward_hook(_at(index, hook))

    # -- making, saving, loading -------------------------------------------------------------

    @classmethod
    def from_base(
        cls, base: Any, tokenizer: Any, config: DualRailConfig, lanes: LaneProgram | None = None
    ) -> DualRailForCausalLM:
        """A new builder rail beside a base.

        Args:
            base: a causal LM; it is frozen and used in place.
            tokenizer: the base's tokenizer.
            config: shape of the rail; the base's identity is filled in.
            lanes: the lanes' program; None for a rail without lanes.
        """
        config.base_config = base.config.to_dict()
        config.base_name = config.base_name or str(base.config.name_or_path)
        config.base_fingerprint = fingerprint(base, tokenizer)
        config.vocabulary = vocabulary_hash(tokenizer)
        return cls(config, base, tokenizer, lanes)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, folder: str | Path, base: Any = None, device: str = "cpu", dtype: str = "float32"
    ) -> DualRailForCausalLM:
        """Load a rail written by `save_pretrained` beside its base; see `bb_nn.checkpoint`."""
        from bb_nn.checkpoint import load_rail

        return load_rail(folder, base=base, device=device, dtype=dtype)

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write the rail alone; see `bb_nn.checkpoint`."""
        from bb_nn.checkpoint import save_rail

        save_rail(self, folder)

    # -- counting and switching --------------------------------------------------------------

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """The builder rail's parameters: the only ones that train."""
        return self.rail.parameters()

    def count_trainable(self) -> int:
        """Trainable parameters, the learned bits of the lanes' programs counted as one each."""
        own = sum(p.numel() for p in self.rail.parameters())
        return own + (self.lanes.learned_bits if self.lanes is not None else 0)

    def set_alpha_budget(self, budget: float) -> None:
        """Set ᾱ, the cap on the mean gate; 0 is exactly the base rail."""
        self.rail.gates.set_budget(budget)
        self.config.alpha_budget = float(budget)

    def train(self, mode: bool = True) -> DualRailForCausalLM:
        """Training mode for the rail; the base stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    # -- the forward pass --------------------------------------------------------------------

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits of the next token, and the loss if there are labels.

        Args:
            input_ids: (B, T) new tokens.
            attention_mask: (B, S) 1 for tokens, 0 for padding, over past and new positions.
            position_ids: (B, T), passed to the base.
            past_key_values: a cache made by `generate` or `new_cache`.
            labels: (B, T), -100 where no loss is wanted; shifted by one inside.
            use_cache: passed to the base.
            logits_to_keep: passed to the base.
            **kwargs: passed to the base.

        Returns:
            loss (scalar or None), logits (B, T, vocabulary), past_key_values.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        inputs |= {"past_key_values": past_key_values, "use_cache": use_cache}
        if position_ids is not None:
            inputs["position_ids"] = position_ids
        if not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            inputs["logits_to_keep"] = logits_to_keep
        self._pass = self._begin(input_ids, attention_mask, past_key_values)
        try:
            out = self.base(**inputs, **kwargs)
        finally:
            self._pass = None
        loss = None
        if labels is not None:
            logits = out.logits[:, :-1].float().flatten(0, 1)
            loss = F.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=-100)
        return CausalLMOutputWithPast(
            loss=loss, logits=out.logits, past_key_values=out.past_key_values
        )

    def _begin(self, ids: Tensor, mask: Tensor | None, cache: Any) -> Pass:
        layer = _rail_layer(cache)
        memory = layer.memory() if layer is not None else Memory({}, keep=False)
        whole = memory.grow("ids", ids)
        new, total = ids.shape[1], whole.shape[1]
        present = torch.ones_like(whole) if mask is None else mask[:, :total].to(ids.device)
        fresh = present[:, total - new :]
        bits, counts, registers, prefixes = self._lanes(ids, fresh, layer)
        counts = memory.grow("counts", counts)
        writing = bits[..., :1] if self.lanes is not None else torch.zeros_like(ids)[..., None]
        planned = memory.grow("planned", writing[..., 0].bool())
        position = torch.arange(total, device=ids.device)
        query = position[total - new :]
        visible = position[None, :] <= query[:, None]
        if self.config.window:
            visible = visible & (position[None, :] > query[:, None] - self.config.window)
        visible = visible[None] & present.bool()[:, None, :]
        dtype = self.rail.outward.weight.dtype
        before = F.pad(whole, (2, 0), value=-2)
        own, earlier = whole[:, total - new :, None], before[:, total - new + 1 : -1, None]
        goals = counts[:, total - new :, None]
        same = goals == counts[:, None, :]
        entries = self._words(whole, present, layer)
        return Pass(
            ids=whole,
            bits=bits,
            relations=tuple(
                r.to(dtype) for r in (
                    same & ~planned[:, None], same & planned[:, None], own == before[:, None, 1:-1],
                    (own == before[:, None, 1:-1]) & (earlier == before[:, None, :-2]),
                )
            ),
            visible=visible,
            entries=entries,
            word_goal=(goals == counts.gather(1, entries.first)[:, None, :]).to(dtype),
            word_visible=(prefixes[..., None] == entries.prefix[:, None, :])
            & entries.valid[:, None, :],
            registers=registers,
            writing=writing.to(dtype),
            present=fresh[..., None].to(dtype),
            memory=memory,
            taps={},
        )  # fmt: skip

    def _words(self, whole: Tensor, present: Tensor, layer: RailCacheLayer | None) -> WordTensors:
        """Words of the request; kept in the cache once every row's plan has begun."""
        if layer is not None and layer.words is not None:
            return layer.words
        found = entries_of(self._pieces(whole, present), self.encode, self.table)
        tensors = WordTensors(*(torch.from_numpy(v).to(whole.device) for v in vars(found).values()))
        if layer is not None and found.valid.any(1).all():
            layer.words = tensors
        return tensors

    def _pieces(self, ids: Tensor, present: Tensor) -> list[list[bytes]]:
        """Bytes of each token; b"" for padding, special and unknown tokens."""
        known = len(self.table)
        return [
            [self.table[i] if here and i < known else b"" for i, here in zip(*row, strict=True)]
            for row in zip(ids.tolist(), present.tolist(), strict=True)
        ]

    def _lanes(
        self, ids: Tensor, fresh: Tensor, layer: RailCacheLayer | None
    ) -> tuple[Tensor, ...]:
        """Features (B, T, n), goals (B, T), register tokens (B, T, 2), prefixes (B, T)."""
        if self.lanes is None:
            if layer is not None:
                layer.add_cursors([[Cursor()] * ids.shape[1] for _ in range(ids.shape[0])])
            none = ids.new_full((*ids.shape, 2), -1)
            return ids.new_zeros(*ids.shape, 0).bool(), torch.zeros_like(ids), none, none[..., 0]
        pieces = self._pieces(ids, fresh)
        run = self.lanes.run(pieces, layer.last_cursors() if layer is not None else None)
        if layer is not None:
            layer.add_cursors(run.cursors)
        names = np.where((run.registers >= 0) & (run.registers < MAX_STEPS), run.registers, -1)
        found = (run.features, run.counts, self.step_tokens[names], run.prefixes)
        return tuple(torch.from_numpy(a.copy()).to(ids.device) for a in found)

    def _read_tap(self, index: int, output: Any) -> Any:
        if self._pass is not None:
            self._pass.taps[index] = output[0] if isinstance(output, tuple) else output
        return output

    def _mix(self, index: int, output: Any) -> Any:
        if self._pass is None:
            return output
        self._read_tap(index, output)
        mixed = self.rail(self._pass, self.base.get_output_embeddings().weight)
        return (mixed, *output[1:]) if isinstance(output, tuple) else mixed

    # -- generation --------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the base's first parameter lies."""
        return next(self.base.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The base's dtype."""
        return next(self.base.parameters()).dtype

    def get_input_embeddings(self) -> nn.Module:
        """The base's."""
        return self.base.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The base's."""
        return self.base.get_output_embeddings()

    def new_cache(self) -> Any:
        """An empty cache for the base's keys and values and the rail's state."""
        cache = roomy_cache(self.base.config)
        cache.layers.append(RailCacheLayer())
        return cache

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        result = super()._prepare_cache_for_generation(
            generation_config, model_kwargs, *args, **kwargs
        )
        cache = model_kwargs.get("past_key_values")
        if cache is not None and _rail_layer(cache) is None:
            cache.layers.append(RailCacheLayer())
        return result


def _rail_layer(cache: Any) -> RailCacheLayer | None:
    """The rail's layer of a cache; None without one."""
    layers = cache.layers if cache is not None else []
    found = [layer for layer in layers if isinstance(layer, RailCacheLayer)]
    return found[0] if found else None


def _at(index: int, hook: Any) -> Any:
    """A forward hook that knows the index of its layer."""
    return lambda _module, _inputs, output: hook(index, output)
