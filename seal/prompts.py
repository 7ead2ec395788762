"""Prompts: the wording that asks a model for self-edits, and fitting a passage into its context.

A tokenizer with a chat template gets a system and a user message. A base model has no template:
it gets one worked example and the head of a list, which it continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from bb_core.canonical import fingerprint, sha256_hex
from seal.errors import PromptError
from seal.passages import Passage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class WorkedExample:
    """A passage with the statements a good answer would hold."""

    passage: str
    statements: tuple[str, ...]


@dataclass(frozen=True)
class PromptTemplate:
    """The wording of one strategy.

    `{n}` in `instruction` is the number of statements asked for. `heading` introduces the answer
    where there is no chat template, and marks where a base model runs on into a next example.
    """

    system: str
    instruction: str
    heading: str
    examples: tuple[WorkedExample, ...]


@dataclass(frozen=True)
class Prompt:
    """A prompt as a model receives it.

    Attributes:
        text: the rendered text; `sha256` is the hash of its UTF-8 form.
        token_ids: its tokens, at most the budget it was fitted to.
        passage_chars: characters of the passage in it; fewer than the passage has if it was cut.
    """

    text: str
    token_ids: tuple[int, ...]
    passage_chars: int

    @property
    def sha256(self) -> str:
        """SHA-256 of the rendered prompt, as 64 hexadecimal digits."""
        return sha256_hex(self.text.encode("utf-8"))


PASSAGE_MARK = "Passage:"

# Below this many tokens of passage a prompt asks for statements about nothing.
MIN_PASSAGE_TOKENS = 8

# Characters of a title that a prompt shows; the rest of a longer one is not a title.
MAX_TITLE = 200

IMPLICATIONS = PromptTemplate(
    system=(
        "You study passages and write down what a reader can conclude from them, "
        "so that someone who never sees the passage can learn what it teaches."
    ),
    instruction=(
        "Write {n} statements that follow from the passage, each on its own numbered line. "
        "Conclude, combine and rephrase; do not copy sentences. Each statement must be understood "
        "without the passage: name people, places and things instead of saying he, she or it. "
        "Write nothing but the list."
    ),
    heading="Statements that follow from the passage:",
    examples=(
        WorkedExample(
            passage=(
                "The lighthouse on Hallow Point was finished in 1874. A keeper lit its lamp every "
                "evening until an electric motor took over the work in 1931."
            ),
            statements=(
                "The lamp of the Hallow Point lighthouse was lit by hand for over fifty years.",
                "After 1931 no keeper was needed to light the lamp on Hallow Point.",
            ),
        ),
    ),
)


@dataclass(frozen=True)
class PromptBuilder:
    """Builds the prompts of one strategy.

    Attributes:
        template: the wording.
        num_edits: number of statements to ask for.
    """

    template: PromptTemplate
    num_edits: int = 5

    @property
    def fingerprint(self) -> str:
        """Hash of everything that shapes the prompt except the passage."""
        examples = [[e.passage, list(e.statements)] for e in self.template.examples]
        return fingerprint(
            {
                "system": self.system_message(),
                "instruction": self.instruction(),
                "heading": self.template.heading,
                "examples": examples,
            }
        )

    def system_message(self) -> str:
        """What the model is told about its task as a whole."""
        return self.template.system

    def instruction(self) -> str:
        """What the model is told to do with the passage."""
        return self.template.instruction.format(n=self.num_edits)

    def few_shot_examples(self) -> list[dict[str, str]]:
        """The worked examples as `{"passage", "answer"}`, the answer as a numbered list."""
        return [
            {"passage": example.passage, "answer": _numbered(example.statements)}
            for example in self.template.examples
        ]

    def messages(self, passage: Passage) -> list[dict[str, str]]:
        """The prompt as chat messages: one of the system, one of the user."""
        body = f"{_shown(passage)}\n\n{self.instruction()}"
        return [
            {"role": "system", "content": self.system_message()},
            {"role": "user", "content": body},
        ]

    def build_prompt(self, passage: Passage) -> str:
        """The prompt as plain text to continue, for a tokenizer without a chat template."""
        parts = [self.instruction()]
        for example in self.few_shot_examples():
            parts.append(f"{PASSAGE_MARK}\n{example['passage']}")
            parts.append(f"{self.template.heading}\n{example['answer']}")
        parts += [_shown(passage), f"{self.template.heading}\n1."]
        return "\n\n".join(parts)


def render(builder: PromptBuilder, passage: Passage, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of a prompt: through the tokenizer's chat template if it has one.

    A template that refuses a system message (some do) gets its words at the head of the user's.

    Raises:
        PromptError: the template fails on a single user message.
    """
    if not tokenizer.chat_template:
        return builder.build_prompt(passage)
    messages = builder.messages(passage)
    merged = [{"role": "user", "content": "\n\n".join(m["content"] for m in messages)}]
    try:
        return _templated(tokenizer, messages)
    except TemplateError:
        try:
            return _templated(tokenizer, merged)
        except TemplateError as error:
            raise PromptError(
                f"the chat template refuses a user message: {error}",
                where="tokenizer",
                fix="repair chat_template in the tokenizer's folder, or remove it",
            ) from error


def fit_prompt(
    builder: PromptBuilder, passage: Passage, tokenizer: PreTrainedTokenizerBase, budget: int
) -> Prompt:
    """Render a prompt of at most `budget` tokens, cutting the passage at its end if it must be.

    Args:
        builder: wording and number of edits.
        passage: what the edits are about.
        tokenizer: of the model that will read the prompt.
        budget: tokens there is room for: the model's context less the answer's limit.

    Raises:
        PromptError: the wording alone, without any passage, exceeds the budget.
    """
    # A first cut without tokenizing: hardly any tokenizer packs more than 16 characters on average.
    text = passage.text[: max(0, budget) * 16]
    prompt = _tokenized(builder, passage, tokenizer, text)
    if len(prompt.token_ids) <= budget:
        return prompt
    frame = len(_tokenized(builder, passage, tokenizer, "").token_ids)
    room = budget - frame
    if room < MIN_PASSAGE_TOKENS:
        raise PromptError(
            f"the wording alone takes {frame} tokens, and the model's context leaves room for "
            f"{max(0, budget)} beside the answer",
            where=f"passage {passage.id}",
            fix="lower --max-new-tokens, or use a model with a longer context",
        )
    while len(prompt.token_ids) > budget:
        text = _shortened(text, room / (len(prompt.token_ids) - frame))
        prompt = _tokenized(builder, passage, tokenizer, text)
    return prompt


def _tokenized(
    builder: PromptBuilder, passage: Passage, tokenizer: PreTrainedTokenizerBase, text: str
) -> Prompt:
    shown = Passage(passage.id, text, passage.title)
    rendered = render(builder, shown, tokenizer)
    # A chat template writes the special tokens itself. Without one, whatever looks like a special
    # token is the passage's own text.
    plain = not tokenizer.chat_template
    ids = tokenizer(rendered, add_special_tokens=plain, split_special_tokens=plain, verbose=False)[
        "input_ids"
    ]
    if plain and ids and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]  # some tokenizers close every text; a model would start a new one after it
    return Prompt(rendered, tuple(ids), len(text))


def _shortened(text: str, share: float) -> str:
    """Keep a share of a text, at least one character less, and no part of a last word."""
    cut = text[: min(len(text) - 1, int(len(text) * share))]
    word_end = max(cut.rfind(" "), cut.rfind("\n"))
    return cut[:word_end] if word_end > 0.8 * len(cut) else cut


def _templated(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]) -> str:
    return str(
        tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    )


def _shown(passage: Passage) -> str:
    title = f" {passage.title[:MAX_TITLE]}" if passage.title else ""
    return f"{PASSAGE_MARK}{title}\n{passage.text}"


def _numbered(statements: Sequence[str]) -> str:
    return "\n".join(f"{index}. {text}" for index, text in enumerate(statements, start=1))
