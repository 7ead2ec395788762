"""Which constraint state belongs to which row of a batch.

A logits processor is handed the token ids of all rows and nothing else: not whether beams were
reordered, not whether drafted tokens were taken back. So each row is found again by its prefix:
one more token than last time is the fast path; a reordered beam is a fork of the row it came from;
anything else is replayed from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from bb_runtime.errors import MaskError


class RowState(Protocol):
    """The constraint state of one row: what has been written so far and what may come next."""

    @property
    def finished(self) -> bool:
        """Whether the end-of-sequence token has been taken."""
        ...

    def fork(self) -> RowState:
        """An independent copy."""
        ...

    def consume(self, token: int) -> bool:
        """Take one token; False, with the state unusable from then on, where it was not allowed."""
        ...

    def fill(self, words: np.ndarray) -> None:
        """Write the next mask into (n_words,) int32: token t is bit t % 32 of word t // 32."""
        ...


class RowTracker:
    """Keeps one `RowState` per row of a batch, across beam reordering and taken-back tokens.

    A tracker may be used for one `generate` call after another: a new prompt starts new rows.

    Args:
        make_row: makes the state of a row that has generated nothing yet.
    """

    def __init__(self, make_row: Callable[[], RowState]) -> None:
        self._make_row = make_row
        self.reset()

    def reset(self) -> None:
        """Forget the present batch; the next call starts a new one."""
        self._prompt = np.zeros((0, 0), dtype=np.int64)
        self._generated = np.zeros((0, 0), dtype=np.int64)
        self._states: list[RowState | None] = []
        self._families: list[list[int]] = []

    def advance(self, ids: np.ndarray) -> list[RowState | None]:
        """The states of all rows after the tokens they have now.

        Args:
            ids: (rows, tokens) int64, prompt (padding included) and generated tokens.

        Returns:
            One state per row; None for a beam that holds a forbidden token.

        Raises:
            MaskError: a row that is no beam holds a forbidden token.
        """
        if self._is_new_batch(ids):
            self._start(ids)
            return self._states
        generated = ids[:, self._prompt.shape[1] :]
        if self._generated.shape[1] == generated.shape[1] - 1:
            continues = (self._generated == generated[:, :-1]).all(axis=1)
        else:
            continues = np.zeros(len(generated), dtype=bool)
        states = [
            self._step(row, int(tokens[-1])) if own else self._replay(row, tokens)
            for row, (tokens, own) in enumerate(zip(generated, continues, strict=True))
        ]
        self._states, self._generated = states, generated.copy()
        return states

    def _is_new_batch(self, ids: np.ndarray) -> bool:
        """Whether these ids cannot continue the batch of the last call.

        Within one `generate` the length grows by at most one from call to call (drafts only ever
        go back), so a longer jump is a new prompt that happens to begin like the old one.
        """
        rows, width = self._prompt.shape
        if rows != ids.shape[0] or ids.shape[1] <= width:
            return True
        longest = width + self._generated.shape[1] + 1
        return ids.shape[1] > longest or not np.array_equal(ids[:, :width], self._prompt)

    def _start(self, ids: np.ndarray) -> None:
        self._prompt = ids.copy()
        self._generated = ids[:, :0].copy()
        self._states = [self._make_row() for _ in ids]
        families: dict[bytes, list[int]] = {}
        for row, prompt in enumerate(self._prompt):
            families.setdefault(prompt.tobytes(), []).append(row)
        self._families = [families[prompt.tobytes()] for prompt in self._prompt]

    def _step(self, row: int, token: int) -> RowState | None:
        state = self._states[row]
        if state is None or state.finished:
            return state
        # A row that another beam may still fork from in this call must keep its own state.
        return self._feed(state.fork() if len(self._families[row]) > 1 else state, [token], row)

    def _replay(self, row: int, tokens: np.ndarray) -> RowState | None:
        length = self._generated.shape[1]
        if length < len(tokens):
            for other in self._families[row]:
                if np.array_equal(self._generated[other], tokens[:length]):
                    state = self._states[other]
                    return self._feed(state.fork(), tokens[length:], row) if state else None
        return self._feed(self._make_row(), tokens, row)

    def _feed(self, state: RowState, tokens: Iterable[int], row: int) -> RowState | None:
        """Feed tokens; None for a beam that takes a forbidden one.

        Beams of one request share their prompt. Beam search fills its beams with forbidden tokens,
        at score minus
        infinity, where the constraint allows fewer tokens than there are beams: such a row is
            dead, and no fault.
        """
        for token in tokens:
            if state.finished:
                return state
            if not state.consume(int(token)):
                if len(self._families[row]) > 1:
                    return None
                raise MaskError(
                    f"row {row} holds token {int(token)}, which its mask forbids",
                    where="masks",
                    fix="let the mask come after whatever forces tokens and before "
                    "temperature, top-k and top-p",
                )
        return state
