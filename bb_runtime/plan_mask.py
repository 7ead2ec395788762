"""Masks for plans: syntax, plan state and budget at once.

A plan is masked step by step. The grammar of the text up to the next choice of a tool depends on
the plan state (which tools are admissible, on which handles, whether the plan may end) and on the
bytes left; when its text is complete, the step is applied to the plan state and the next grammar
takes over. A token is at least one byte, so a budget of bytes is sound for a budget of tokens:
every plan decoded under this mask ends within its budget and passes the checker, whatever the
model and the temperature.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import torch
from llguidance import LLMatcher
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from bb_core.plan import Step
from bb_domains.calls import PLAN_CLOSE, PLAN_OPEN
from bb_domains.domain import Domain
from bb_domains.grammar import step_grammar
from bb_domains.states import PlanState
from bb_runtime.errors import MaskError
from bb_runtime.masks import (
    apply_masks,
    compile_matcher,
    end_mask,
    end_tokens,
    n_mask_words,
    row_masks,
    wrap_tokenizer,
)
from bb_runtime.rows import RowTracker

# A compiled grammar takes about 0.1 MB, its text 2 kB.
_KEPT_MATCHERS = 512
_KEPT_TEXTS = 8192
_V = TypeVar("_V")


class _Cache:
    """Keeps the values used last; one plan's key literals make grammars no other plan needs."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _V]) -> _V:
        if key in self._values:
            self._values.move_to_end(key)
            kept: _V = self._values[key]
            return kept
        made = self._values[key] = make()
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return made


class PlanLanguage:
    """What all rows of a mask share: the domain, the budget, and the grammars compiled so far."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, domain: Domain, max_new_tokens: int
    ) -> None:
        self.domain = domain
        self.max_new_tokens = max_new_tokens
        self.ll_tokenizer = wrap_tokenizer(tokenizer)
        self.n_words = n_mask_words(self.ll_tokenizer)
        self.eos_ids = frozenset(self.ll_tokenizer.eos_tokens)
        self.eos_words = end_mask(self.n_words, sorted(self.eos_ids))
        self.end_words = end_mask(self.n_words, end_tokens(tokenizer, self.ll_tokenizer))
        self.token_bytes = [
            self.ll_tokenizer.decode_bytes([token]) for token in range(self.ll_tokenizer.vocab_size)
        ]
        self._texts = _Cache(_KEPT_TEXTS)
        self._matchers = _Cache(_KEPT_MATCHERS)
        self._check_budget()

    def _check_budget(self) -> None:
        machine = self.domain.machine
        cheapest = machine.completion(machine.initial())
        if cheapest is None:
            raise MaskError("no plan can be completed", where="plan mask", fix="check the domain")
        needed = cheapest[1] + 1
        if self.max_new_tokens < needed:
            raise MaskError(
                f"a budget of {self.max_new_tokens} tokens may not suffice for any plan of "
                f"{self.domain.name}",
                where="plan mask",
                fix=f"give at least {needed}: one for each byte of the shortest plan, and the end",
            )

    def matcher(self, state: PlanState, left_bytes: int, emitted: bytes) -> LLMatcher:
        """A fresh matcher of the text up to the next choice of a tool."""
        key = (state, left_bytes, emitted)
        text = self._texts.get(key, lambda: step_grammar(self.domain.machine, *key))
        return self._matchers.get(text, lambda: self._compile(text)).deep_copy()

    def _compile(self, text: str) -> LLMatcher:
        grammar = LLMatcher.grammar_from_lark(text)
        return compile_matcher(self.ll_tokenizer, grammar, "step grammar")

    def start(self) -> PlanRow:
        """The state of a row that has written nothing yet."""
        return PlanRow(self, self.domain.machine.initial())


class PlanRow:
    """One row under the plan mask; see `rows.RowState`."""

    def __init__(self, language: PlanLanguage, state: PlanState) -> None:
        self._language = language
        self._state = state
        self._used = 0
        self._tail = b""
        self._is_complete = False
        self.finished = False
        self._matcher = language.matcher(state, self._left_bytes(), b"")

    def _left_bytes(self) -> int:
        return self._language.max_new_tokens - self._used - 1

    def fork(self) -> PlanRow:
        """An independent copy."""
        twin = PlanRow.__new__(PlanRow)
        twin.__dict__.update(self.__dict__)
        twin._matcher = self._matcher.deep_copy()
        return twin

    def consume(self, token: int) -> bool:
        """Take one token; the end of sequence finishes the row if the plan is complete."""
        if token in self._language.eos_ids:
            self.finished = self._is_complete
            return self.finished
        if self._is_complete or not self._matcher.consume_token(token):
            return False
        self._used += 1
        self._tail += self._language.token_bytes[token]
        if self._matcher.is_accepting():
            self._close_step()
        return True

    def _close_step(self) -> None:
        """Apply the step just written, and take up the grammar of the next."""
        text = self._tail.decode("ascii").removeprefix(PLAN_OPEN).removeprefix(",")
        if text == PLAN_CLOSE:  # the empty plan
            self._is_complete = True
            return
        value, end = json.JSONDecoder().raw_decode(text)
        step = Step(value["id"], value["tool"], value["args"])
        self._state = self._language.domain.machine.apply(self._state, step)
        rest = text[end:]
        if rest == PLAN_CLOSE:
            self._is_complete = True
            return
        self._tail = rest.encode("ascii")
        self._matcher = self._language.matcher(self._state, self._left_bytes(), self._tail)

    def fill(self, words: np.ndarray) -> None:
        """Write the mask of the next token."""
        if self._is_complete:
            words[:] = self._language.eos_words
            return
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        if self._matcher.is_error():
            raise MaskError(
                f"llguidance gave up: {self._matcher.get_error().strip()}",
                where="plan mask",
                fix="simplify the arguments of the domain's tools",
            )


class PlanMask(LogitsProcessor):
    """Masks every token that would leave the plans of a domain, or that leads to a dead end.

    For any Hugging Face causal LM, greedy, sampled, with beams or with drafts.

    Args:
        tokenizer: a fast tokenizer, the model's own.
        domain: whose plans are allowed.
        max_new_tokens: the budget of `generate`, end-of-sequence included.

    Raises:
        MaskError: the budget is too small for any plan, or the tokenizer cannot be wrapped.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, domain: Domain, max_new_tokens: int
    ) -> None:
        self._language = PlanLanguage(tokenizer, domain, max_new_tokens)
        self._tracker = RowTracker(self._language.start)

    def reset(self) -> None:
        """Forget the rows of the last `generate`; the compiled grammars stay."""
        self._tracker.reset()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(rows, tokens) ids and (rows, vocabulary) logits to masked logits."""
        states = self._tracker.advance(input_ids.detach().cpu().numpy())
        language = self._language
        return apply_masks(scores, row_masks(states, language.n_words, language.end_words))
