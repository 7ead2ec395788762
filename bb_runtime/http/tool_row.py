"""One text that is free until it writes a tag, and then keeps to a JSON Schema to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher
from transformers import PreTrainedTokenizerBase

from bb_runtime.errors import MaskError
from bb_runtime.job import Constraint
from bb_runtime.json_schema import SchemaConstraint, schema_constraint
from bb_runtime.masks import compile_matcher, vocabulary_of, wrap_tokenizer
from bb_runtime.schema_row import SchemaRow, Vocabulary
from bb_runtime.way_out import Strings, Work

TAG = "<tool_call>"

_TAG = TAG.encode()


@dataclass(frozen=True)
class TagLanguage:
    """What all rows under one schema after the tag share.

    Attributes:
        matcher: at the start of the schema's grammar.
        eos_ids: the ends of sequence.
        constraint: the schema.
        vocabulary: of the tokenizer.
        closing: tokens that may complete the tag.
        way: tokens of a short text of the schema, without the end of sequence.
    """

    matcher: LLMatcher
    eos_ids: frozenset[int]
    constraint: SchemaConstraint
    vocabulary: Vocabulary
    closing: tuple[int, ...]
    way: tuple[int, ...]

    def begin(self, left: int) -> SchemaRow:
        """A row after the tag, with so many tokens left."""
        return SchemaRow(
            self.matcher.deep_copy(),
            self.eos_ids,
            self.constraint,
            self.vocabulary,
            left,
            way=self.way,
        )


def keep_calls_after_tag(
    tokenizer: PreTrainedTokenizerBase, schema: Any, max_new_tokens: int
) -> Constraint:
    """Any text; after the tag, compact JSON of a schema, which ends within the budget.

    Raises:
        MaskError: something in the schema cannot be kept, or no text of it is found that fits the
            budget.
    """
    wrapped = wrap_tokenizer(tokenizer)
    constraint, vocabulary = schema_constraint(schema), vocabulary_of(tokenizer)
    grammar = LLMatcher.grammar_from_lark(constraint.grammar.lark)
    matcher = compile_matcher(wrapped, grammar, "JSON Schema")
    way = vocabulary.way_out.find(
        matcher,
        constraint.grammar.guard,
        Strings(),
        Work.at_first(constraint.grammar),
        max_new_tokens,
    )
    if way is None:
        raise MaskError(
            f"no call was found that fits {max_new_tokens} tokens",
            where="tools",
            fix="give a larger max_tokens",
        )
    closing = tuple(token for token, text in enumerate(vocabulary.token_bytes) if _TAG[-1:] in text)
    eos_ids = frozenset(wrapped.eos_tokens)
    language = TagLanguage(matcher, eos_ids, constraint, vocabulary, closing, tuple(way))
    return lambda: TagRow(language, max_new_tokens)


class TagRow:
    """A row that is free until the tag; see `rows.RowState`, `job.Forcing` and `job.Budgeted`.

    The tag is met wherever its bytes stand, however they are cut into tokens. A token that would
    go on beyond it is masked, so that the schema's text begins with a token of its own.

    Args:
        language: what comes after the tag.
        left: budget in tokens.
    """

    def __init__(self, language: TagLanguage, left: int) -> None:
        self._language, self._left = language, left
        self._end = b""  # the last bytes, less than a tag
        self._calls: SchemaRow | None = None
        self._is_over = False

    @property
    def finished(self) -> bool:
        """Whether the end-of-sequence token has been taken."""
        return self._is_over if self._calls is None else self._calls.finished

    def fork(self) -> TagRow:
        """An independent copy."""
        twin = TagRow(self._language, self._left)
        twin._end, twin._is_over = self._end, self._is_over
        twin._calls = None if self._calls is None else self._calls.fork()
        return twin

    def consume(self, token: int) -> bool:
        """Take one token; False where it was not allowed."""
        if self._calls is not None:
            return self._calls.consume(token)
        self._left -= 1
        if token in self._language.eos_ids:
            self._is_over = True
            return True
        text = self._end + self._text(token)
        at = text.find(_TAG)
        if at >= 0:
            if at + len(_TAG) != len(text):
                return False
            self._calls = self._language.begin(self._left)
        self._end = text[-(len(_TAG) - 1) :]
        return True

    def fill(self, words: np.ndarray) -> None:
        """Write the mask of the next token."""
        if self._calls is not None:
            self._calls.fill(words)
            return
        words[:] = -1
        fits = self._left > len(self._language.way) + 1
        for token in self._language.closing:
            text = self._end + self._text(token)
            at = text.find(_TAG)
            if at >= 0 and not (fits and at + len(_TAG) == len(text)):
                words[token // 32] &= ~np.uint32(1 << token % 32).view(np.int32)

    def take_forced(self) -> list[int]:
        """Take all tokens that are forced; none before the tag."""
        return [] if self._calls is None else self._calls.take_forced()

    def within_budget(self, masked: torch.Tensor) -> torch.Tensor:
        """(vocabulary,) logits with only tokens after which the text can still end in time."""
        return masked if self._calls is None else self._calls.within_budget(masked)

    def _text(self, token: int) -> bytes:
        found = self._language.vocabulary.token_bytes
        return found[token] if token < len(found) else b""
