"""One row under a JSON Schema: the grammar's matcher, a guard beside it, an oracle at its end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llguidance import LLMatcher

from bb_domains.json_schema.guard import CLOSING_BYTES
from bb_runtime.errors import MaskError
from bb_runtime.json_schema import SchemaConstraint
from bb_runtime.matcher_row import MatcherRow


class Vocabulary:
    """The bytes of every token, and which tokens may complete an item or a key."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self.token_bytes = token_bytes
        closing = [t for t, text in enumerate(token_bytes) if set(text) & set(CLOSING_BYTES)]
        self.closing = np.array(closing, dtype=np.int64)


class SchemaRow(MatcherRow):
    """One row under a schema; see `rows.RowState`."""

    def __init__(
        self,
        matcher: LLMatcher,
        eos_ids: frozenset[int],
        constraint: SchemaConstraint,
        vocabulary: Vocabulary,
    ) -> None:
        super().__init__(matcher, eos_ids)
        self._constraint, self._vocabulary = constraint, vocabulary
        self._guard = constraint.grammar.guard
        self._text = b""

    def fork(self) -> SchemaRow:
        """An independent copy."""
        twin = SchemaRow.__new__(SchemaRow)
        twin.__dict__.update(self.__dict__)
        twin._matcher = self._matcher.deep_copy()
        return twin

    def consume(self, token: int) -> bool:
        """Take one token."""
        if not super().consume(token):
            return False
        if self.finished:
            return True
        text = self._vocabulary.token_bytes[token]
        self._text += text
        if self._guard is not None:
            self._guard = self._guard.feed(text)
            return self._guard is not None
        return True

    def fill(self, words: np.ndarray) -> None:
        """Write the mask of the next token; a text may end only where the oracle agrees."""
        super().fill(words)
        if self._matcher.is_accepting():
            self._constraint.check(self._text)
        if self._guard is not None and self._guard.is_watching:
            self._forbid_repeats(words)

    def _forbid_repeats(self, words: np.ndarray) -> None:
        closing, guard = self._vocabulary.closing, self._guard
        assert guard is not None
        allowed = closing[(words[closing // 32] >> (closing % 32) & 1).astype(bool)]
        for token in allowed.tolist():
            if guard.feed(self._vocabulary.token_bytes[token]) is None:
                words[token // 32] &= ~np.int32(np.uint32(1 << token % 32).view(np.int32))
        if not words.any():
            raise MaskError(
                "an array or object can only go on by repeating itself",
                where="masks",
                fix="give it more values to choose from, or maxItems",
            )
