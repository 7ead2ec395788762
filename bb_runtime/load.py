"""Load what the commands decode with: a base rail alone, or a trained rail beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bb_core.errors import UsageError
from bb_core.files import read_json

if TYPE_CHECKING:
    from bb_runtime.engine import Engine


@dataclass(frozen=True)
class ModelSource:
    """Which model, and where it runs.

    Attributes:
        model: folder of a trained rail; None for the base rail alone.
        base: folder or id of the base; None for the one the rail was trained with, or the embedded
            one.
        device: cpu, cuda, cuda:1 or auto.
        dtype: float32, bfloat16 or float16.
    """

    model: Path | None = None
    base: str | None = None
    device: str = "cpu"
    dtype: str = "float32"


def load_engine(source: ModelSource) -> Engine:
    """Load a model, its tokenizer and its name.

    Raises:
        BBError: nothing loadable is there, or the rail and the base do not belong together.
        UsageError: the folder holds a model, but no rail.
    """
    from bb_nn.base import load_base, quiet_transformers
    from bb_nn.rail import DualRailForCausalLM
    from bb_runtime.engine import Engine

    quiet_transformers()
    if source.model is None:
        model, tokenizer = load_base(source.base, source.device, source.dtype)
        return Engine(model, tokenizer, source.base or "base-rail")
    base = source.base or _base_of(source.model)
    pair = load_base(base, source.device, source.dtype)
    rail = DualRailForCausalLM.from_pretrained(source.model, base=pair)
    return Engine(rail, pair[1], source.model.name)


def _base_of(folder: Path) -> str | None:
    """The base that a rail says it was trained with; None for the embedded one."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or "base_name" not in config:
        raise UsageError(
            "this folder holds no rail", where=str(folder), fix="a plain model is given by --base"
        )
    name = config["base_name"]
    return None if name in ("", "embedded") else str(name)
