"""Configurations of bases by name, folder or file; no weights, and no network for the known ones.

Shapes of the models below are facts from their published configurations; what is not said here is
the default of transformers' own configuration class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bb_core.errors import BBError
from bb_core.files import read_json

_LLAMA3 = {"model_type": "llama", "vocab_size": 128256, "max_position_embeddings": 131072}
_QWEN3 = {"model_type": "qwen3", "vocab_size": 151936, "head_dim": 128, "num_key_value_heads": 8}
PUBLISHED: dict[str, dict[str, Any]] = {
    "openai/gpt-oss-20b": {
        "model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32,
        "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088, "num_experts_per_tok": 4,
    },
    "openai/gpt-oss-120b": {
        "model_type": "gpt_oss", "num_hidden_layers": 36, "num_local_experts": 128,
        "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088, "num_experts_per_tok": 4,
    },
    "meta-llama/Llama-3.2-1B": _LLAMA3 | {
        "num_hidden_layers": 16, "hidden_size": 2048, "intermediate_size": 8192,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "meta-llama/Llama-3.1-8B": _LLAMA3 | {
        "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    },
    "meta-llama/Llama-3.1-70B": _LLAMA3 | {
        "num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
    },
    "Qwen/Qwen3-0.6B": _QWEN3 | {
        "num_hidden_layers": 28, "hidden_size": 1024, "intermediate_size": 3072,
        "num_attention_heads": 16, "tie_word_embeddings": True,
    },
    "Qwen/Qwen3-8B": _QWEN3 | {
        "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288,
        "num_attention_heads": 32,
    },
}  # fmt: skip


def base_config(base: str | None) -> Any:
    """The configuration of a base.

    Args:
        base: a name from `PUBLISHED`, a folder with a config.json, such a file, the id of a model
            that transformers can reach, or None for the embedded base rail.

    Raises:
        BBError: nothing is known of it.
    """
    from transformers import AutoConfig

    from bb_nn.base import EMBEDDED

    if base in PUBLISHED:
        data = dict(PUBLISHED[base])
        return AutoConfig.for_model(data.pop("model_type"), **data)
    place = EMBEDDED if base is None else Path(base)
    file = place / "config.json" if place.is_dir() else place
    try:
        if file.is_file():
            data = dict(read_json(file))
            return AutoConfig.for_model(data.pop("model_type"), **data)
        return AutoConfig.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BBError(
            f"no configuration of a base ({reason})", where=str(base),
            fix=f"give a folder with a config.json, or one of {', '.join(PUBLISHED)}",
        ) from error  # fmt: skip
