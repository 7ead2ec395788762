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
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
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
from bb_nn.blocks import Pass, WordTensors
from bb_nn.builder import BuilderRail
from bb_nn.config import DualRailConfig
from bb_nn.errors import CacheError, LibraryError
from bb_nn.lanes import LaneProgram
from bb_nn.library.library import Library
from bb_nn.library.slot import LibraryUse
from bb_nn.library.starter import starter_library
from bb_nn.library.token_classes import class_table
from bb_nn.loss import Head, final_states, head_of, next_token_loss
from bb_nn.memory import Memory, RailCacheLayer
from bb_nn.reader import Cursor
from bb_nn.roomy import roomy_cache
from bb_nn.token_bytes import token_bytes
from bb_nn.words import entries_of, plan_encoder


class DualRailForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A causal LM of Hugging Face's: the base rail, the builder rail and its lanes.

    Make one with `from_base`, or `from_pretrained` for a trained rail.
    """

    config_class = DualRailConfig
    main_input_name = "input_ids"
    _is_stateful = False

    def __init__(
        self,
        config: DualRailConfig,
        base: Any,
        tokenizer: Any,
        lanes: LaneProgram | None,
        library: Library | None = None,
    ) -> None:
        super().__init__(config)
        freeze(base)
        self.base = base
        self.generation_config = base.generation_config
        self.lanes = lanes
        self.library = _library_for(config, library)
        self.table = token_bytes(tokenizer)
        self.encode = plan_encoder(tokenizer, self.table)
        steps = [self.encode(i)[0] for i in STEP_IDS[:MAX_STEPS]]
        rows = base.get_output_embeddings().weight.shape[0]
        bits = lanes.n_features if lanes is not None else 0
        layers = decoder_layers(base)
        taps = config.tap_indices(len(layers))
        self.rail = BuilderRail(config, taps, hidden_size(base), bits, self.library)
        self.rail.to(device=self.device)
        self.register_buffer("step_tokens", torch.tensor(steps, device=self.device), False)
        self.register_buffer("class_bits", self._class_bits(rows).to(self.device), False)
        self._uses: list[LibraryUse] | None = None
        self._pass: Pass | None = None
        for index in taps:
            hook = self._read_tap if index != taps[-1] else self._mix
            layers[index].register_forward_hook(_at(index, hook))

    # -- making, saving, loading -------------------------------------------------------------

    @classmethod
    def from_base(
        cls,
        base: Any,
        tokenizer: Any,
        config: DualRailConfig,
        lanes: LaneProgram | None = None,
        library: Library | None = None,
    ) -> DualRailForCausalLM:
        """A new builder rail beside a base.

        Args:
            base: a causal LM; it is frozen and used in place.
            tokenizer: the base's tokenizer.
            config: shape of the rail; the base's identity is filled in.
            lanes: the lanes' program; None for a rail without lanes.
            library: the skills' programs; None for the starter library, if the configuration
                wants one.
        """
        config.base_config = base.config.to_dict()
        config.base_name = config.base_name or str(base.config.name_or_path)
        config.base_fingerprint = fingerprint(base, tokenizer)
        config.vocabulary = vocabulary_hash(tokenizer)
        return cls(config, base, tokenizer, lanes, library)

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
        programs = (self.lanes, self.library)
        return own + sum(p.learned_bits for p in programs if p is not None)

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
            loss (scalar or None), logits (B, T, vocabulary), past_key_values. In training with
            labels the loss is made without logits, which are None, wherever the base's logits
            are those of an untrained linear head.
        """
        if use_cache and past_key_values is None:
            past_key_values = self.new_cache()
        layer = self._layer_of(past_key_values)
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        inputs |= {"past_key_values": past_key_values, "use_cache": use_cache}
        if position_ids is not None:
            inputs["position_ids"] = position_ids
        if not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            inputs["logits_to_keep"] = logits_to_keep
        inputs |= kwargs
        lean = self.training and labels is not None and self._head is not None
        if lean and use_cache is None and past_key_values is None:
            inputs["use_cache"] = False  # the base would copy its keys into one that nobody reads
        if layer is not None:
            self._read_again(layer, attention_mask)
            layer.add_positions(input_ids, position_ids)
        self._pass = self._begin(input_ids, attention_mask, layer)
        try:
            if lean:
                states, out = final_states(self.base, inputs)
            else:
                out = self.base(**inputs)
        finally:
            self._pass = None
        if lean:
            loss = next_token_loss(states, labels, self._head)
            return CausalLMOutputWithPast(loss=loss, past_key_values=out.past_key_values)
        loss = None
        if labels is not None:
            logits = out.logits[:, :-1].float().flatten(0, 1)
            loss = F.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=-100)
        return CausalLMOutputWithPast(
            loss=loss, logits=out.logits, past_key_values=out.past_key_values
        )

    @cached_property
    def _head(self) -> Head | None:
        """The base's LM head, for the loss."""
        return head_of(self.base)

    @contextmanager
    def library_uses(self) -> Iterator[list[LibraryUse]]:
        """Collect what each layer's program slot does in the passes inside the `with` block.

        The list is in order of passes and layers; it is what `build_loss`, `reuse_loss` and
        `SkillPrior.charge` take.
        """
        self._uses = uses = []
        try:
            yield uses
        finally:
            self._uses = None

    def _read_again(self, layer: RailCacheLayer, mask: Tensor | None) -> None:
        """After a crop further back than the tails: read the text that is left once more."""
        if not layer.stale:
            return
        whole = layer.wholes
        ids, positions = whole["ids"], whole["positions"]
        layer.reset()
        layer.add_positions(ids, positions)
        past = None if mask is None else mask[:, : ids.shape[1]]
        self._pass = self._begin(ids, past, layer)
        try:
            self.base(
                input_ids=ids, attention_mask=past, position_ids=positions, use_cache=False,
                logits_to_keep=1,
            )  # fmt: skip
        finally:
            self._pass = None

    def _begin(self, ids: Tensor, mask: Tensor | None, layer: RailCacheLayer | None) -> Pass:
        memory = Memory(layer)
        whole = memory.grow("ids", ids)
        new, total = ids.shape[1], whole.shape[1]
        present = torch.ones_like(whole) if mask is None else mask[:, :total].to(ids.device)
        fresh = present[:, total - new :]
        found = self._lanes(ids, fresh, layer)
        counts = memory.grow("counts", found.counts)
        planned = memory.grow("planned", found.planned)
        visible = self._visible(present.bool(), new)
        dtype = self.rail.outward.weight.dtype
        goals = counts[:, total - new :, None]
        same = goals == counts[:, None, :]
        entries = self._words(whole, present, layer)
        relations = [same & ~planned[:, None], same & planned[:, None], *_inductions(whole, new)]
        words = (found.prefixes[..., None] == entries.prefix[:, None]) & entries.valid[:, None]
        word_relations = [goals == counts.gather(1, entries.first)[:, None], ~words]
        return Pass(
            bits=found.features,
            classes=self.class_bits[ids.clamp(max=len(self.class_bits) - 1)],
            relations=torch.stack([*relations, ~visible], dim=1).float(),
            visible=visible,
            entries=entries,
            word_relations=torch.stack(word_relations, dim=1).float(),
            word_visible=words,
            registers=found.registers,
            present=fresh[..., None].to(dtype),
            whole=mask is None or bool(fresh.all()),
            memory=memory,
            uses=self._uses,
        )  # fmt: skip

    def _visible(self, present: Tensor, new: int) -> Tensor:
        """(B, T, S): which positions each new one may look at."""
        total = present.shape[1]
        position = torch.arange(total, device=present.device)
        query = position[total - new :]
        visible = position[None, :] <= query[:, None]
        if self.config.window:
            visible = visible & (position[None, :] > query[:, None] - self.config.window)
        return visible[None] & present[:, None, :]

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

    def _lanes(self, ids: Tensor, fresh: Tensor, layer: RailCacheLayer | None) -> _LaneTensors:
        """Step the lanes over the new tokens."""
        if self.lanes is None:
            if layer is not None:
                layer.add_cursors([[Cursor()] * ids.shape[1] for _ in range(ids.shape[0])])
            none = ids.new_full((*ids.shape, 2), -1)
            planned = torch.zeros_like(ids, dtype=torch.bool)
            features = planned[..., None][..., :0]
            return _LaneTensors(features, torch.zeros_like(ids), planned, none, none[..., 0])
        pieces = self._pieces(ids, fresh)
        standing = layer.last_cursors() if layer is not None else None
        run = self.lanes.run(pieces, standing, keep=layer is not None)
        if layer is not None:
            layer.add_cursors(run.cursors)
        known = (run.registers >= 0) & (run.registers < MAX_STEPS)
        arrays = (
            run.features,
            run.counts,
            run.features[..., 0],
            np.where(known, run.registers, -1),
        )
        return _LaneTensors(
            *(torch.from_numpy(a.copy()).to(ids.device) for a in (*arrays, run.prefixes))
        )

    def _class_bits(self, rows: int) -> Tensor:
        """(rows, classes) bool for every token that the base knows."""
        classes = self.library.classes if self.library is not None else ()
        known = class_table(classes, self.table)
        bits = np.zeros((max(rows, len(known)), len(classes)), bool)
        bits[: len(known)] = known
        return torch.from_numpy(bits)

    def _read_tap(self, index: int, output: Any) -> Any:
        if self._pass is not None:
            self._pass.taps[index] = output[0] if isinstance(output, tuple) else output
        return output

    def _mix(self, index: int, output: Any) -> Any:
        if self._pass is None:
            return output
        self._read_tap(index, output)
        head = self.base.get_output_embeddings().weight
        mixed = self.rail(self._pass, head, self.step_tokens)
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
        self._layer_of(model_kwargs.get("past_key_values"))
        return result

    def _layer_of(self, cache: Any) -> RailCacheLayer | None:
        """The rail's layer of a cache, added to an empty one; None without a cache.

        Raises:
            CacheError: the base alone has written into the cache.
        """
        if cache is None:
            return None
        found = [layer for layer in cache.layers if isinstance(layer, RailCacheLayer)]
        if found:
            return found[0]
        if cache.get_seq_length():
            raise CacheError(
                "the base alone has written into this cache", where="past_key_values",
                fix="give the rail an empty cache, or one that the rail has filled",
            )  # fmt: skip
        if not cache.layers:  # one that makes its layers as the base asks for them
            cache.layers.extend(roomy_cache(self.base.config).layers)
        cache.layers.append(RailCacheLayer())
        return cache.layers[-1]


@dataclass(frozen=True)
class _LaneTensors:
    """What the lanes put out for new positions, on the rail's device.

    Attributes:
        features: (B, T, n) bool.
        counts: (B, T) int64, the goal of each position.
        planned: (B, T) bool, the position belongs to the plan.
        registers: (B, T, 2) int64, numbers of steps, -1 for none.
        prefixes: (B, T) int64, key of the open literal, -1 for none.
    """

    features: Tensor
    counts: Tensor
    planned: Tensor
    registers: Tensor
    prefixes: Tensor


def _inductions(whole: Tensor, new: int) -> tuple[Tensor, Tensor]:
    """(B, T, S) bool each: the token before a position is the query's own; and so are two."""
    total = whole.shape[1]
    before = F.pad(whole, (2, 0), value=-2)
    own, earlier = whole[:, total - new :, None], before[:, total - new + 1 : -1, None]
    one = own == before[:, None, 1:-1]
    return one, one & (earlier == before[:, None, :-2])


def _library_for(config: DualRailConfig, library: Library | None) -> Library | None:
    """The library of a rail: the one given, or the starter's in the size of the configuration.

    Raises:
        LibraryError: a library is given to a rail that is configured without one.
    """
    shape = config.library_shape()
    if shape is None:
        if library is not None:
            raise LibraryError(
                "the rail is configured without a library", where="rail configuration",
                fix="set library={} or give no library",
            )  # fmt: skip
        return None
    if library is not None:
        return library
    return starter_library(shape.skills, n_state=shape.state, perception=shape.perception)


def _at(index: int, hook: Any) -> Any:
    """A forward hook that knows the index of its layer."""
    return lambda _module, _inputs, output: hook(index, output)
