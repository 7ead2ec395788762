"""What a text must keep to, as the engine takes it: `engine.submit(…, constraint=…)`.

A constraint is compiled in the thread that asks for it, never in the one that decodes, and raises
there where it cannot be honoured. Compiled, it may serve any number of requests at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher
from transformers import PreTrainedTokenizerBase

from bb_domains.domain import Domain
from bb_runtime.errors import MaskError
from bb_runtime.job import Constraint
from bb_runtime.masks import compile_matcher, only_token, schema_rows, wrap_tokenizer
from bb_runtime.matcher_row import MatcherRow
from bb_runtime.plan_mask import PlanLanguage
from bb_runtime.plan_row import PlanRow


def keep_to_schema(
    tokenizer: PreTrainedTokenizerBase, schema: Any, max_new_tokens: int
) -> Constraint:
    """Compact JSON that validates against a JSON Schema and ends within the budget.

    Raises:
        MaskError: something in the schema cannot be kept, by name and JSON pointer.
    """
    return schema_rows(tokenizer, schema, max_new_tokens)


def keep_to_lark(tokenizer: PreTrainedTokenizerBase, grammar: str) -> Constraint:
    """Texts of a grammar in llguidance's Lark dialect; its start rule is `start`.

    Raises:
        MaskError: the grammar does not compile, or has no text.
    """
    return _keep_to(tokenizer, LLMatcher.grammar_from_lark, grammar, "Lark grammar")


def keep_to_regex(tokenizer: PreTrainedTokenizerBase, regex: str) -> Constraint:
    """Texts that match a regular expression as a whole.

    Raises:
        MaskError: it does not compile, or matches nothing.
    """
    return _keep_to(tokenizer, LLMatcher.grammar_from_regex, regex, "regular expression")


def keep_to_choice(tokenizer: PreTrainedTokenizerBase, choices: Sequence[str]) -> Constraint:
    """One of some texts.

    Raises:
        MaskError: there are none.
    """
    if not choices or not all(choices):
        raise MaskError(
            "a choice needs texts to choose from", where="masks", fix="give one or more, not empty"
        )
    literals = " | ".join(_lark_string(choice) for choice in choices)
    return keep_to_lark(tokenizer, f"start: {literals}")


def keep_to_plans(
    tokenizer: PreTrainedTokenizerBase, domain: Domain, max_new_tokens: int
) -> Constraint:
    """Plans of a domain that pass its checker and end within the budget.

    Raises:
        MaskError: the budget is too small for any plan.
    """
    language = PlanLanguage(tokenizer, domain, max_new_tokens)
    return lambda: ForcedPlanRow(language.start(), language.n_words)


class ForcedRow(MatcherRow):
    """A row under a grammar that takes what the grammar forces; see `job.Forcing`."""

    def fork(self) -> ForcedRow:
        """An independent copy."""
        twin = ForcedRow(self._matcher.deep_copy(), self._eos_ids)
        twin.finished = self.finished
        return twin

    def take_forced(self) -> list[int]:
        """Take all tokens that the grammar forces, and the end where nothing else may follow."""
        taken: list[int] = []
        while not self.finished and (forced := self._matcher.compute_ff_tokens()):
            for token in forced:
                if not self.consume(token):
                    raise MaskError(
                        f"a forced token {token} was refused", where="masks", fix="report this"
                    )
            taken += forced
        if self._matcher.is_stopped() and self._matcher.is_accepting():
            self.finished = True
        return taken


class ForcedPlanRow:
    """A row of a plan that takes what has no alternative; see `job.Forcing`.

    Args:
        row: the plan's.
        n_words: words of a mask.
    """

    def __init__(self, row: PlanRow, n_words: int) -> None:
        self._row, self._n_words = row, n_words
        self._words: np.ndarray | None = None

    @property
    def finished(self) -> bool:
        """Whether the end-of-sequence token has been taken."""
        return self._row.finished

    def fork(self) -> ForcedPlanRow:
        """An independent copy."""
        return ForcedPlanRow(self._row.fork(), self._n_words)

    def consume(self, token: int) -> bool:
        """Take one token; False where it was not allowed."""
        self._words = None
        return self._row.consume(token)

    def fill(self, words: np.ndarray) -> None:
        """Write the mask of the next token."""
        words[:] = self._mask()

    def _mask(self) -> np.ndarray:
        if self._words is None:
            self._words = np.zeros(self._n_words, dtype=np.int32)
            self._row.fill(self._words)
        return self._words

    def take_forced(self) -> list[int]:
        """Take tokens while the plan or its mask leaves no choice, the end among them."""
        taken: list[int] = []
        while not self.finished:
            forced = self._row.forced()
            if not forced:
                only = only_token(self._mask())
                if only is None:
                    break
                forced = [only]
            for token in forced:
                if not self.consume(token):
                    raise MaskError(
                        f"a forced token {token} was refused", where="masks", fix="report this"
                    )
            taken += forced
        return taken


def _keep_to(
    tokenizer: PreTrainedTokenizerBase, read: Callable[[str], str], text: str, what: str
) -> Constraint:
    wrapped = wrap_tokenizer(tokenizer)
    try:
        grammar = read(text)
    except UnicodeEncodeError as error:
        raise MaskError(
            f"the {what} holds half a surrogate pair", where="masks", fix="write whole characters"
        ) from error
    matcher, eos_ids = compile_matcher(wrapped, grammar, what), frozenset(wrapped.eos_tokens)
    return lambda: ForcedRow(matcher.deep_copy(), eos_ids)


def _lark_string(text: str) -> str:
    """A text as a Lark string literal: JSON's escapes, which llguidance reads as JSON does."""
    return json.dumps(text, ensure_ascii=False)
