"""The base rail: any causal LM of Hugging Face's, loaded frozen, with taps at its layers.

Nothing here knows an architecture: the decoder layers are found as the module list whose length
is the configuration's number of layers.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bb_nn.errors import BaseRailError

EMBEDDED = Path(__file__).parent / "base_rail"
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a configuration's name.

    Raises:
        BaseRailError: the name is none of float32, bfloat16, float16.
    """
    if name not in _DTYPES:
        raise BaseRailError(
            f"unknown dtype {name!r}", where="--dtype", fix=f"use {', '.join(_DTYPES)}"
        )
    return _DTYPES[name]


def pick_device(name: str) -> str:
    """`auto` becomes cuda where there is one, else cpu; other names are checked by torch."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise BaseRailError(
            f"device {name!r} cannot be used ({str(error).splitlines()[0]})",
            where="--device", fix="use cpu, or auto",
        ) from error  # fmt: skip
    return name


def load_base(
    base: str | None = None, device: str = "cpu", dtype: str = "float32"
) -> tuple[Any, Any]:
    """Load a causal LM and its tokenizer, frozen and in evaluation mode.

    Args:
        base: a folder or a model id; the embedded base rail if None.
        device: cpu, cuda, cuda:1, or auto.
        dtype: float32, bfloat16 or float16.

    Returns:
        (model, tokenizer). The tokenizer pads on the left and has a padding token.

    Raises:
        BaseRailError: nothing loadable is there, or weights are missing or pickled.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = str(EMBEDDED) if base is None else base
    local = Path(source).exists() or source.startswith((".", "/", "~"))
    if local and not (Path(source) / "config.json").is_file():
        raise BaseRailError(
            "no model here: config.json is missing", where=source,
            fix="give a folder written by save_pretrained, or a model id",
        )  # fmt: skip
    try:
        # Nothing of a folder is run: no pickle, and no code that its configuration names.
        tokenizer = AutoTokenizer.from_pretrained(
            source, local_files_only=local, trust_remote_code=False
        )
        model, report = AutoModelForCausalLM.from_pretrained(
            source, dtype=torch_dtype(dtype), local_files_only=local, trust_remote_code=False,
            use_safetensors=True, output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # transformers raises many kinds: OSError, ValueError, Safetensors…
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BaseRailError(
            f"the base model cannot be loaded ({reason})", where=source,
            fix="check the files of the folder, or the model id and the network",
        ) from error  # fmt: skip
    if report["missing_keys"]:
        raise BaseRailError(
            f"weights are missing ({', '.join(sorted(report['missing_keys'])[:3])}, …)",
            where=source, fix="copy the folder anew, or train the model again",
        )  # fmt: skip
    freeze(model)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return model.to(pick_device(device)), tokenizer


def freeze(model: nn.Module) -> None:
    """No parameter of the base rail is ever trained."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The list of decoder layers of any causal LM.

    Raises:
        BaseRailError: no module list has as many entries as the configuration has layers.
    """
    text: Any = model.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]
    wanted = text.num_hidden_layers
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == wanted]
    if not lists:
        raise BaseRailError(
            f"no list of {wanted} decoder layers in {type(model).__name__}",
            where="base rail", fix="use a decoder-only causal LM",
        )  # fmt: skip
    return max(lists, key=lambda m: sum(p.numel() for p in m.parameters()))


def hidden_size(model: Any) -> int:
    """Width of the base rail's residual stream."""
    return int(model.config.get_text_config(decoder=True).hidden_size)


def fingerprint(model: Any, tokenizer: Any | None = None) -> str:
    """SHA-256 over the names, shapes and bytes of the base's weights and over its vocabulary.

    Args:
        model: the base rail; its dtype matters, its device does not.
        tokenizer: hashed as well if given.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    if tokenizer is not None:
        digest.update(vocabulary_hash(tokenizer).encode())
    return digest.hexdigest()


def vocabulary_hash(tokenizer: Any) -> str:
    """SHA-256 over the tokens and their ids."""
    pairs = sorted(tokenizer.get_vocab().items(), key=lambda kv: (kv[1], kv[0]))
    return hashlib.sha256(repr(pairs).encode()).hexdigest()


def quiet_transformers() -> None:
    """Keep load-time reports of transformers off the terminal of a command."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from transformers.utils import logging as hf_logging

    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
