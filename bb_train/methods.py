"""The three things that can be trained on traces: the builder rail, LoRA, the whole base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bb_core.errors import BBError
from bb_core.trace import Trace
from bb_train.config import TrainConfig
from bb_train.run_dir import RunDir, read_config, read_record

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bb_domains.domain import Domain

LORA_WEIGHTS = "adapter_model.safetensors"


def attach(
    config: TrainConfig, model: PreTrainedModel, tokenizer, traces: Sequence[Trace], domain: Domain
) -> torch.nn.Module:
    """The model that `config.method` trains on top of the base `model`.

    Args:
        config: method and its shape.
        model: the base.
        tokenizer: the base's.
        traces: training traces; the rail learns its lane programs from them.
        domain: whose tools those programs watch.
    """
    if config.method == "rail" and config.start is not None:
        from bb_nn.rail import DualRailForCausalLM

        rail = DualRailForCausalLM.from_pretrained(config.start, base=(model, tokenizer))
        if config.trains == "adapters":
            train_adapters_alone(rail)
        return rail
    if config.method == "rail":
        from bb_nn.rail import DualRailConfig, DualRailForCausalLM
        from bb_train.programs import learn_lanes

        lanes = learn_lanes(traces, domain)
        shape = DualRailConfig(**{"base_name": config.base or "embedded", **config.rail})
        return DualRailForCausalLM.from_base(model, tokenizer, shape, lanes)
    if config.method == "lora":
        from bb_train.lora import attach_lora

        return attach_lora(model, config.lora)
    return model.requires_grad_(True)


def train_adapters_alone(rail: torch.nn.Module) -> None:
    """Freeze a rail but for its skills' adapters.

    Raises:
        BBError: it has none.
    """
    from bb_nn.blocks import ProgramSlot
    from bb_nn.library.slot import LibrarySlot

    rail.requires_grad_(False)
    for module in rail.modules():
        if isinstance(module, ProgramSlot):
            module.adapters.requires_grad_(True)
        if isinstance(module, LibrarySlot):
            module.down.requires_grad_(True)
            module.up.requires_grad_(True)
    if not any(p.requires_grad for p in rail.parameters()):
        raise BBError(
            "the rail has no skills", where="trains: adapters", fix="start from one with lanes"
        )


def count_trainable(config: TrainConfig, model: torch.nn.Module) -> int:
    """Trained parameters; for a rail from nothing also the bits of its learned programs."""
    if config.method == "rail" and config.start is None:
        return int(model.count_trainable())
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def load_trained(
    run: Path, device: str = "cpu", dtype: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The trained model of a finished run, on its base, ready to decode.

    LoRA is merged into the base, which is how it decodes fastest.

    Raises:
        BBError: the run is unfinished, or its base has changed since.
    """
    from bb_nn.base import fingerprint, load_base, torch_dtype

    config, record = read_config(run), read_record(run)
    base, tokenizer = load_base(config.base)
    if fingerprint(base, tokenizer) != record["base"]:
        raise BBError(
            "the base is not the one this run was trained on",
            where=str(run),
            fix=f"use the base with fingerprint {record['base'][:12]}",
        )
    model = _load_method(config, RunDir(run).model, base, tokenizer)
    return model.to(device=device, dtype=torch_dtype(dtype)).eval(), tokenizer


def _load_method(
    config: TrainConfig, folder: Path, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    if config.method == "rail":
        from bb_nn.rail import DualRailForCausalLM

        return DualRailForCausalLM.from_pretrained(folder, base=(base, tokenizer))
    if config.method == "lora":
        from peft import PeftModel

        from bb_train.lora import quiet_peft

        if not (folder / LORA_WEIGHTS).is_file():  # or it would unpickle adapter_model.bin
            raise BBError(f"no {LORA_WEIGHTS}", where=str(folder), fix="train the adapter again")
        with quiet_peft():
            return PeftModel.from_pretrained(base, folder).merge_and_unload()
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=base.dtype, use_safetensors=True, trust_remote_code=False
    )
