"""Strategies: how a passage becomes self-edits. One is built: `implications`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, ClassVar

from seal.errors import StrategyError
from seal.passages import Passage
from seal.prompts import IMPLICATIONS, PASSAGE_MARK, PromptBuilder, PromptTemplate, fit_prompt

if TYPE_CHECKING:
    from seal.sampling import Completion, Sampler

# What may stand before a statement in a list: "1.", "2)", "(3)", "-", "*", a bullet, a dash.
_LIST_MARK = re.compile(r"^(?:\(?\d{1,3}[.):]|[-*•‣–—])(?:\s+|$)")


class SelfEditStrategy(ABC):
    """A way to turn passages into candidate edits; candidates are judged elsewhere."""

    name: ClassVar[str]

    @abstractmethod
    def prompt_builder(self, num_edits: int) -> PromptBuilder:
        """The builder of this strategy's prompts, asking for `num_edits` edits."""

    @abstractmethod
    def generate(
        self, passages: Sequence[Passage], sampler: Sampler, seeds: Sequence[int], num_edits: int
    ) -> list[Completion]:
        """Sample one answer per passage, in the order of the passages.

        Raises:
            PromptError: the wording does not fit into the model's context.
        """

    @abstractmethod
    def parse_output(self, raw_output: str) -> list[str]:
        """Split an answer into candidate edits, in order."""


class ImplicationsStrategy(SelfEditStrategy):
    """Statements that follow from the passage, one a line.

    Source: SEAL plan 1.2 and 1.3; the idea is from Zweiger et al., arXiv 2506.10943.
    """

    name = "implications"
    template: ClassVar[PromptTemplate] = IMPLICATIONS

    def prompt_builder(self, num_edits: int) -> PromptBuilder:
        """The builder of prompts that ask for `num_edits` statements."""
        return PromptBuilder(self.template, num_edits)

    def generate(
        self, passages: Sequence[Passage], sampler: Sampler, seeds: Sequence[int], num_edits: int
    ) -> list[Completion]:
        """One list of statements per passage."""
        builder = self.prompt_builder(num_edits)
        prompts = [
            fit_prompt(builder, passage, sampler.tokenizer, sampler.prompt_budget)
            for passage in passages
        ]
        return sampler.sample(prompts, seeds)

    def parse_output(self, raw_output: str) -> list[str]:
        """One candidate a line, without list marks and without what follows the list."""
        answer = raw_output.rpartition("</think>")[2]
        lines = _before_next_example(answer.split("\n"), self.template.heading)
        stripped = (_LIST_MARK.sub("", line.strip()).strip() for line in lines)
        return [line for line in stripped if line]


STRATEGIES: dict[str, SelfEditStrategy] = {
    strategy.name: strategy for strategy in (ImplicationsStrategy(),)
}


def get_strategy(name: str) -> SelfEditStrategy:
    """The strategy of this name.

    Raises:
        StrategyError: there is none; the message lists those there are.
    """
    if name not in STRATEGIES:
        raise StrategyError(
            f"there is no strategy {name!r}",
            where="strategy",
            fix=f"choose one of: {', '.join(sorted(STRATEGIES))}",
        )
    return STRATEGIES[name]


def _before_next_example(lines: list[str], heading: str) -> list[str]:
    """A base model does not stop: it goes on with a passage of its own making. Cut there."""
    marks = (PASSAGE_MARK, heading)
    return list(takewhile(lambda line: not line.strip().startswith(marks), lines))
