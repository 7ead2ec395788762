"""The base's part of a forward pass, taken once and given again.

The base is frozen, so what the rail reads of it for a text never changes. `base_states` runs the
base up to its last decoder layer and stops there; `replayed` lets a forward pass of the dual rail
find those states where the layers would have put them, and the layers do not run. Everything
around them does: embeddings, the rail's hooks, final norm, LM head.

Nothing here knows an architecture, and nothing of the rail but its taps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bb_nn.base import decoder_layers
from bb_nn.errors import BaseRailError

if TYPE_CHECKING:
    from bb_nn.rail import DualRailForCausalLM


@dataclass(frozen=True)
class BaseStates:
    """What the rail reads of the base.

    Attributes:
        taps: layer -> (B, T, base width) output of that decoder layer, before any mixing; the
            last layer is always among them.
        in_tuples: whether the architecture's layers return tuples.
    """

    taps: Mapping[int, Tensor]
    in_tuples: bool


class _LastLayerDoneError(Exception):
    """Ends a pass of the base after its last decoder layer."""


def tap_layers(model: DualRailForCausalLM) -> list[int]:
    """Indices of the layers whose output the rail reads, ascending, the last layer last."""
    return model.config.tap_indices(len(decoder_layers(model.base)))


@torch.no_grad()
def base_states(model: DualRailForCausalLM, **inputs: Any) -> BaseStates:
    """Run the base alone, without final norm and LM head, and keep the tapped layers' outputs.

    Args:
        model: the dual rail; the rail does not run.
        **inputs: of the base's forward pass, such as `input_ids` and `attention_mask`, or
            `position_ids` that start anew for each text of a packed row.
    """
    layers, wanted = decoder_layers(model.base), tap_layers(model)
    found: dict[int, Tensor] = {}
    forms: set[bool] = set()

    def keep(index: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            forms.add(isinstance(output, tuple))
            found[index] = output[0] if isinstance(output, tuple) else output
            if index == wanted[-1]:
                raise _LastLayerDoneError

        return hook

    handles = [layers[i].register_forward_hook(keep(i), prepend=True) for i in wanted]
    try:
        model.base(**inputs, use_cache=False)
    except _LastLayerDoneError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if set(found) != set(wanted):
        raise BaseRailError(
            f"layers {sorted(set(wanted) - set(found))} did not run", where="base states",
            fix="use a base that calls its decoder layers in order",
        )  # fmt: skip
    return BaseStates(found, forms == {True})


@contextmanager
def replayed(model: DualRailForCausalLM, states: BaseStates) -> Iterator[None]:
    """Within the block the base's layers do not run; the tapped ones give these states.

    Args:
        model: the dual rail; its forward pass must get the batch that the states belong to, and
            no cache.
        states: of `base_states`, or put together from several of them.

    Raises:
        BaseRailError: a tapped layer has no states.
    """
    layers = decoder_layers(model.base)
    missing = sorted(set(tap_layers(model)) - set(states.taps))
    if missing:
        raise BaseRailError(
            f"no states of the tapped layers {missing}", where="replay",
            fix="take the states with the taps that the rail has",
        )  # fmt: skip
    before = [layer.__dict__.get("forward") for layer in layers]
    for index, layer in enumerate(layers):
        layer.forward = _given(states.taps.get(index), states.in_tuples)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward


def _given(state: Tensor | None, in_tuples: bool) -> Callable[..., Any]:
    """A layer's forward that passes on what it got, or gives the state."""

    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        output = hidden_states if state is None else state
        return (output,) if in_tuples else output

    return forward
