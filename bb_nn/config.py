"""Configuration of the dual rail."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PretrainedConfig

from bb_nn.errors import BaseRailError
from bb_nn.library.shape import LibraryShape
from bb_nn.mixers import MIXERS


class DualRailConfig(PretrainedConfig):  # type: ignore[misc]
    """What decides a builder rail, besides its weights and its lanes.

    Args:
        width: channels of the builder rail; a number below 1 is a fraction of the base's.
        heads: attention heads of the rail; divides `width`.
        taps: indices of the base's layers that are tapped, ascending, the last one last; negative
            numbers count from the end. None means the middle and the last layer.
        mixer: linear (a gated linear recurrence), gru or attention.
        skills: adapters over the features of the lanes' own program.
        library: the program library, fields of `bb_nn.library.shape.LibraryShape`; None for none.
        window: how many positions back the cross-attention sees; 0 means all.
        alpha_start: value of every gate at the start.
        alpha_budget: ᾱ, the cap on the mean of all gates.
        base_config: configuration of the base, filled in by `from_base`.
        base_name: where the base came from, for people.
        base_fingerprint: SHA-256 of the base's weights and vocabulary.
        vocabulary: SHA-256 of the tokenizer's vocabulary.
    """

    model_type = "dual_rail"

    def __init__(
        self,
        width: float = 96,
        heads: int = 4,
        taps: list[int] | None = None,
        mixer: str = "linear",
        skills: int = 8,
        library: dict[str, Any] | None = None,
        window: int = 0,
        alpha_start: float = 0.05,
        alpha_budget: float = 0.05,
        base_config: dict[str, Any] | None = None,
        base_name: str = "",
        base_fingerprint: str = "",
        vocabulary: str = "",
        **kwargs: Any,
    ) -> None:
        if not 0 < width < 1 and (width < 1 or width % heads):
            raise BaseRailError(
                f"width {width} is not a multiple of {heads} heads", where="rail configuration",
                fix="choose heads that divide the width",
            )  # fmt: skip
        if not 0 < alpha_start < 1 or not 0 <= alpha_budget <= 1:
            raise BaseRailError(
                f"alpha_start {alpha_start} or alpha_budget {alpha_budget} out of range",
                where="rail configuration", fix="alpha_start in (0, 1), alpha_budget in [0, 1]",
            )  # fmt: skip
        if mixer not in MIXERS:
            raise BaseRailError(
                f"unknown mixer {mixer!r}", where="rail configuration",
                fix=f"use {', '.join(MIXERS)}",
            )  # fmt: skip
        self.width, self.heads, self.taps, self.skills = width, heads, taps, skills
        self.mixer, self.library = mixer, library
        self.library_shape()
        self.window, self.alpha_start, self.alpha_budget = window, alpha_start, alpha_budget
        self.base_config = base_config
        self.base_name, self.base_fingerprint = base_name, base_fingerprint
        self.vocabulary = vocabulary
        super().__init__(**kwargs)

    def base(self) -> PretrainedConfig:
        """The base's configuration object."""
        data = dict(self.base_config or {})
        return AutoConfig.for_model(data.pop("model_type"), **data)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """The base's text configuration: caches are laid out after the base's layers."""
        if self.base_config is None:
            return self
        return self.base().get_text_config(decoder=True)

    def builder_width(self, base_width: int) -> int:
        """Channels of the builder rail beside a base of that width, a multiple of the heads."""
        if self.width >= 1:
            return int(self.width)
        return max(1, round(self.width * base_width / self.heads)) * self.heads

    def library_shape(self) -> LibraryShape | None:
        """The program library's size, or None for no library.

        Raises:
            LibraryError: an unknown key, or a value out of range.
        """
        return None if self.library is None else LibraryShape.from_config(self.library)

    def tap_indices(self, layers: int) -> list[int]:
        """Tapped layers as ascending non-negative indices; the last layer is always among them.

        Raises:
            BaseRailError: an index is out of range.
        """
        wanted = self.taps if self.taps is not None else [layers // 2 - 1, -1]
        found = sorted({t % layers if -layers <= t < layers else layers for t in wanted})
        if layers in found:
            raise BaseRailError(
                f"taps {wanted} do not fit a base of {layers} layers", where="rail configuration",
                fix=f"use indices from {-layers} to {layers - 1}",
            )  # fmt: skip
        return found if found[-1] == layers - 1 else [*found, layers - 1]
