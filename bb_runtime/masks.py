"""Grammar masks: keep any Hugging Face model inside a Lark grammar or a JSON Schema.

    model.generate(**prompt, logits_processor=LogitsProcessorList([GrammarMask(tokenizer,
    lark=grammar)]))

The language is decided by llguidance [Microsoft, https://github.com/guidance-ai/llguidance]; this
file gives each row of a batch its matcher, through beams, drafts and finished rows, and never lets
a bad constraint pass for none.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from bb_runtime.errors import MaskError
from bb_runtime.json_schema import schema_constraint
from bb_runtime.matcher_row import MatcherRow
from bb_runtime.rows import RowState, RowTracker
from bb_runtime.schema_row import SchemaRow, Vocabulary

_WRAPPED: weakref.WeakKeyDictionary[PreTrainedTokenizerBase, LLTokenizer] = (
    weakref.WeakKeyDictionary()
)
_VOCABULARIES: weakref.WeakKeyDictionary[PreTrainedTokenizerBase, Vocabulary] = (
    weakref.WeakKeyDictionary()
)


def wrap_tokenizer(tokenizer: PreTrainedTokenizerBase) -> LLTokenizer:
    """The llguidance view of a fast tokenizer, made once per tokenizer.

    Raises:
        MaskError: the tokenizer is not a fast one, or has no end-of-sequence token.
    """
    if tokenizer not in _WRAPPED:
        if tokenizer.eos_token_id is None:
            raise MaskError(
                "the tokenizer has no end-of-sequence token, so no text could ever end",
                where="masks",
                fix="set tokenizer.eos_token",
            )
        try:
            _WRAPPED[tokenizer] = llguidance.hf.from_tokenizer(tokenizer)
        except ValueError as error:
            raise MaskError(
                f"{type(tokenizer).__name__} cannot be wrapped: {error}",
                where="masks",
                fix="load a fast tokenizer (AutoTokenizer does where a tokenizer.json exists)",
            ) from error
    return _WRAPPED[tokenizer]


def compile_matcher(ll_tokenizer: LLTokenizer, grammar: str, what: str) -> LLMatcher:
    """A matcher at the start of an llguidance grammar.

    Args:
        ll_tokenizer: from `wrap_tokenizer`.
        grammar: from `LLMatcher.grammar_from_lark` or `.grammar_from_json_schema`.
        what: what the grammar came from, for the message.

    Raises:
        MaskError: the grammar does not compile, or its language is empty. (llguidance itself does
        not raise.)
    """
    matcher = LLMatcher(ll_tokenizer, grammar, log_level=0)
    if matcher.is_error():
        raise MaskError(
            f"the {what} is refused: {matcher.get_error().strip()}",
            where="masks",
            fix=f"correct the {what}; a constraint is never dropped",
        )
    accepts_nothing_yet = not matcher.is_accepting()
    probe = matcher.deep_copy()
    probe.compute_bitmask()
    if probe.is_error() or (probe.is_stopped() and accepts_nothing_yet):
        raise MaskError(
            f"the {what} allows no text at all", where="masks", fix=f"correct the {what}"
        )
    return matcher


def n_mask_words(ll_tokenizer: LLTokenizer) -> int:
    """Number of 32-bit words in a token mask."""
    return (ll_tokenizer.vocab_size + 31) // 32


def row_masks(states: Sequence[RowState | None], n_words: int, end_words: np.ndarray) -> np.ndarray:
    """The token masks of all rows.

    Args:
        states: one per row; None for a dead beam.
        n_words: words per mask.
        end_words: (n_words,) int32, the mask of rows that are finished or dead: nothing but end
            and padding.

    Returns:
        (rows, n_words) int32.
    """
    words = np.empty((len(states), n_words), dtype=np.int32)
    for row, state in zip(words, states, strict=True):
        if state is None or state.finished:
            row[:] = end_words
        else:
            state.fill(row)
    return words


def end_mask(n_words: int, token_ids: Sequence[int]) -> np.ndarray:
    """(n_words,) int32 with only the given tokens allowed."""
    bits = np.zeros(n_words * 32, dtype=np.uint8)
    bits[list(token_ids)] = 1
    return np.packbits(bits, bitorder="little").view(np.int32)


def apply_masks(scores: torch.Tensor, words: np.ndarray) -> torch.Tensor:
    """Set the logits of forbidden tokens to minus infinity.

    Args:
        scores: (rows, vocabulary) logits; tokens beyond the tokenizer's vocabulary are forbidden.
        words: (rows, n_words) int32.

    Returns:
        (rows, vocabulary), a new tensor.

    Raises:
        MaskError: nothing is left to choose in some row.
    """
    n_vocab = scores.shape[-1]
    octets = words.view(np.uint8)
    if scores.device.type == "cpu":
        allowed = torch.from_numpy(np.unpackbits(octets, axis=1, bitorder="little").view(np.bool_))
    else:
        allowed = unpack_on_device(torch.from_numpy(octets).to(scores.device))
    allowed = allowed[:, :n_vocab]
    if allowed.shape[1] < n_vocab:
        allowed = torch.nn.functional.pad(allowed, (0, n_vocab - allowed.shape[1]))
    masked = scores.masked_fill(~allowed, -torch.inf)
    dead = masked.amax(dim=-1) == -torch.inf
    if bool(dead.any()):
        raise MaskError(
            f"row {int(dead.nonzero()[0, 0])} has no token left to choose",
            where="masks",
            fix="remove other processors that forbid tokens (min_new_tokens, bad words); "
            "check that model and tokenizer belong together",
        )
    return masked


def unpack_on_device(octets: torch.Tensor) -> torch.Tensor:
    """Unpack masks where the logits are, so that they cross the bus packed.

    Args:
        octets: (rows, n) uint8, token t at bit t % 8 of octet t // 8.

    Returns:
        (rows, 8 * n) bool.
    """
    shifts = torch.arange(8, device=octets.device, dtype=torch.uint8)
    return (octets[:, :, None] >> shifts & 1).bool().flatten(1)


def matcher_rows(matcher: LLMatcher, eos_ids: frozenset[int]) -> Callable[[], MatcherRow]:
    """What makes a row that has written nothing yet, under a compiled grammar."""
    return lambda: MatcherRow(matcher.deep_copy(), eos_ids)


def schema_rows(
    tokenizer: PreTrainedTokenizerBase, schema: Any, max_new_tokens: int | None = None
) -> Callable[[], SchemaRow]:
    """What makes a row that has written nothing yet, under a JSON Schema.

    Raises:
        MaskError: something in the schema cannot be kept, by name and JSON pointer.
    """
    ll_tokenizer = wrap_tokenizer(tokenizer)
    constraint = schema_constraint(schema)
    grammar = LLMatcher.grammar_from_lark(constraint.grammar.lark)
    matcher = compile_matcher(ll_tokenizer, grammar, "JSON Schema")
    eos_ids = frozenset(ll_tokenizer.eos_tokens)
    vocabulary = vocabulary_of(tokenizer)
    return lambda: SchemaRow(matcher.deep_copy(), eos_ids, constraint, vocabulary, max_new_tokens)


def vocabulary_of(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    """The bytes of a tokenizer's tokens, read once per tokenizer."""
    if tokenizer not in _VOCABULARIES:
        wrapped = wrap_tokenizer(tokenizer)
        _VOCABULARIES[tokenizer] = Vocabulary(
            wrapped, [wrapped.decode_bytes([token]) for token in range(wrapped.vocab_size)]
        )
    return _VOCABULARIES[tokenizer]


class GrammarMask(LogitsProcessor):
    """Masks every token that would leave a grammar, and the end until it is complete.

    For any Hugging Face causal or sequence-to-sequence model, greedy, sampled, with beams or with
    drafts. The length of the prompt is the length of the first call. One mask may serve one
    `generate` call after another.

    Args:
        tokenizer: a fast tokenizer, the model's own.
        lark: a grammar in llguidance's Lark dialect; its start rule is `start`.
        json_schema: a JSON Schema; the text is compact JSON (no space outside strings).
        max_new_tokens: budget of `generate` under a JSON Schema, end of sequence included: every
            text ends within it. None for no budget.

    Raises:
        MaskError: not exactly one constraint, or one that is refused.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        lark: str | None = None,
        json_schema: Mapping[str, Any] | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        if (lark is None) == (json_schema is None):
            raise MaskError(
                "exactly one constraint is needed", where="masks", fix="give lark= or json_schema="
            )
        ll_tokenizer = wrap_tokenizer(tokenizer)
        eos_ids = frozenset(ll_tokenizer.eos_tokens)
        if lark is not None:
            matcher = compile_matcher(
                ll_tokenizer, LLMatcher.grammar_from_lark(lark), "Lark grammar"
            )
            make_row: Callable[[], RowState] = matcher_rows(matcher, eos_ids)
        else:
            make_row = schema_rows(tokenizer, json_schema, max_new_tokens)
        self._n_words = n_mask_words(ll_tokenizer)
        self._end_words = end_mask(self._n_words, end_tokens(tokenizer, ll_tokenizer))
        self._tracker = RowTracker(make_row)

    def reset(self) -> None:
        """Forget the rows of the last `generate`; needed only for a prompt one token longer."""
        self._tracker.reset()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(rows, tokens) ids and (rows, vocabulary) logits to masked logits."""
        states = self._tracker.advance(input_ids.detach().cpu().numpy())
        masked = apply_masks(scores, row_masks(states, self._n_words, self._end_words))
        for row, state in enumerate(states):
            if isinstance(state, SchemaRow) and not state.finished:
                masked[row] = state.within_budget(masked[row])
        return masked


def end_tokens(tokenizer: PreTrainedTokenizerBase, ll_tokenizer: LLTokenizer) -> list[int]:
    """The tokens a finished row may hold: the ends of sequence, and padding where there is one."""
    padding = [] if tokenizer.pad_token_id is None else [tokenizer.pad_token_id]
    return sorted({*ll_tokenizer.eos_tokens, *padding})


def only_token(words: np.ndarray) -> int | None:
    """The token of a mask that allows one; None where it allows more."""
    found = np.flatnonzero(words)
    if len(found) != 1:
        return None
    word = int(words[found[0]]) & 0xFFFFFFFF
    return None if word & (word - 1) else int(found[0]) * 32 + word.bit_length() - 1
