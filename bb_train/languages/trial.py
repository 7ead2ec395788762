"""Rails and LoRA on a language: trained on short strings, asked about strings 64 times as long.

A model reads a string and says at each character what holds so far, `+` or `-`, by the likeliest of
all its tokens. All methods see the same batches in the same order, for as many steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bb_nn.config import DualRailConfig
from bb_nn.library.library import Library
from bb_nn.rail import DualRailForCausalLM
from bb_nn.token_bytes import token_bytes
from bb_train.config import LoraShape, OptimConfig
from bb_train.languages.install import character_ids
from bb_train.languages.tasks import Labelled
from bb_train.lora import attach_lora
from bb_train.optimise import learning_rate

ANSWERS = "-+"
IGNORED = -100

_SLOT = {"rank": 4, "horizon": 0}  # nothing that is trained acts on a learned program's state


@dataclass(frozen=True)
class Training:
    """How every method is trained.

    Attributes:
        steps: of AdamW.
        rows: strings of a batch.
        rate: learning rate at its highest; it falls to 0 along a cosine.
        seed: of weights and batches.
    """

    steps: int = 200
    rows: int = 32
    rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: a rail, or a base with adapters.
        parameters: that were trained; bits of learned programs count as one each.
        seconds: of training.
        loss: nats per character, over the last tenth of the steps.
    """

    model: Any
    parameters: int
    seconds: float
    loss: float


class Coding:
    """Strings as tokens.

    Args:
        tokenizer: of the base.
        characters: that strings are made of.
    """

    def __init__(self, tokenizer: Any, characters: str) -> None:
        self.tokenizer, self.table = tokenizer, token_bytes(tokenizer)
        self.ids = dict(zip(characters, character_ids(characters, self.table), strict=True))
        self.answers = character_ids(ANSWERS, self.table)

    def batch(self, strings: Sequence[Labelled]) -> dict[str, Tensor]:
        """Inputs of a causal LM, (B, T) int64 each.

        A row begins with padding where it is shorter than others, and ends with one token more,
        since a label is that of the token before it.
        """
        shape = (len(strings), 1 + max(len(found.text) for found in strings))
        ids = np.full(shape, self.tokenizer.pad_token_id)
        labels, here = np.full(shape, IGNORED), np.zeros(shape, np.int64)
        for row, found in enumerate(strings):
            start = -1 - len(found.text)
            ids[row, start:] = [*(self.ids[char] for char in found.text), self.answers[0]]
            labels[row, start + 1 :] = np.take(self.answers, found.verdicts.astype(int))
            here[row, start:] = 1
        inputs = {"input_ids": ids, "attention_mask": here, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in inputs.items()}


@dataclass(frozen=True)
class Subject:
    """What is trained on, and beside what.

    Attributes:
        base: makes the frozen base, the same at every call.
        coding: of the strings.
        strings: to train on.
        config: makes the rail's configuration.
    """

    base: Callable[[], Any]
    coding: Coding
    strings: Sequence[Labelled]
    config: Callable[[], DualRailConfig]


def train(subject: Subject, library: Library | None, how: Training) -> Trained:
    """Train a rail beside the base, with a library of learned programs or with none."""
    torch.manual_seed(how.seed)
    config = subject.config()
    config.library = None if library is None else dict(_SLOT, skills=len(library.skills))
    tokenizer = subject.coding.tokenizer
    rail = DualRailForCausalLM.from_base(subject.base(), tokenizer, config, None, library)
    return _fit(rail, list(rail.trainable_parameters()), rail.count_trainable(), subject, how)


def train_lora(subject: Subject, shape: LoraShape, how: Training) -> Trained:
    """Train LoRA of some size on all linear layers of the base."""
    torch.manual_seed(how.seed)
    model = attach_lora(subject.base(), shape)
    trained = [p for p in model.parameters() if p.requires_grad]
    return _fit(model, trained, sum(p.numel() for p in trained), subject, how)


def _fit(
    model: Any, parameters: Sequence[Tensor], count: int, subject: Subject, how: Training
) -> Trained:
    began, losses = time.perf_counter(), list[float]()
    optim = OptimConfig(lr=how.rate, steps=how.steps)
    optimiser = torch.optim.AdamW(parameters, lr=how.rate, weight_decay=0.0)
    rng = np.random.default_rng(how.seed)
    model.train()
    for step in range(how.steps):
        rows = rng.integers(len(subject.strings), size=how.rows)
        loss = model(**subject.coding.batch([subject.strings[row] for row in rows])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, optim.grad_clip)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(optim, step)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    model.eval()
    last = losses[-max(1, how.steps // 10) :]
    return Trained(model, count, time.perf_counter() - began, sum(last) / len(last))


@torch.no_grad()
def share_right(model: Any, coding: Coding, strings: Sequence[Labelled], rows: int = 2) -> float:
    """Share of the verdicts asked for that a model has right, each verdict counted for half.

    So whoever always says the same has a half right, however rare the other verdict is.
    """
    right, asked = np.zeros(2), np.zeros(2)
    for start in range(0, len(strings), rows):
        some = strings[start : start + rows]
        inputs = coding.batch(some)
        ids, here = inputs["input_ids"][:, :-1], inputs["attention_mask"][:, :-1]
        said = model(input_ids=ids, attention_mask=here).logits.argmax(-1).numpy()
        for row, found in enumerate(some):
            wanted = np.take(coding.answers, found.verdicts.astype(int))
            correct = said[row, -len(found.text) :] == wanted
            for verdict in (False, True):
                here = found.scored & (found.verdicts == verdict)
                asked[int(verdict)] += here.sum()
                right[int(verdict)] += correct[here].sum()
    return float((right[asked > 0] / asked[asked > 0]).mean())
