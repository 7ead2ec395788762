"""Soft grammar energy: a grammar that text should keep, and may leave at a price.

A channel of free text is not masked. A token that leaves its grammar costs `weight` nats before
it is drawn, and a text has an `Energy`:

- **nats**: the sum over its tokens of -log(share of the model's probability on tokens that the
  grammar allows there), at temperature 1 and before the price; 0 for a model that would never
  leave the grammar;
- **distance**: tokens that the grammar did not allow, and one more for an end too early.

The price is taken before temperature and top-p: at temperature 0 a token outside is chosen where it
is more than `weight` nats likelier than every token inside.

After a token that it does not allow, the grammar waits where it was, as if the token had been
slipped in: the distance is the number of such insertions, not the smallest number of edits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from llguidance import LLMatcher
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from bb_runtime.errors import MaskError
from bb_runtime.generation import Energy
from bb_runtime.masks import (
    compile_matcher,
    end_mask,
    n_mask_words,
    unpack_on_device,
    wrap_tokenizer,
)
from bb_runtime.rows import RowState, RowTracker


@dataclass(frozen=True)
class SoftLanguage:
    """What all rows under one soft grammar share.

    Attributes:
        matcher: at the start of the grammar.
        weight: nats that a token outside costs.
        end_ids: tokens that end a text.
        n_tokens: of the tokenizer; a model may have more, which are outside every grammar.
        end_words: (n_words,) int32, the mask of the end tokens.
    """

    matcher: LLMatcher
    weight: float
    end_ids: frozenset[int]
    n_tokens: int
    end_words: np.ndarray


class SoftRow:
    """One row under a grammar that it may leave; see `rows.RowState` and `job.Soft`.

    Attributes:
        finished: whether a token that ends the text has been taken.
        distance: tokens so far that the grammar did not allow.
    """

    def __init__(self, language: SoftLanguage) -> None:
        self._language = language
        self._matcher = language.matcher.deep_copy()
        self._nats, self._tokens = 0.0, 0
        self.finished = False
        self.distance = 0

    def fork(self) -> SoftRow:
        """An independent copy."""
        twin = SoftRow(self._language)
        twin._matcher = self._matcher.deep_copy()
        twin._nats, twin._tokens = self._nats, self._tokens
        twin.finished, twin.distance = self.finished, self.distance
        return twin

    @property
    def weight(self) -> float:
        """Nats that a token outside the grammar costs."""
        return self._language.weight

    @property
    def complete(self) -> bool:
        """Whether the tokens that the grammar took are a text of it."""
        return bool(self._matcher.is_accepting())

    def judge(self, nats: float) -> None:
        """Add -log(probability of what the grammar allows next)."""
        self._nats += max(nats, 0.0)

    def energy(self) -> Energy:
        """Of the text so far."""
        in_grammar = self.distance == 0 and self.complete
        return Energy(self._nats, self.distance, self._tokens, in_grammar)

    def consume(self, token: int) -> bool:
        """Take one token, allowed or not; always True."""
        self._tokens += 1
        if token in self._language.end_ids:
            self.finished = True
            self.distance += not self.complete
        elif not self._takes(token):
            self.distance += 1
        return True

    def _takes(self, token: int) -> bool:
        """Let the grammar take a token if it can; it stays where it was if not."""
        if token >= self._language.n_tokens or self._matcher.is_stopped():
            return False
        return self._matcher.try_consume_tokens([token]) == 1

    def fill(self, words: np.ndarray) -> None:
        """Write which tokens the grammar allows next, the end where it is complete."""
        if not self._matcher.is_stopped():
            self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        if self._matcher.is_error():
            raise MaskError(
                f"llguidance gave up: {self._matcher.get_error().strip()}",
                where="soft grammar",
                fix="simplify the grammar",
            )
        if self._matcher.is_stopped():
            words[:] = self._language.end_words
        elif self.complete:
            words |= self._language.end_words


class SoftGrammar(LogitsProcessor):
    """Makes tokens that leave a grammar dearer; for any model, as `GrammarMask` is.

    Args:
        tokenizer: a fast tokenizer, the model's own.
        lark: a grammar in llguidance's dialect, such as `mask_grammar` makes.
        weight: nats taken from the logit of a token that the grammar does not allow, above 0.

    Raises:
        MaskError: the grammar is refused, or the weight is no penalty.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, lark: str, weight: float) -> None:
        self._weight = weight
        self._n_words = n_mask_words(wrap_tokenizer(tokenizer))
        self._tracker = RowTracker(soft_rows(tokenizer, lark, weight))

    def reset(self) -> None:
        """Forget the rows of the last `generate`; needed only for a prompt one token longer."""
        self._tracker.reset()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(rows, tokens) ids and (rows, vocabulary) logits to logits with the penalty."""
        states = self._tracker.advance(input_ids.detach().cpu().numpy())
        allowed = _allowed(states, self._n_words, scores)
        return torch.where(allowed, scores, scores - self._weight)

    def distances(self, input_ids: torch.Tensor) -> list[int]:
        """Distance of each row of what `generate` returned, prompts included."""
        states = self._tracker.advance(input_ids.detach().cpu().numpy())
        return [state.distance for state in states if isinstance(state, SoftRow)]


def soft_rows(
    tokenizer: PreTrainedTokenizerBase, lark: str, weight: float, end_ids: Collection[int] = ()
) -> Callable[[], SoftRow]:
    """What makes a row that has written nothing yet, under a grammar that it may leave.

    Args:
        tokenizer: a fast tokenizer, the model's own.
        lark: a grammar in llguidance's dialect.
        weight: nats that a token costs which the grammar does not allow, above 0.
        end_ids: tokens that end the model's texts, beside the tokenizer's own.

    Raises:
        MaskError: the grammar is refused, or the weight is no penalty.
    """
    if not 0.0 < weight < float("inf"):
        raise MaskError(
            f"weight {weight} is no penalty", where="soft grammar", fix="use nats above 0"
        )
    wrapped = wrap_tokenizer(tokenizer)
    matcher = compile_matcher(wrapped, LLMatcher.grammar_from_lark(lark), "Lark grammar")
    ends = frozenset({*wrapped.eos_tokens, *end_ids})
    inside = [token for token in ends if token < wrapped.vocab_size]
    words = end_mask(n_mask_words(wrapped), inside)
    language = SoftLanguage(matcher, weight, ends, wrapped.vocab_size, words)
    return lambda: SoftRow(language)


def grammar_energy(
    tokenizer: PreTrainedTokenizerBase, lark: str, logits: torch.Tensor, ids: torch.Tensor
) -> Energy:
    """The energy of one text under a model.

    Differentiable training is not what this is for: the result is a plain number.

    Args:
        tokenizer: the model's own.
        lark: a grammar in llguidance's dialect.
        logits: (tokens, vocabulary), those from which each token was drawn.
        ids: (tokens,) int64, the text; what follows an end of sequence is not judged.

    Raises:
        MaskError: the grammar is refused, or there are not as many logits as tokens.
    """
    if logits.ndim != 2 or logits.shape[0] != ids.shape[0]:
        raise MaskError(
            f"{tuple(logits.shape)} logits for {tuple(ids.shape)} tokens",
            where="grammar_energy",
            fix="give (tokens, vocabulary) logits, those before each token",
        )
    row = soft_rows(tokenizer, lark, 1.0)()
    n_words = n_mask_words(wrap_tokenizer(tokenizer))
    for scores, token in zip(logits.detach().float(), ids.tolist(), strict=True):
        if row.finished:
            break
        allowed = _allowed([row], n_words, scores[None])[0]
        kept = scores.masked_fill(~allowed, -torch.inf)
        row.judge(float(scores.logsumexp(0) - kept.logsumexp(0)))
        row.consume(int(token))
    return row.energy()


def _allowed(states: Sequence[RowState | None], n_words: int, scores: torch.Tensor) -> torch.Tensor:
    """(rows, vocabulary) bool: what each row's grammar allows; everything in a finished row."""
    words = np.empty((len(states), n_words), dtype=np.int32)
    for packed, state in zip(words, states, strict=True):
        if state is None or state.finished:
            packed[:] = -1
        else:
            state.fill(packed)
    octets = torch.from_numpy(words.view(np.uint8)).to(scores.device)
    allowed = unpack_on_device(octets)[:, : scores.shape[-1]]
    missing = scores.shape[-1] - allowed.shape[1]
    return torch.nn.functional.pad(allowed, (0, missing)) if missing > 0 else allowed
