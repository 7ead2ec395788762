"""From passages to judged self-edits: sample, parse, filter, try again, fall back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bb_core.canonical import sha256_hex
from seal.passages import Passage
from seal.quality import PassageJudge, QualityLimits, SeenEdits
from seal.rouge import words
from seal.settings import MAX_SEED, GenerationSettings
from seal.strategies import get_strategy

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from seal.sampling import Completion

NO_EDIT_KEPT = "no edit was accepted"
CUT_OFF = "cut off by the token limit"


@dataclass(frozen=True)
class Edit:
    """An accepted edit and how it came about.

    Attributes:
        text: the edit.
        attempt: 0 for the first sampling of its passage.
        seed: of the stream it was drawn from.
        prompt_sha256: hash of the prompt it answers.
        scores: what the quality filters measured.
    """

    text: str
    attempt: int
    seed: int
    prompt_sha256: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Rejection:
    """A candidate that was refused: by which filter, why, and in which attempt."""

    text: str
    attempt: int
    refused_by: str
    reason: str
    scores: dict[str, float]


@dataclass(frozen=True)
class PassageEdits:
    """Everything that one passage gave.

    Attributes:
        passage: the passage.
        edits: accepted edits; none means that the passage itself is to be used instead.
        rejections: refused candidates, in the order they were judged.
        attempts: how often the passage was sampled.
        tokens: tokens generated over all attempts.
        shown_chars: characters of the passage the model saw; fewer than it has if it was cut to
            fit the model's context.
        prompt_sha256: hash of the last prompt, "" if there was none.
        seed: seed of the last attempt.
    """

    passage: Passage
    edits: tuple[Edit, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    attempts: int = 0
    tokens: int = 0
    shown_chars: int = 0
    prompt_sha256: str = ""
    seed: int = 0


@dataclass
class _Work:
    """A passage while it is worked on."""

    result: PassageEdits
    judge: PassageJudge = field(repr=False)


class SelfEditGenerator:
    """Generates self-edits with one model.

    Args:
        model: any Hugging Face causal LM; it is not changed.
        tokenizer: its tokenizer, with or without a chat template.
        strategy: name of the strategy.
        settings: how to sample; ranges are checked.
        limits: bounds of the quality filters.

    Raises:
        StrategyError: unknown strategy.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        strategy: str = "implications",
        settings: GenerationSettings | None = None,
        limits: QualityLimits | None = None,
    ) -> None:
        from seal.sampling import Sampler

        self.strategy = get_strategy(strategy)
        self.settings = settings or GenerationSettings()
        self.limits = limits or QualityLimits()
        self.sampler = Sampler(model, tokenizer, self.settings)

    def generate_self_edits(self, passage: str, title: str = "") -> list[str]:
        """Accepted edits of one passage; empty if it is blank or nothing was accepted."""
        (result,) = self.generate([Passage("passage", passage, title)])
        return [edit.text for edit in result.edits]

    def generate(
        self, passages: Sequence[Passage], seen: SeenEdits | None = None
    ) -> list[PassageEdits]:
        """Generate and judge edits for a block of passages.

        Passages without an accepted edit are sampled again, up to `settings.attempts` times.

        Args:
            passages: any number; blank ones give an empty result.
            seen: edits kept earlier in the corpus, to which the kept ones are added.

        Returns:
            One result per passage, in order.
        """
        corpus = seen if seen is not None else SeenEdits()
        work = [_Work(PassageEdits(p), PassageJudge([], corpus, self.limits)) for p in passages]
        for attempt in range(self.settings.attempts):
            pending = [w for w in work if not w.result.edits and not w.result.passage.is_empty]
            if not pending:
                break
            seeds = [self._seed(w.result.passage, attempt) for w in pending]
            completions = self.strategy.generate(
                [w.result.passage for w in pending], self.sampler, seeds, self.settings.num_edits
            )
            for item, completion, seed in zip(pending, completions, seeds, strict=True):
                self._judge(item, completion, attempt, seed)
        return [w.result for w in work]

    def _judge(self, work: _Work, completion: Completion, attempt: int, seed: int) -> None:
        """Parse an answer, judge its candidates and extend the passage's result."""
        passage = work.result.passage
        # Judged against what the model saw: the part that was cut away cannot support an edit.
        work.judge.passage_words = words(passage.text[: completion.prompt.passage_chars])
        edits, rejections = list(work.result.edits), list(work.result.rejections)
        candidates, cut_off = self._candidates(completion)
        for text in candidates:
            if len(edits) == self.settings.num_edits:
                break
            verdict = work.judge.judge(text)
            if verdict.is_kept:
                sha256 = completion.prompt.sha256
                edits.append(Edit(text, attempt, seed, sha256, verdict.scores))
            else:
                rejections.append(
                    Rejection(text, attempt, verdict.refused_by, verdict.reason, verdict.scores)
                )
        rejections += [Rejection(text, attempt, "form", CUT_OFF, {}) for text in cut_off]
        work.result = replace(
            work.result,
            edits=tuple(edits),
            rejections=tuple(rejections),
            attempts=attempt + 1,
            tokens=work.result.tokens + completion.tokens,
            shown_chars=completion.prompt.passage_chars,
            prompt_sha256=completion.prompt.sha256,
            seed=seed,
        )

    def _candidates(self, completion: Completion) -> tuple[list[str], list[str]]:
        """The whole candidates of an answer, and the one that the token limit cut off, if any."""
        candidates = self.strategy.parse_output(completion.text)
        if completion.finished or _ends_sentence(completion.text):
            return candidates, []
        whole = self.strategy.parse_output(completion.text.rpartition("\n")[0])
        return whole, candidates[len(whole) :]

    def _seed(self, passage: Passage, attempt: int) -> int:
        """Seed of one (run, strategy, passage, attempt), the same in any order and batch."""
        name = f"{self.settings.seed}/{self.strategy.name}/{passage.sha256}/{attempt}"
        return int(sha256_hex(name.encode("utf-8")), 16) & MAX_SEED


def _ends_sentence(text: str) -> bool:
    return text.rstrip().rstrip("\"'”’»)]").endswith((".", "!", "?", "。", "！", "？", "…"))
