"""How many examples do networks need for what is learned from a few and proved?

LSTM-64 (embedding 16, one layer, a linear verdict) and a transformer of two layers (width 64, four
heads, learned positions, causal) are trained by Adam on labelled random words of 1 to 40 tokens,
each seen once, in batches of 64, as the passive data of `proof_learning` are drawn: half of each
verdict as far as random words have both, of brackets half of them matching, of keys and values
over eight keys. Every 1,024 examples
they are tried on 1,000 other words of the same lengths; the figure of a row is the number of
examples after which 99% are right. Where that was not reached within the most that is tried (see
`_MOST`), that number is the figure: the ratio is then a lower bound, and the row says so on stderr.

Adam's rate is its default, 0.001; `…_lstm_tuned` takes the best of three rates and counts the
examples of the best run only, which is known only afterwards. `…_lstm_long` compares the shares of
right verdicts on words of four times the training length.
"""

from __future__ import annotations

import sys
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.frame import Context, Measured, UnavailableError, row
from benchmarks.proof_learning import KEYS, Word, learned, template_program, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Logits = Callable[[Tensor, Tensor], Tensor]  # of words, at their last tokens

TASKS = ("parity", "majority", "dyck-online", "dyck-final", "mod-3", "mod-5", "mod-7", "key-value")
QUICK = ("parity", "majority", "dyck-final")
TRAINING_LENGTH = 40
DEFAULT_RATE, RATES = 1e-3, (1e-3, 3e-3, 1e-2)
_MOST = 262_144
_BATCH, _EVERY, _TESTS, _ENOUGH = 64, 1024, 1000, 0.99


class Trained(NamedTuple):
    """A finished run: examples seen, and shares right on other words, as long and longer."""

    examples: int
    right: float
    right_long: float


def test_words(name: str, seed: int) -> tuple[list[Word], list[Word]]:
    """Words of the training lengths, and of four times the longest; nobody is trained on them."""
    rng = Random(f"test {seed}")
    lengths = [rng.randint(1, TRAINING_LENGTH) for _ in range(_TESTS)]
    return words_of(name, lengths, rng), words_of(name, [4 * TRAINING_LENGTH] * _TESTS, rng)


def ours_right(name: str, seed: int, far: bool) -> float:
    """The share of test words on which our program is right."""
    import numpy as np

    from bem_kernel.learning.run import read

    program, words = template_program(name, seed), test_words(name, seed)[int(far)]
    said = [bool(read(program, np.array(w, dtype=np.int32)).verdicts[-1]) for w, _ in words]
    return sum(a == b for a, (_, b) in zip(said, words, strict=True)) / len(words)


def _padding(name: str) -> int:
    """The token after the last of a task, with which short words are filled up."""
    return 4 * KEYS + 1 if name == "key-value" else 2


def _lstm(n_tokens: int) -> tuple[Any, Logits]:
    import torch

    parts = torch.nn.ModuleList(
        [
            torch.nn.Embedding(n_tokens, 16),
            torch.nn.LSTM(16, 64, batch_first=True),
            torch.nn.Linear(64, 1),
        ]
    )
    embedding, lstm, head = parts

    def logits(rows: Tensor, last: Tensor) -> Tensor:
        states, _ = lstm(embedding(rows))
        found: Tensor = head(states[torch.arange(len(rows)), last])[:, 0]
        return found

    return parts, logits


def _transformer(n_tokens: int) -> tuple[Any, Logits]:
    import torch

    layer = torch.nn.TransformerEncoderLayer(64, 4, 256, 0.0, batch_first=True, norm_first=True)
    parts = torch.nn.ModuleList(
        [
            torch.nn.Embedding(n_tokens, 64),
            torch.nn.Embedding(4 * TRAINING_LENGTH, 64),
            torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
            torch.nn.Linear(64, 1),
        ]
    )
    symbols, positions, encoder, head = parts

    def logits(rows: Tensor, last: Tensor) -> Tensor:
        length = rows.shape[1]
        mask = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
        states = encoder(symbols(rows) + positions.weight[:length], mask=mask)
        found: Tensor = head(states[torch.arange(len(rows)), last])[:, 0]
        return found

    return parts, logits


_KINDS = {"lstm": _lstm, "transformer": _transformer}


@cache
def train(kind: str, name: str, rate: float, seed: int, most: int) -> Trained:
    """Train until 99% of words of the training lengths are right, or on so many examples."""
    try:
        import torch
    except ImportError as error:
        raise UnavailableError("torch is not installed; pip install builderbrain[nn]") from error
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    pad = _padding(name)
    parts, logits = _KINDS[kind](pad + 1)
    optimiser = torch.optim.Adam(parts.parameters(), lr=rate)
    rng = Random(seed)

    def drawn(count: int) -> list[Word]:
        return words_of(name, [rng.randint(1, TRAINING_LENGTH) for _ in range(count)], rng)

    def said(words: list[Word]) -> tuple[Tensor, Tensor]:
        longest = max(len(word) for word, _ in words)
        rows = [[*word, *([pad] * (longest - len(word)))] for word, _ in words]
        last = torch.tensor([len(word) - 1 for word, _ in words])
        verdicts = torch.tensor([float(verdict) for _, verdict in words])
        return logits(torch.tensor(rows), last), verdicts

    def right(words: list[Word]) -> float:
        with torch.no_grad():
            found, verdicts = said(words)
        return float(((found > 0) == (verdicts > 0)).float().mean())

    test, far = test_words(name, seed)
    share, seen = 0.0, 0
    while seen < most and share < _ENOUGH:
        for _ in range(_EVERY // _BATCH):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(*said(drawn(_BATCH)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        seen += _EVERY
        share = right(test)
    if share < _ENOUGH:
        print(f"{kind}, {name}: {share:.1%} after {seen} examples", file=sys.stderr)
    return Trained(seen, share, right(far))


def _declare(name: str) -> None:
    slug = name.replace("-", "_")

    def lstm(context: Context, rate: float = DEFAULT_RATE) -> Trained:
        if not (context.full or (name in QUICK and rate == DEFAULT_RATE)):
            raise UnavailableError("takes a minute: --full")
        most = _MOST if context.full else _MOST // 4
        return train("lstm", name, rate, context.seed, most)

    @row(
        f"proof.learn_{slug}_lstm",
        peer_name="LSTM-64, Adam's default rate, to 99%",
        unit="labelled examples",
        target=300.0,
        better="less",
    )
    def needed(context: Context) -> Measured:
        seen = lstm(context).examples
        return Measured([len(learned(name, context.seed)[0].examples)], [seen])

    @row(
        f"proof.learn_{slug}_lstm_tuned",
        peer_name="LSTM-64, best of three rates, to 99%",
        unit="labelled examples",
        target=0.0,
        better="less",
    )
    def tuned(context: Context) -> Measured:
        seen = min(lstm(context, rate).examples for rate in reversed(RATES))
        return Measured([len(learned(name, context.seed)[0].examples)], [seen])

    @row(
        f"proof.learn_{slug}_lstm_long",
        peer_name="LSTM-64 at four times its training length",
        unit="share right",
        target=1.0,
    )
    def longer(context: Context) -> Measured:
        theirs = lstm(context).right_long
        return Measured([ours_right(name, context.seed, far=True)], [theirs])


for _name in TASKS:
    _declare(_name)


@row(
    "proof.learn_parity_transformer",
    peer_name="two-layer transformer, after all examples",
    unit="share right",
    target=1.0,
)
def transformer(context: Context) -> Measured:
    """Parity at the training lengths, which a transformer does not learn."""
    most = 65_536 if context.full else 8_192
    theirs = train("transformer", "parity", DEFAULT_RATE, context.seed, most).right
    return Measured([ours_right("parity", context.seed, far=False)], [theirs])
