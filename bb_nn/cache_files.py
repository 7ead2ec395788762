"""A generation's cache on disk: keys, values, the rail's state and its lanes, mid-sequence.

A folder holds `cache.safetensors` (every tensor) and `cache.json` (kinds of layers, lanes' cursors,
fingerprint of the model). Nothing in it is run, and it is loaded beside the model that wrote it
alone. Words of the request are made anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from bb_core.files import directory_atomic, read_bytes, read_json, write_atomic
from bb_nn.base import decoder_layers
from bb_nn.errors import CacheError
from bb_nn.memory import RailCacheLayer
from bb_nn.reader import Cursor
from bb_nn.roomy import RoomyLayer

if TYPE_CHECKING:
    from bb_nn.rail import DualRailForCausalLM

_TENSORS, _RECORD, _FORMAT = "cache.safetensors", "cache.json", 1
_DENSE = torch.contiguous_format
_BYTES = ("tail", "string", "number")


def save_cache(model: DualRailForCausalLM, cache: Any, folder: str | Path) -> None:
    """Write a cache between two passes: the folder appears whole or not at all.

    Args:
        model: the dual rail that filled it.
        cache: of `new_cache` or of `generate(return_dict_in_generate=True)`.
        folder: a new folder.

    Raises:
        CacheError: a layer is static, quantised, offloaded or none of attention's; or the
            cache was cropped and not read since.
    """
    tensors: dict[str, Tensor] = {}
    kinds: list[dict[str, Any]] = []
    cursors: list[list[dict[str, Any]]] = []
    for index, layer in enumerate(cache.layers):
        if isinstance(layer, RailCacheLayer):
            if layer.stale:
                raise _cannot("it was cropped far back", "read a token, then save")
            tensors |= {f"whole.{name}": t for name, t in layer.wholes.items()}
            tensors |= {f"tail.{name}": t for name, t in layer.tails().items()}
            cursors = [[_plain(cursor) for cursor in line] for line in layer.cursors]
            continue
        kinds.append(_kind(layer, getattr(cache, "offloading", False)))
        if layer.get_seq_length():
            last = -getattr(layer, "sliding_window", layer.get_seq_length() + 1) + 1
            tensors |= {f"{index}.keys": layer.keys[..., last:, :]}
            tensors |= {f"{index}.values": layer.values[..., last:, :]}
    record = {"format": _FORMAT, "model": _identity(model), "layers": kinds, "cursors": cursors}
    with directory_atomic(Path(folder)) as target:
        flat = {k: t.detach().cpu().clone(memory_format=_DENSE) for k, t in tensors.items()}
        write_atomic(target / _TENSORS, save_tensors(flat))
        write_atomic(target / _RECORD, json.dumps(record))


def load_cache(model: DualRailForCausalLM, folder: str | Path) -> Any:
    """The cache that `save_cache` wrote, on the devices of the model's layers.

    Raises:
        CacheError: the folder holds no cache, it is damaged, or another model's.
    """
    root = Path(folder)
    record = read_json(root / _RECORD)
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise _cannot("it is no saved cache of this version", "save it again", root)
    if record.get("model") != _identity(model):
        raise _cannot(
            "it belongs to another base, rail, alpha budget or program",
            "load the model that wrote it", root,
        )  # fmt: skip
    try:
        tensors = load_tensors(read_bytes(root / _TENSORS))
        return _rebuilt(model, record, tensors)
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise _cannot(f"it is damaged ({error})", "save it again", root) from error


def _rebuilt(model: DualRailForCausalLM, record: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    layers = decoder_layers(model.base)
    if len(record["layers"]) != len(layers):
        raise ValueError(f"{len(record['layers'])} layers for {len(layers)}")
    cache, rail = DynamicCache(), RailCacheLayer()
    wholes = {k.removeprefix("whole."): t for k, t in tensors.items() if k.startswith("whole.")}
    rows, length = wholes["ids"].shape if wholes else (0, 0)
    cache.layers = []
    for index, (layer, kind) in enumerate(zip(layers, record["layers"], strict=True)):
        made = _layer(kind)
        if wholes:
            device = next(layer.parameters()).device
            keys, values = (tensors[f"{index}.{part}"].to(device) for part in ("keys", "values"))
            made.lazy_initialization(keys, values)
            made.keys, made.values = keys, values
            fits = keys.shape[-2] == length or isinstance(made, DynamicSlidingWindowLayer)
            if len(keys) != rows or keys.shape != values.shape or not fits:
                raise ValueError(f"layer {index}: shape {tuple(keys.shape)}")
        if made.get_seq_length() != length:
            raise ValueError(f"layer {index}: {made.get_seq_length()} positions, not {length}")
        cache.layers.append(made)
    tails = {k.removeprefix("tail."): t for k, t in tensors.items() if k.startswith("tail.")}
    cursors = [[_cursor(entry) for entry in line] for line in record["cursors"]]
    _check_rail(wholes, tails, cursors, rows, length)
    own = [{k: t.to(model.device) for k, t in part.items()} for part in (wholes, tails)]
    rail.put(own[0], own[1], cursors)
    cache.layers.append(rail)
    return cache


def _check_rail(
    wholes: dict[str, Tensor],
    tails: dict[str, Tensor],
    cursors: list[list[Cursor]],
    rows: int,
    length: int,
) -> None:
    """Raises ValueError where rows or positions of the rail's state do not agree."""
    for name, tensor in wholes.items():
        if tensor.shape[:2] != (rows, length):
            raise ValueError(f"{name}: shape {tuple(tensor.shape)}")
    for name, tensor in tails.items():
        if len(tensor) != rows or not 0 < tensor.shape[1] <= length:
            raise ValueError(f"{name}: shape {tuple(tensor.shape)}")
    if len(cursors) != rows or any(not line or len(line) > length for line in cursors):
        raise ValueError(f"cursors of {len(cursors)} rows")


def _kind(layer: Any, offloading: bool) -> dict[str, Any]:
    """What makes an empty layer like this one."""
    if isinstance(layer, DynamicSlidingWindowLayer) and not offloading:
        counts = {"window": layer.sliding_window, "length": layer.cumulative_length}
        return {"kind": "sliding", **counts}
    if type(layer) in (RoomyLayer, DynamicLayer) and not offloading:
        return {"kind": "roomy" if isinstance(layer, RoomyLayer) else "dynamic"}
    name = "an offloaded cache" if offloading else type(layer).__name__
    raise _cannot(f"{name} is not saved", "generate with a dynamic cache, as new_cache makes")


def _layer(kind: dict[str, Any]) -> Any:
    if kind["kind"] == "sliding":
        layer = DynamicSlidingWindowLayer(int(kind["window"]))
        layer.cumulative_length = int(kind["length"])
        return layer
    return {"roomy": RoomyLayer, "dynamic": DynamicLayer}[kind["kind"]]()


def _plain(cursor: Cursor) -> dict[str, Any]:
    """A cursor as plain data, bytes as hexadecimal digits."""
    data = asdict(cursor)
    return data | {name: data[name].hex() for name in _BYTES if data[name] is not None}


def _cursor(data: dict[str, Any]) -> Cursor:
    """Inverse of `_plain`; ValueError or TypeError for anything else."""
    text = {name: bytes.fromhex(data[name]) for name in _BYTES if data[name] is not None}
    cursor = Cursor(**(data | text))
    for entry in fields(Cursor):
        value, default = getattr(cursor, entry.name), entry.default
        if not (entry.name == "number" and value is None) and type(value) is not type(
            b"" if default is None else default
        ):
            raise TypeError(f"cursor: {entry.name} is {value!r}")
    return cursor


def _identity(model: DualRailForCausalLM) -> str:
    """SHA-256 over what the numbers of a cache depend on."""
    digest = sha256(f"{model.config.base_fingerprint} {model.dtype}\n".encode())
    for name, tensor in sorted(model.rail.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(save_tensors({"": tensor.detach().cpu().contiguous()}))
    for program in (model.lanes, model.library):
        digest.update(b"\0" if program is None else program.text().encode())
    return digest.hexdigest()


def _cannot(what: str, fix: str, where: Path | None = None) -> CacheError:
    return CacheError(what, where=str(where) if where is not None else "cache", fix=fix)
