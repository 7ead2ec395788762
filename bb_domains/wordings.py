"""Wordings ("skins"): how people of different habits say the same goals.

Each YAML file of a folder is one skin. In a sentence `[a|b|]` is a choice, `{slot}` is filled in,
and a leading `~` says that the sentence stands alone, without opener or connective. A request has
one sentence per goal; every sentence ends in `.`, `!` or `?` before white space or the end.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bb_core.errors import BBError
from bb_core.files import read_yaml
from bb_domains.variants import Variants

GREETING_CHANCE = 0.3  # of the requests in a skin that has greetings

STANDS_ALONE = "~"

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([a-z_]+)\}")

Value = int | float | str


@dataclass(frozen=True)
class Goal:
    """One wish: its kind, and the slots that a sentence has to name.

    Amounts are in their unit: int when whole, else float with two decimals.
    """

    kind: str
    slots: Mapping[str, Value]

    def as_label(self) -> dict[str, Value]:
        """The goal as a flat JSON object: `kind` and the slots."""
        return {"kind": self.kind, **self.slots}


@dataclass(frozen=True)
class Vocabulary:
    """What the skins of a domain must be able to say.

    Attributes:
        goals: the kinds of goals.
        words: values of the slots that are said in words, by slot.
    """

    goals: tuple[str, ...]
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phrase(_Strict):
    """Ways to say a slot, under a name of its own: each of `say` has `{slot}` in it."""

    of: str
    say: tuple[str, ...]


class Skin(_Strict):
    """One wording, as its file says it.

    Attributes:
        name: name of the skin.
        held_out: whether it is kept for evaluation.
        first: what may stand before the first sentence; "" for nothing.
        next: what may stand before a later sentence; `{position}` is its number, counted from 1.
        question_openers: those of `first` and `next` that turn the sentence into a question.
        separators: what stands between sentences.
        greetings: short sentences without a goal that may come first.
        phrases: by name, ways to say a slot: `order: {of: number, say: ["order {number}"]}`.
        words: by slot, phrases for each of its values.
        goals: for each kind of goal, its sentences.
    """

    name: str
    held_out: bool
    first: tuple[str, ...] = ("",)
    next: tuple[str, ...] = ("",)
    question_openers: tuple[str, ...] = ()
    separators: tuple[str, ...] = (" ",)
    greetings: tuple[str, ...] = ()
    phrases: Mapping[str, Phrase] = {}
    words: Mapping[str, Mapping[str, tuple[str, ...]]] = {}
    goals: Mapping[str, tuple[str, ...]]


@cache
def load_skins(folder: Path, vocabulary: Vocabulary) -> Variants[Skin]:
    """All skins of a folder, in the order of their file names.

    Raises:
        BBError: there is none, or a file is not a skin, or lacks a goal or a value.
    """
    paths = sorted(folder.glob("*.yaml"))
    skins = Variants("wording", (_load_skin(path, vocabulary) for path in paths))
    if not skins:
        raise BBError("holds no wordings", where=str(folder), fix="add a YAML file")
    return skins


def render(skin: Skin, goals: Sequence[Goal], rng: random.Random) -> str:
    """A request in this skin: possibly a greeting, then one sentence for each goal, in order.

    Sentences begin with a capital, unless they begin with a slot's own value, such as an address.
    """
    separator = rng.choice(skin.separators)
    sentences = [_sentence(skin, goal, position, rng) for position, goal in enumerate(goals, 1)]
    if skin.greetings and rng.random() < GREETING_CHANCE:
        sentences.insert(0, rng.choice(skin.greetings))
    return separator.join(sentences)


def expand(template: str) -> list[str]:
    """Every text that the choices of a template allow, slots left in place."""
    match = _CHOICE.search(template)
    if match is None:
        return [template]
    before, after = template[: match.start()], template[match.end() :]
    return [text for option in match[1].split("|") for text in expand(before + option + after)]


def value_in_words(value: Value) -> str:
    """A value as people write it: `25`, `25.50`, `express`."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _load_skin(path: Path, vocabulary: Vocabulary) -> Skin:
    try:
        skin = Skin.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BBError(
            f"{place}: {first['msg']}", where=str(path), fix="see Skin in bb_domains/wordings.py"
        ) from None
    for place, missing in _missing(skin, vocabulary):
        raise BBError(
            f"no wording for {missing}", where=f"{path}: {place}", fix="add at least one phrase"
        )
    return skin


def _missing(skin: Skin, vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    """What the vocabulary asks for and the skin does not say: place, name."""
    for slot, values in vocabulary.words:
        said = skin.words.get(slot, {})
        yield from ((f"words.{slot}", value) for value in values if not said.get(value))
    yield from (("goals", kind) for kind in vocabulary.goals if not skin.goals.get(kind))


def _sentence(skin: Skin, goal: Goal, position: int, rng: random.Random) -> str:
    template = _choose(rng.choice(skin.goals[goal.kind]), rng)
    alone = template.startswith(STANDS_ALONE)
    template = template.removeprefix(STANDS_ALONE)
    lead = "" if alone else rng.choice(skin.first if position == 1 else skin.next)
    if lead in skin.question_openers:
        template = template.removesuffix(".").removesuffix("?") + "?"
    text = lead.replace("{position}", str(position)) + template
    values = _slot_texts(skin, goal, rng)
    filled = _SLOT.sub(lambda match: values[match[1]], text)
    first = _SLOT.match(text)
    if first is not None and first[1] not in {*skin.words, *skin.phrases}:
        return filled
    return filled[0].upper() + filled[1:]


def _choose(template: str, rng: random.Random) -> str:
    return _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)


def _slot_texts(skin: Skin, goal: Goal, rng: random.Random) -> dict[str, str]:
    """How the goal's slots read in this skin, under the names that templates use."""
    texts: dict[str, str] = {}
    for slot, value in goal.slots.items():
        if slot in skin.words:
            texts[slot] = rng.choice(skin.words[slot][str(value)])
        else:
            texts[slot] = value_in_words(value)
        for name, phrase in skin.phrases.items():
            if phrase.of == slot:
                texts[name] = rng.choice(phrase.say).replace(f"{{{slot}}}", texts[slot])
    return texts
