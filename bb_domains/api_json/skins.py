"""Wordings ("skins"): how people of different habits say the same goals.

Each file of `wordings/` is one skin. In a sentence `[a|b|]` is a choice, `{slot}` is filled in,
and a leading `~` says that the sentence stands alone, without opener or connective.
A request has one sentence per goal; every sentence ends in `.`, `!` or `?` before white space or
the end of the text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bb_core.errors import BBError
from bb_core.files import read_yaml
from bb_domains.api_json.workflows import GOAL_KINDS, LEVELS, REASONS, TAGS, Goal

WORDINGS_DIR = Path(__file__).parent / "wordings"
GREETING_CHANCE = 0.3  # of the requests in a skin that has greetings

STANDS_ALONE = "~"

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([a-z_]+)\}")


class Skin(BaseModel):
    """One wording, as its file says it.

    Attributes:
        name: name of the skin.
        held_out: whether it is kept for evaluation.
        first: what may stand before the first sentence; "" for nothing.
        next: what may stand before a later sentence; `{position}` is its number, counted from 1.
        question_openers: those of `first` and `next` that turn the sentence into a question.
        separators: what stands between sentences.
        greetings: short sentences without a goal that may come first.
        orders: ways to name an order, around `{number}`.
        amounts: ways to name an amount, around `{amount}`.
        reasons, levels, tags: phrases for each value of the three enumerations.
        goals: for each kind of goal, its sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    held_out: bool
    first: tuple[str, ...]
    next: tuple[str, ...]
    question_openers: tuple[str, ...]
    separators: tuple[str, ...]
    greetings: tuple[str, ...]
    orders: tuple[str, ...]
    amounts: tuple[str, ...]
    reasons: Mapping[str, tuple[str, ...]]
    levels: Mapping[str, tuple[str, ...]]
    tags: Mapping[str, tuple[str, ...]]
    goals: Mapping[str, tuple[str, ...]]


@cache
def load_skins(folder: Path = WORDINGS_DIR) -> tuple[Skin, ...]:
    """All skins of a folder, by name.

    Raises:
        BBError: a file is not a skin, or lacks a goal or an enumerated value.
    """
    return tuple(_load_skin(path) for path in sorted(folder.glob("*.yaml")))


def training_skins() -> tuple[Skin, ...]:
    """The skins that training may see."""
    return tuple(skin for skin in load_skins() if not skin.held_out)


def held_out_skins() -> tuple[Skin, ...]:
    """The skins kept for `unseen_wordings`."""
    return tuple(skin for skin in load_skins() if skin.held_out)


def render(skin: Skin, goals: Sequence[Goal], rng: random.Random) -> str:
    """A request in this skin: possibly a greeting, then one sentence for each goal, in order."""
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


def amount_text(amount: int | float) -> str:
    """An amount as people write it: `25`, `25.50`."""
    return str(amount) if isinstance(amount, int) else f"{amount:.2f}"


def _load_skin(path: Path) -> Skin:
    try:
        skin = Skin.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BBError(
            f"{place}: {first['msg']}", where=str(path), fix="see Skin in skins.py"
        ) from None
    for field, wanted in (
        ("reasons", REASONS),
        ("levels", LEVELS),
        ("tags", TAGS),
        ("goals", GOAL_KINDS),
    ):
        missing = [value for value in wanted if not getattr(skin, field).get(value)]
        if missing:
            raise BBError(
                f"no wording for {missing[0]}",
                where=f"{path}: {field}",
                fix="add at least one phrase",
            )
    return skin


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
    if text.startswith(("{email}", "{new_email}")):  # an address is never capitalised
        return filled
    return filled[0].upper() + filled[1:]


def _choose(template: str, rng: random.Random) -> str:
    return _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)


def _slot_texts(skin: Skin, goal: Goal, rng: random.Random) -> dict[str, str]:
    """How the goal's slots read in this skin, under the names that templates use."""
    texts: dict[str, str] = {}
    for name, value in goal.slots.items():
        if name == "number":
            texts["number"] = str(value)
            texts["order"] = rng.choice(skin.orders).format(number=value)
        elif name == "amount":
            texts["figure"] = amount_text(value) if isinstance(value, int | float) else str(value)
            texts["amount"] = rng.choice(skin.amounts).format(amount=texts["figure"])
        elif name in ("reason", "level", "tag"):
            phrases: Mapping[str, tuple[str, ...]] = getattr(skin, f"{name}s")
            texts[name] = rng.choice(phrases[str(value)])
        else:
            texts[name] = str(value)
    return texts
