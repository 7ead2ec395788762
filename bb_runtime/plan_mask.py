"""Masks for plans: syntax, plan state and budget at once.

A plan is masked step by step. The grammar of the text up to the next choice of a tool depends on
the plan state (which tools are admissible, on which handles, whether the plan may end) and on the
bytes left; when its text is complete, the step is applied to the plan state and the next grammar
takes over. A token is at least one byte, so a budget of bytes is sound for a budget of tokens:
every plan decoded under this mask ends within its budget and passes the checker, whatever the
model and the temperature.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from llguidance import LLMatcher
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from bb_domains.domain import Domain
from bb_domains.grammar import step_grammar
from bb_domains.heads import Head, Tail, choice_of, is_first, rest_grammar
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
from bb_runtime.plan_nodes import Node, Rest, TokenTexts, root_of, spelling
from bb_runtime.plan_row import PlanRow
from bb_runtime.rows import RowTracker

# A compiled grammar takes about 0.1 MB, its text 2 kB.
_KEPT_MATCHERS = 512
_KEPT_TEXTS = 8192
_V = TypeVar("_V")
RestKey = tuple[str, Tail, bool]
"""What a tool's own grammar depends on: tool, tail, and whether it is the first step."""


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


@dataclass(frozen=True)
class Begun:
    """Where the heads of a state's steps begin, and the bytes from which a budget is no matter."""

    room: int
    root: Node


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
        special = frozenset(tokenizer.all_special_ids) | self.eos_ids
        self.plain_bytes = [
            b"" if token in special else text for token, text in enumerate(self.token_bytes)
        ]
        self.texts = TokenTexts(self.plain_bytes)
        self._texts = _Cache(_KEPT_TEXTS)
        self._matchers = _Cache(_KEPT_MATCHERS)
        self._begun = _Cache(_KEPT_TEXTS)
        self._rests: dict[RestKey, LLMatcher] = {}
        self._words = _Cache(_KEPT_TEXTS)
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

    def begun(self, state: PlanState) -> Begun | None:
        """Where the heads of a state's steps begin; None where there are none."""
        names = tuple((h.object, h.slot, h.step) for h in state.handles)
        key = (state.bits, state.used, state.n_steps, state.cost, names)
        return self._begun.get(key, lambda: self._begin(state))

    def _begin(self, state: PlanState) -> Begun | None:
        choice = choice_of(self.domain.machine, state)
        return None if choice is None else Begun(choice.room, root_of(choice))

    def rest_matcher(self, head: Head) -> LLMatcher:
        """A fresh matcher of a tool's steps, at the place where heads begin."""
        key = self._rest_key(head)
        if key not in self._rests:
            self._rests[key] = self._compile(rest_grammar(self.domain.machine, head))
        return self._rests[key].deep_copy()

    def _rest_key(self, head: Head) -> RestKey:
        return self.domain.machine.lanes[head.lane].tool, head.tail, is_first(head)

    def head_words(self, rests: tuple[Rest, ...]) -> np.ndarray:
        """(n_words,) int32: the tokens that spell what is left of heads, or go beyond it."""
        beginnings = frozenset(self.texts.cut(rest) for rest, _ in rests)
        crossed = {
            (rest, self._rest_key(head)): head
            for rest, head in rests
            if not head.is_whole and self.texts.starting(rest)
        }
        key = (beginnings, frozenset(crossed))
        return self._words.get(key, lambda: self._head_words(beginnings, crossed))

    def _head_words(
        self, beginnings: frozenset[bytes], crossed: Mapping[tuple[bytes, RestKey], Head]
    ) -> np.ndarray:
        allowed = spelling(self.texts, beginnings)
        for (rest, _), head in crossed.items():
            longer = set(self.texts.starting(rest)) - set(self.texts.exactly(rest))
            if longer:
                allowed |= longer & self._allowed_at(head, len(head.text) - len(rest))
        return end_mask(self.n_words, sorted(allowed))

    def _allowed_at(self, head: Head, size: int) -> set[int]:
        """What a tool's own grammar allows after so many bytes of a head."""
        matcher = self.rest_matcher(head)
        matcher.consume_tokens(self.ll_tokenizer.tokenize_bytes(head.text[:size]))
        words = np.zeros(self.n_words, dtype=np.int32)
        matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        if matcher.is_error():
            raise MaskError(
                f"llguidance gave up: {matcher.get_error().strip()}",
                where="plan mask",
                fix="simplify the arguments of the domain's tools",
            )
        return set(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist())

    def _compile(self, text: str) -> LLMatcher:
        grammar = LLMatcher.grammar_from_lark(text)
        return compile_matcher(self.ll_tokenizer, grammar, "step grammar")

    def start(self) -> PlanRow:
        """The state of a row that has written nothing yet."""
        return PlanRow(self, self.domain.machine.initial())


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
