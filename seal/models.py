"""Loading a model with its tokenizer, and the fingerprint that names exactly these weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bb_core.canonical import fingerprint
from seal.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("float32", "bfloat16", "float16")


def load_model(
    model: str | None, device: str = "cpu", dtype: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal LM for inference.

    Args:
        model: folder or hub id; None is the base rail that is shipped with this distribution.
        device: torch device, such as "cpu" or "cuda:0"; "auto" is a GPU if there is one.
        dtype: one of `DTYPES`.

    Raises:
        ModelError: unknown device or dtype, nothing to load, or files that do not load.
    """
    place = _checked_device(device)
    if dtype not in DTYPES:
        raise ModelError(
            f"unknown dtype {dtype!r}", where="--dtype", fix=f"use one of {', '.join(DTYPES)}"
        )
    if model is None:
        from bb_nn.base import load_base

        return load_base(None, device=place, dtype=dtype)
    if _is_path(model) and not (Path(model) / "config.json").is_file():
        raise ModelError(
            "no config.json there" if Path(model).is_dir() else "no such folder",
            where=model,
            fix="name a folder written by save_pretrained, or a hub id",
        )
    loaded, tokenizer, lacking = _from_pretrained(model, dtype)
    if lacking:  # transformers fills these with random numbers
        raise ModelError(
            f"{len(lacking)} weights are not in the files, {lacking[0]} among them",
            where=model,
            fix="copy the whole model again",
        )
    return loaded.to(place).eval(), tokenizer


def model_fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 over the weights (names, dtypes, shapes, bytes), the architecture and the tokenizer.

    Two copies of a model agree wherever they are stored; a change of one bit in one weight, of the
    dtype, or of one merge of the tokenizer gives another value.
    """
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().reshape(-1).contiguous().cpu()
        weights.update(memoryview(flat.view(torch.uint8).numpy()))
    return fingerprint(
        {
            "architecture": type(model).__name__,
            "weights": weights.hexdigest(),
            "tokenizer": _tokenizer_sha256(tokenizer),
            "chat_template": str(tokenizer.chat_template or ""),
        }
    )


def _tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.is_fast:
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        # These two follow the last call and are no part of the tokenizer.
        text = json.dumps({**state, "truncation": None, "padding": None}, sort_keys=True)
    else:
        text = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _from_pretrained(
    model: str, dtype: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, list[str]]:
    """Model, tokenizer, and the names of weights that the files do not hold."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        # Nothing of it is run: a folder with nothing but pytorch_model.bin is refused, and so is
        # one whose configuration names code.
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        loaded, report = AutoModelForCausalLM.from_pretrained(
            model, dtype=getattr(torch, dtype), trust_remote_code=False,
            use_safetensors=True, output_loading_info=True,
        )  # fmt: skip
    # Whatever is wrong with foreign files (a cut checkpoint, a broken config, no network) surfaces
    # as one of some ten exception types of four packages.
    except Exception as error:
        raise ModelError(
            f"does not load: {_first_line(error)}",
            where=model,
            fix="it needs config.json, the tokenizer and whole safetensors files",
        ) from error
    return loaded, tokenizer, sorted(report["missing_keys"])


def _checked_device(device: str) -> str:
    """The device to use: `auto` resolved, others as they are if this torch can use them."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ModelError(
            f"unknown device {device!r}", where="--device", fix="use auto, cpu, cuda or cuda:N"
        ) from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError("this torch sees no GPU", where="--device", fix="use --device cpu")
    return device


def _is_path(model: str) -> bool:
    """A hub id is `name` or `owner/name`; whatever exists or looks otherwise is a folder."""
    return Path(model).exists() or model.startswith((".", "/", "~")) or model.count("/") > 1


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
