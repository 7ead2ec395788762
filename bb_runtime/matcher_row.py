"""One row under an llguidance grammar."""

from __future__ import annotations

import numpy as np
from llguidance import LLMatcher

from bb_runtime.errors import MaskError


class MatcherRow:
    """One row under one grammar; see `rows.RowState`."""

    def __init__(self, matcher: LLMatcher, eos_ids: frozenset[int]) -> None:
        self._matcher = matcher
        self._eos_ids = eos_ids
        self.finished = False

    def fork(self) -> MatcherRow:
        """An independent copy."""
        twin = MatcherRow(self._matcher.deep_copy(), self._eos_ids)
        twin.finished = self.finished
        return twin

    def consume(self, token: int) -> bool:
        """Take one token; an end-of-sequence token finishes the row if the grammar is complete."""
        if token in self._eos_ids:
            self.finished = bool(self._matcher.is_accepting())
            return self.finished
        return bool(self._matcher.consume_token(token)) and not self._matcher.is_error()

    def fill(self, words: np.ndarray) -> None:
        """Write the mask of the next token."""
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        if self._matcher.is_error():
            raise MaskError(
                f"llguidance gave up: {self._matcher.get_error().strip()}",
                where="masks",
                fix="simplify the grammar",
            )
