"""What a training step of the builder rail costs beside one of LoRA on the same base."""

from __future__ import annotations

from benchmarks.frame import Context, Measured, row, time_pair

_ROWS, _LENGTH = 8, 192  # of a batch: like the main job's


def _step_of(model, batch):
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4)

    def step() -> None:
        loss = model(**batch).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


@row("rails.step", peer_name="peft LoRA, as many parameters", unit="s", target=1.3, better="less")
def training_step(context: Context) -> Measured:
    """One step in float32 on the embedded base, 8 rows of 192 tokens of prompt and plan."""
    import torch

    from bb_core.prompt import format_prompt
    from bb_nn.base import load_base
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM
    from bb_train.config import LoraShape
    from bb_train.lora import attach_lora

    torch.manual_seed(context.seed)
    model, tokenizer = load_base()
    rail = DualRailForCausalLM.from_base(model, tokenizer, DualRailConfig(), None).train()
    lora = attach_lora(load_base()[0], LoraShape(parameters=rail.count_trainable())).train()
    text = format_prompt("Track order 1042.") + '{"plan":[' + '{"id":"a","tool":"login"},' * 40
    ids = torch.tensor([tokenizer(text)["input_ids"][:_LENGTH]] * _ROWS)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    repetitions = 15 if context.full else 5
    return time_pair(_step_of(rail, batch), _step_of(lora, batch), repetitions=repetitions)
