"""One row under a JSON Schema: the grammar's matcher, a guard beside it, an oracle at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer

from bb_domains.json_schema.guard import CLOSING_BYTES, Guard
from bb_runtime.errors import MaskError
from bb_runtime.json_schema import SchemaConstraint
from bb_runtime.matcher_row import MatcherRow
from bb_runtime.way_out import Strings, WayOut, Work

_VERIFIED = 20
_SURE = 0.999


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
        way: a way out that fits the budget, where one is known; otherwise one is looked for.

    Attributes:
        text: what was written so far.

    Raises:
        MaskError: no text was found that fits the budget; says how large it must be. Afterwards
            there always is one, if every token taken was forced, or was left by `within_budget`, or
            has passed `fits`.
    """

    def __init__(
        self,
        matcher: LLMatcher,
        eos_ids: frozenset[int],
        constraint: SchemaConstraint,
        vocabulary: Vocabulary,
        max_new_tokens: int | None = None,
        *,
        way: Sequence[int] | None = None,
    ) -> None:
        super().__init__(matcher, eos_ids)
        self._constraint, self._vocabulary = constraint, vocabulary
        self._guard = constraint.grammar.guard
        self._left = max_new_tokens
        self._way: list[int] | None = None
        self._ways: dict[int, list[int] | None] = {}
        self._strings = Strings()
        self._work = Work.at_token(constraint.grammar)
        self.text = b""
        if max_new_tokens is not None:
            self._way = self._first_way(max_new_tokens) if way is None else list(way)

    def fork(self) -> SchemaRow:
        """An independent copy."""
        twin = SchemaRow.__new__(SchemaRow)
        twin.__dict__.update(self.__dict__)
        twin._matcher, twin._ways = self._matcher.deep_copy(), dict(self._ways)
        twin._work = replace(self._work)
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
        if self._guard is not None:
            self._guard = self._guard.feed(text)
            if self._guard is None:
                return False
        if self._left is not None:
            self._way = self._way_past(token, self._left - 1)
            self._ways = {}
            self._work = Work.at_token(self._constraint.grammar)
        return True

    def take_forced(self) -> list[int]:
        """Take all tokens that the grammar forces, and the end where nothing else may follow."""
        taken: list[int] = []
        while not self.finished:
            forced = self._matcher.compute_ff_tokens()
            if not forced or not self._may_take(forced):
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
        return self._left is None or token in self._eos_ids or self._way_after(token) is not None

    def only_way(self, masked: torch.Tensor) -> torch.Tensor:
        """Leave only the first token of the way out, or the end.

        Args:
            masked: (vocabulary,) logits under the mask.

        Raises:
            MaskError: no way out of this text fits the budget, since a token was taken unasked.
        """
        way = self._known_way()
        found = torch.full_like(masked, -torch.inf)
        chosen = [way[0]] if way else [t for t in self._eos_ids if t < len(masked)]
        found[chosen] = masked[chosen]
        return found

    def within_budget(self, masked: torch.Tensor) -> torch.Tensor:
        """Leave only tokens after which the text can still end within the budget.

        The likeliest are looked at, until they make up nearly all that the mask allows or there are
        enough of them, and the first token of the way out.

        Args:
            masked: (vocabulary,) logits under the mask.

        Raises:
            MaskError: no way out of this text fits the budget, since a token was taken unasked.
        """
        if self._left is None:
            return masked
        found = self.only_way(masked)
        values, tokens = masked.topk(min(_VERIFIED, len(masked)))
        chances = (values - masked.logsumexp(-1)).exp()
        passed = 0.0
        for token, chance in zip(tokens.tolist(), chances.tolist(), strict=True):
            if passed >= _SURE or not chance or self._work.is_spent:
                break
            if self.fits(token):
                found[token] = masked[token]
            passed += chance
        return found

    def _first_way(self, budget: int) -> list[int]:
        grammar, way_out = self._constraint.grammar, self._vocabulary.way_out
        work = Work.at_first(grammar)
        way = way_out.shortest(self._matcher, self._guard, work, budget - 1)
        if way is None:
            raise MaskError(
                f"no text that fits a budget of {budget} tokens was found",
                where="masks",
                fix=f"give a budget of more than {budget}, or simplify the schema",
            )
        if len(way) >= budget:
            raise MaskError(
                f"the shortest text found takes {len(way) + 1} tokens with its end, "
                f"the budget is {budget}",
                where="masks",
                fix=f"give a budget of at least {len(way) + 1}",
            )
        return way

    def _known_way(self) -> list[int]:
        if self._way is None:
            raise MaskError(
                f"no way was found to end the text within the {self._left} tokens left",
                where="masks",
                fix="take only tokens that the budget allows",
            )
        return self._way

    def _may_take(self, forced: Sequence[int]) -> bool:
        """Whether the text can still end in time after forced tokens."""
        if self._left is None or self._way is None:
            return True
        text = b"".join(self._vocabulary.token_bytes[token] for token in forced)
        return self._rest(self._way, text, self._left - 1 - len(forced)) is not None

    def _rest(self, way: Sequence[int], text: bytes, most: int) -> list[int] | None:
        rest = self._vocabulary.way_out.cut(way, text)
        return rest if rest is not None and len(rest) <= most else None

    def _way_past(self, token: int, most: int) -> list[int] | None:
        """A way out now that a token was taken."""
        if token in self._ways:
            return self._ways[token]
        before = self._way or []
        rest = self._rest(before, self._vocabulary.token_bytes[token], most)
        if rest is not None:
            return rest
        return self._find_way(self._matcher, self._guard, self._strings, before, most)

    def _way_after(self, token: int) -> list[int] | None:
        """A way out after an allowed token, remembered until one is taken."""
        if token not in self._ways:
            self._ways[token] = self._search_after(token)
        return self._ways[token]

    def _search_after(self, token: int) -> list[int] | None:
        assert self._left is not None
        way, most = self._known_way(), self._left - 2
        text, guard = self._vocabulary.token_bytes[token], self._guard
        rest = self._rest(way, text, most)
        if rest is not None:
            return rest
        matcher = self._matcher.deep_copy()
        if matcher.try_consume_tokens([token]) != 1:
            return None
        if guard is not None:
            guard = guard.feed(text)
            if guard is None:
                return None
        return self._find_way(matcher, guard, self._strings.read(text), way, most)

    def _find_way(
        self,
        matcher: LLMatcher,
        guard: Guard | None,
        strings: Strings,
        hint: Sequence[int],
        most: int,
    ) -> list[int] | None:
        """A way out, of at most so many tokens; most tokens change nothing about the last one."""
        way_out = self._vocabulary.way_out
        if len(hint) <= most and way_out.is_still_way(matcher, guard, hint, self._work):
            return list(hint)
        return way_out.find(matcher, guard, strings, self._work, most)
