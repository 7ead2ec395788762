"""One row under a JSON Schema: the grammar's matcher, a guard beside it, an oracle at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer

from bb_domains.json_schema.guard import CLOSING_BYTES, Guard
from bb_runtime.errors import MaskError
from bb_runtime.json_schema import SchemaConstraint
from bb_runtime.matcher_row import MatcherRow
from bb_runtime.way_out import Strings, WayOut

_VERIFIED = 4
_MARGIN = 48


class Vocabulary:
    """The bytes of every token, which tokens may complete an item or a key, and ways out."""

    def __init__(self, tokenizer: LLTokenizer, token_bytes: Sequence[bytes]) -> None:
        self.token_bytes = token_bytes
        closing = [t for t, text in enumerate(token_bytes) if set(text) & set(CLOSING_BYTES)]
        quoting = [
            [t for t in closing if token_bytes[t].count(b'"') >= quotes] for quotes in range(1, 4)
        ]
        self.repeating = [np.array(tokens, dtype=np.int64) for tokens in (closing, *quoting)]
        self.way_out = WayOut(tokenizer, token_bytes)


class SchemaRow(MatcherRow):
    """One row under a schema; see `rows.RowState`.

    Args:
        matcher: at the start of the schema's grammar.
        eos_ids: the ends of sequence.
        constraint: the schema.
        vocabulary: of the tokenizer.
        max_new_tokens: budget, the end of sequence included; None for none.

    Attributes:
        text: what was written so far.
    """

    def __init__(
        self,
        matcher: LLMatcher,
        eos_ids: frozenset[int],
        constraint: SchemaConstraint,
        vocabulary: Vocabulary,
        max_new_tokens: int | None = None,
    ) -> None:
        super().__init__(matcher, eos_ids)
        self._constraint, self._vocabulary = constraint, vocabulary
        self._guard = constraint.grammar.guard
        self._left = max_new_tokens
        self._way: list[int] | None = None
        self._hint: list[int] | None = None
        self._longest = 0
        self._strings = Strings()
        self.text = b""

    def fork(self) -> SchemaRow:
        """An independent copy."""
        twin = SchemaRow.__new__(SchemaRow)
        twin.__dict__.update(self.__dict__)
        twin._matcher = self._matcher.deep_copy()
        return twin

    def check(self) -> Any:
        """Return the value of the text.

        Raises:
            MaskError: the oracle refuses it.
        """
        return self._constraint.check(self.text)

    def consume(self, token: int) -> bool:
        """Take one token."""
        if not super().consume(token):
            return False
        if self._left is not None:
            self._left -= 1
        if self.finished:
            return True
        text = self._vocabulary.token_bytes[token]
        self.text += text
        self._strings = self._strings.read(text)
        if self._way is not None:  # most tokens change nothing about how the text may end
            self._hint = self._way
        self._way = self._way[1:] if self._way and self._way[0] == token else None
        if self._guard is not None:
            self._guard = self._guard.feed(text)
            return self._guard is not None
        return True

    def take_forced(self) -> list[int]:
        """Take all tokens that the grammar forces, and the end where nothing else may follow."""
        taken: list[int] = []
        while not self.finished:
            forced = self._matcher.compute_ff_tokens()
            if not forced:
                break
            for token in forced:
                if not self.consume(token):
                    raise MaskError(
                        "an array or object can only go on by repeating itself",
                        where="masks",
                        fix="give it more values to choose from, or maxItems",
                    )
            taken += forced
        if self._matcher.is_stopped() and self._matcher.is_accepting():
            self.check()
            self.finished = True
        return taken

    def fill(self, words: np.ndarray) -> None:
        """Write the mask of the next token; a text may end only where the oracle agrees."""
        super().fill(words)
        if self._matcher.is_accepting():
            self.check()
        if self._guard is not None and self._guard.quotes_needed is not None:
            self._forbid_repeats(words, self._guard, self._guard.quotes_needed)

    def _forbid_repeats(self, words: np.ndarray, guard: Guard, quotes_needed: int) -> None:
        tokens = self._vocabulary.repeating[quotes_needed]
        allowed = tokens[(words[tokens // 32] >> (tokens % 32) & 1).astype(bool)]
        for token in allowed.tolist():
            if guard.feed(self._vocabulary.token_bytes[token]) is None:
                words[token // 32] &= ~np.uint32(1 << token % 32).view(np.int32)
        if not words.any():
            raise MaskError(
                "an array or object can only go on by repeating itself",
                where="masks",
                fix="give it more values to choose from, or maxItems",
            )

    def allowed_scores(self, scores: torch.Tensor, n_words: int) -> torch.Tensor:
        """Logits under the mask; the budget is left to `fits` or `within_budget`.

        Args:
            scores: (vocabulary,) logits.
            n_words: words of a mask.
        """
        words = np.zeros(n_words, dtype=np.int32)
        self.fill(words)
        bits = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)[: len(scores)]
        allowed = torch.zeros(len(scores), dtype=torch.bool)
        allowed[: len(bits)] = torch.from_numpy(bits)
        return scores.masked_fill(~allowed.to(scores.device), -torch.inf)

    def fits(self, token: int) -> bool:
        """Whether the text can still end within the budget after an allowed token."""
        return self._left is None or token in self._eos_ids or self._can_end_after(token)

    def only_way(self, masked: torch.Tensor) -> torch.Tensor:
        """Leave only the first token of the way out, or the end.

        Args:
            masked: (vocabulary,) logits under the mask.

        Raises:
            MaskError: no way out of this text fits the budget.
        """
        assert self._left is not None
        way = self._known_way(self._left - 1)
        found = torch.full_like(masked, -torch.inf)
        chosen = [way[0]] if way else [t for t in self._eos_ids if t < len(masked)]
        found[chosen] = masked[chosen]
        return found

    def within_budget(self, masked: torch.Tensor) -> torch.Tensor:
        """Leave only tokens after which the text can still end within the budget.

        Where the budget is near, only the likeliest tokens are looked at, and the first token of
        the way out. Near is where what the longest way so far would take could be begun once more.

        Args:
            masked: (vocabulary,) logits under the mask.

        Raises:
            MaskError: no way out of this text fits the budget.
        """
        if self._left is None:
            return masked
        way = self._known_way(self._left - 1)
        self._longest = max(self._longest, len(way))
        if self._left > len(way) + 2 * self._longest + _MARGIN:
            return masked
        found = self.only_way(masked)
        values, tokens = masked.topk(min(_VERIFIED, len(masked)))
        for value, token in zip(values.tolist(), tokens.tolist(), strict=True):
            if value > -np.inf and self.fits(token):
                found[token] = value
        return found

    def _known_way(self, most: int) -> list[int]:
        if self._way is None:
            self._way = self._find_way(self._matcher, self._guard, self._strings, most)
            self._hint = self._way
        if self._way is None or len(self._way) > most:
            raise MaskError(
                f"no way was found to end the text within the {most} tokens left",
                where="masks",
                fix="give a larger budget",
            )
        return self._way

    def _can_end_after(self, token: int) -> bool:
        assert self._left is not None
        matcher = self._matcher.deep_copy()
        if matcher.try_consume_tokens([token]) != 1:
            return False
        text, guard = self._vocabulary.token_bytes[token], self._guard
        if guard is not None:
            guard = guard.feed(text)
            if guard is None:
                return False
        strings = self._strings.read(text)
        return self._find_way(matcher, guard, strings, self._left - 2) is not None

    def _find_way(
        self, matcher: LLMatcher, guard: Guard | None, strings: Strings, most: int
    ) -> list[int] | None:
        hint = self._hint
        if (
            hint is not None
            and len(hint) <= most
            and self._vocabulary.way_out.is_way(matcher, guard, hint)
        ):
            return hint
        languages = self._constraint.grammar.strings
        return self._vocabulary.way_out.find(matcher, guard, strings, languages, most)
