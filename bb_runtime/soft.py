"""Soft grammar energy: a grammar that text should keep, and may leave at a price.

A channel of free text is not masked. A token that leaves its grammar costs `weight` nats before
it is drawn, and a text has an energy:

- **energy**: the sum over its tokens of -log(share of the model's probability on tokens that the
  grammar allows there), in nats; 0 for a model that would never leave the grammar;
- **distance**: tokens that the grammar did not allow, and one more for an end too early.

After a token that it does not allow, the grammar waits where it was, as if the token had been
slipped in: the distance is the number of such insertions, not the smallest number of edits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from llguidance import LLMatcher
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from bb_domains.domain import Domain
from bb_domains.profile.channels import channel, channel_grammar
from bb_domains.profile.lowering import mask_grammar
from bb_domains.schema import PLAN_CHANNEL
from bb_runtime.errors import MaskError
from bb_runtime.masks import (
    GrammarMask,
    compile_matcher,
    end_mask,
    n_mask_words,
    unpack_on_device,
    wrap_tokenizer,
)
from bb_runtime.rows import RowState, RowTracker


class SoftRow:
    """One row under a grammar that it may leave; see `rows.RowState`.

    Attributes:
        finished: whether the end-of-sequence token has been taken.
        distance: tokens so far that the grammar did not allow.
    """

    def __init__(self, matcher: LLMatcher, eos_ids: frozenset[int], distance: int = 0) -> None:
        self._matcher = matcher
        self._eos_ids = eos_ids
        self.finished = False
        self.distance = distance

    def fork(self) -> SoftRow:
        """An independent copy."""
        twin = SoftRow(self._matcher.deep_copy(), self._eos_ids, self.distance)
        twin.finished = self.finished
        return twin

    @property
    def complete(self) -> bool:
        """Whether the tokens that the grammar took are a text of it."""
        return bool(self._matcher.is_accepting())

    def consume(self, token: int) -> bool:
        """Take one token, allowed or not; always True."""
        if token in self._eos_ids:
            self.finished = True
            self.distance += not self.complete
        elif not self._takes(token):
            self.distance += 1
        return True

    def _takes(self, token: int) -> bool:
        """Let the grammar take a token if it can; it stays where it was if not."""
        return not self._matcher.is_stopped() and self._matcher.try_consume_tokens([token]) == 1

    def fill(self, words: np.ndarray) -> None:
        """Write which tokens the grammar allows next, an end of sequence where it is complete."""
        if self._matcher.is_stopped():
            words[:] = end_mask(len(words), sorted(self._eos_ids))
            return
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        if self._matcher.is_error():
            raise MaskError(
                f"llguidance gave up: {self._matcher.get_error().strip()}",
                where="soft grammar",
                fix="simplify the grammar",
            )


@dataclass(frozen=True)
class Energy:
    """How far a text is from a grammar; see the module.

    Attributes:
        nats: sum over the tokens of -log(probability of what the grammar allowed there).
        distance: tokens that the grammar did not allow.
        tokens: tokens that were judged, an end of sequence among them.
    """

    nats: float
    distance: int
    tokens: int


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
        if not 0.0 < weight < float("inf"):
            raise MaskError(
                f"weight {weight} is no penalty", where="soft grammar", fix="use nats above 0"
            )
        ll_tokenizer = wrap_tokenizer(tokenizer)
        self._weight = weight
        self._n_words = n_mask_words(ll_tokenizer)
        self._make_row = soft_rows(tokenizer, lark)
        self._tracker = RowTracker(self._make_row)

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


def soft_rows(tokenizer: PreTrainedTokenizerBase, lark: str) -> Callable[[], SoftRow]:
    """What makes a row that has written nothing yet, under a grammar that it may leave.

    Raises:
        MaskError: the grammar is refused.
    """
    ll_tokenizer = wrap_tokenizer(tokenizer)
    matcher = compile_matcher(ll_tokenizer, LLMatcher.grammar_from_lark(lark), "Lark grammar")
    eos_ids = frozenset(ll_tokenizer.eos_tokens)
    return lambda: SoftRow(matcher.deep_copy(), eos_ids)


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
    row = soft_rows(tokenizer, lark)()
    n_words, nats, judged = n_mask_words(wrap_tokenizer(tokenizer)), 0.0, 0
    for scores, token in zip(logits.detach().float(), ids.tolist(), strict=True):
        if row.finished:
            break
        allowed = _allowed([row], n_words, scores[None])[0]
        kept = scores.masked_fill(~allowed, -torch.inf).logsumexp(0) - scores.logsumexp(0)
        nats -= float(kept)
        row.consume(int(token))
        judged += 1
    return Energy(max(nats, 0.0), row.distance, judged)


def channel_processor(
    domain: Domain, name: str, tokenizer: PreTrainedTokenizerBase
) -> LogitsProcessor | None:
    """What a channel of a domain does to the logits: a mask, a penalty, or nothing.

    Blanks are bounded in hard channels. The channel `plan` is masked by the plan's state as well,
    by `bb_runtime.plan_mask`; what this gives for it is the domain's static grammar.

    Raises:
        BBError: there is no such channel, or its grammar is refused.
    """
    declared = channel(domain, name)
    if name == PLAN_CHANNEL:
        return GrammarMask(tokenizer, lark=domain.grammar)
    if declared.mode == "off":
        return None
    lowered = channel_grammar(domain, name)
    if declared.mode == "hard":
        return GrammarMask(tokenizer, lark=mask_grammar(lowered, bounded=True))
    return SoftGrammar(tokenizer, mask_grammar(lowered), declared.weight)


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
