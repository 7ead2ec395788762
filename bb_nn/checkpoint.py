"""Saving a rail, and loading it beside the base that it was trained with.

A rail's folder holds `config.json` (shape, base's name and fingerprint), `rail.safetensors`
(trained weights alone), `lanes.json` (the lanes' program) and `library.json` (the skills'
programs), the last two if it has them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from bb_core.files import directory_atomic, read_json, write_atomic
from bb_nn.base import fingerprint, load_base, vocabulary_hash
from bb_nn.config import DualRailConfig
from bb_nn.errors import CheckpointError, RailMismatchError
from bb_nn.lanes import LaneProgram
from bb_nn.library.library import Library

if TYPE_CHECKING:
    from bb_nn.rail import DualRailForCausalLM

_WEIGHTS, _LANES, _LIBRARY = "rail.safetensors", "lanes.json", "library.json"


def save_rail(model: DualRailForCausalLM, folder: str | Path) -> None:
    """Write the rail alone: the folder appears whole or not at all."""
    with directory_atomic(Path(folder)) as target:
        state = {k: v.detach().cpu().contiguous() for k, v in model.rail.state_dict().items()}
        write_atomic(target / _WEIGHTS, save_tensors(state))
        write_atomic(target / "config.json", model.config.to_json_string(use_diff=False))
        if model.lanes is not None:
            write_atomic(target / _LANES, json.dumps(model.lanes.to_json(), indent=1))
        if model.library is not None:
            write_atomic(target / _LIBRARY, json.dumps(model.library.to_json()))


def load_rail(
    folder: str | Path, base: Any = None, device: str = "cpu", dtype: str = "float32"
) -> DualRailForCausalLM:
    """Load a rail beside its base.

    Args:
        folder: written by `save_rail`.
        base: a (model, tokenizer) pair, or a folder or id to load; the name in the rail's
            configuration if None.
        device: for a base that is loaded here.
        dtype: for a base that is loaded here.

    Raises:
        CheckpointError: the folder is no rail, or a file is cut short.
        RailMismatchError: the base's vocabulary or weights are not those the rail was trained with.
    """
    from bb_nn.rail import DualRailForCausalLM

    root = Path(folder)
    config = _read_config(root)
    pair = (
        base if isinstance(base, tuple) else load_base(base or _known_base(config), device, dtype)
    )
    model, tokenizer = pair
    _check_base(root, config, model, tokenizer)
    lanes = LaneProgram.from_json(read_json(root / _LANES)) if (root / _LANES).exists() else None
    library = Library.from_json(read_json(root / _LIBRARY)) if config.library is not None else None
    dual = DualRailForCausalLM(config, model, tokenizer, lanes, library)
    try:
        state = load_tensors((root / _WEIGHTS).read_bytes())
        dual.rail.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"the rail's weights cannot be read ({reason})", where=str(root / _WEIGHTS),
            fix="the file is cut short or of another shape: train again or copy it anew",
        ) from error  # fmt: skip
    dual.eval()
    return dual


def _read_config(root: Path) -> DualRailConfig:
    if not (root / "config.json").is_file():
        raise CheckpointError(
            "no rail here: config.json is missing", where=str(root),
            fix="give the folder of a trained rail, for example bb-work/runs/rail/model",
        )  # fmt: skip
    data = read_json(root / "config.json")
    if data.get("model_type") != DualRailConfig.model_type:
        raise CheckpointError(
            f"model_type is {data.get('model_type')!r}, not {DualRailConfig.model_type!r}",
            where=str(root / "config.json"), fix="give the folder of a trained rail",
        )  # fmt: skip
    data.pop("model_type")
    return DualRailConfig(**data)


def _known_base(config: DualRailConfig) -> str | None:
    """Where the rail's base was; None (the embedded one) if the name says so."""
    return None if config.base_name in ("", "embedded") else config.base_name


def _check_base(root: Path, config: DualRailConfig, model: Any, tokenizer: Any) -> None:
    vocabulary = vocabulary_hash(tokenizer)
    if vocabulary != config.vocabulary:
        raise RailMismatchError(
            f"the base's vocabulary is {vocabulary[:12]}…, the rail was trained with "
            f"{config.vocabulary[:12]}… ({config.base_name or 'embedded'})",
            where=str(root), fix="load it beside the base that it was trained with, or train anew",
        )  # fmt: skip
    found = fingerprint(model, tokenizer)
    if found != config.base_fingerprint:
        raise RailMismatchError(
            f"the base's fingerprint is {found[:12]}…, the rail was trained with "
            f"{config.base_fingerprint[:12]}… ({config.base_name or 'embedded'})",
            where=str(root), fix="load it beside the base that it was trained with, in its dtype",
        )  # fmt: skip
