"""The wordings: complete, one sentence per goal, and answerable by who knows the training words."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from bb_core.errors import BBError
from bb_domains.api_json.skins import VOCABULARY, WORDINGS_DIR, skins
from bb_domains.api_json.workflows import GOAL_KINDS, LEVELS, REASONS, TAGS, slot_names
from bb_domains.wordings import STANDS_ALONE, Goal, Skin, expand, load_skins, render

ALL = tuple(skins().values())
TRAINING, HELD_OUT = skins().of("train"), skins().of("unseen_wordings")

VALUES: dict[str, int | float | str] = {
    "number": 1042,
    "email": "ana.ruiz@brightpost.example",
    "new_email": "ruiz_77@kestrel.test",
    "amount": 25.5,
    "city": "Port Elmwick",
    "reason": "damaged",
    "level": "express",
    "tag": "call_back",
}
SLOTS_IN_TEXT = {"number": {"order", "number"}, "amount": {"sum", "amount"}}
ENUMS = {"reason": REASONS, "level": LEVELS, "tag": TAGS}
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
WORD = re.compile(r"[a-z]+")
# Words that say how a sentence is built and not what is wanted.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"[a-z]+",
        """
        a all an and any as at be become being by do for from get given has have if in into is it
        its kindly made make no not now of on or our out please plus so somebody someone the that
        their them these they this to up us was we what when which with would you your
        """,
    )
)
# Synonyms that may be new because the deciding word stands beside them.
COMPANIONS = frozenset(
    {"looked", "paid", "bought", "used", "replaced", "idea", "kill", "more", "one", "person"}
    | {"wanting", "case", "moved"}
)


def goal_of(kind: str) -> Goal:
    return Goal(kind, {name: VALUES[name] for name in slot_names(kind)})


def words(text: str) -> set[str]:
    return set(WORD.findall(re.sub(r"\{[a-z_]+\}", " ", text.lower())))


def goal_words(of: tuple[Skin, ...], kind: str) -> set[str]:
    return {
        word
        for skin in of
        for text in (*skin.goals[kind], *skin.phrases["order"].say, *skin.phrases["sum"].say)
        for word in words(text.replace("[", " ").replace("|", " ").replace("]", " "))
    }


def phrase_words(of: tuple[Skin, ...], field: str, value: str) -> set[str]:
    return {w for skin in of for phrase in skin.words[field][value] for w in words(phrase)}


def test_there_are_enough_skins() -> None:
    assert len(TRAINING) >= 4 and len(HELD_OUT) >= 2
    assert len({skin.name for skin in ALL}) == len(ALL)


@pytest.mark.parametrize("skin", ALL, ids=lambda skin: skin.name)
@pytest.mark.parametrize("kind", GOAL_KINDS)
def test_every_sentence_names_every_slot_of_its_goal_and_ends_once(skin: Skin, kind: str) -> None:
    texts = [text for template in skin.goals[kind] for text in expand(template)]
    assert len(skin.goals[kind]) >= 3
    for text in texts:
        named = set(re.findall(r"\{([a-z_]+)\}", text))
        for slot in slot_names(kind):
            assert len(named & SLOTS_IN_TEXT.get(slot, {slot})) == 1, text
        allowed = {name for slot in slot_names(kind) for name in SLOTS_IN_TEXT.get(slot, {slot})}
        assert named <= allowed, text
        assert [m.end() for m in SENTENCE_END.finditer(text)] == [len(text)], text


@pytest.mark.parametrize("skin", ALL, ids=lambda skin: skin.name)
def test_a_request_has_one_sentence_per_goal(skin: Skin) -> None:
    rng = random.Random(skin.name)
    greeted = 0
    for _ in range(300):
        kinds = [rng.choice(GOAL_KINDS) for _ in range(rng.randint(1, 3))]
        text = render(skin, [goal_of(kind) for kind in kinds], rng)
        n_sentences = len(SENTENCE_END.findall(text))
        has_greeting = text.startswith(skin.greetings) if skin.greetings else False
        greeted += has_greeting
        assert n_sentences == len(kinds) + has_greeting, text
        assert SENTENCE_END.search(text[-1:]) and text.isascii() and "{" not in text, text
        for kind in kinds:
            for slot in slot_names(kind):
                if slot in ("number", "email", "new_email", "city"):
                    assert str(VALUES[slot]) in text
                if slot == "amount":
                    assert "25.50" in text
    assert greeted <= 0.4 * 300


def test_phrases_of_different_values_differ() -> None:
    for skin in ALL:
        for field, values in ENUMS.items():
            phrases = Counter(p for value in values for p in set(skin.words[field][value]))
            assert max(phrases.values()) == 1, (skin.name, field)


def test_sentences_of_different_goals_differ() -> None:
    for skin in ALL:
        sentences = Counter(
            text.removeprefix(STANDS_ALONE)
            for kind in GOAL_KINDS
            for text in {t for template in skin.goals[kind] for t in expand(template)}
        )
        assert max(sentences.values()) == 1, skin.name


@pytest.mark.parametrize("skin", HELD_OUT, ids=lambda skin: skin.name)
@pytest.mark.parametrize("kind", GOAL_KINDS)
def test_held_out_sentences_speak_in_words_of_training(skin: Skin, kind: str) -> None:
    known = goal_words(TRAINING, kind) | FUNCTION_WORDS
    elsewhere = set().union(*(goal_words(TRAINING, other) for other in GOAL_KINDS))
    for template in skin.goals[kind]:
        for text in expand(template):
            content = words(text.replace("{level}", "priority")) - FUNCTION_WORDS
            unknown = content - known
            assert len(unknown) <= 1 and len(content - unknown) >= 1, (text, unknown)
            assert unknown <= COMPANIONS | elsewhere, (text, unknown)


@pytest.mark.parametrize("skin", HELD_OUT, ids=lambda skin: skin.name)
def test_held_out_phrases_contain_a_word_that_decides(skin: Skin) -> None:
    for field, values in ENUMS.items():
        known = {value: phrase_words(TRAINING, field, value) for value in values}
        for value in values:
            others = set().union(*(known[other] for other in values if other != value))
            for phrase in skin.words[field][value]:
                said = words(phrase)
                assert said & (known[value] - others), (skin.name, value, phrase)
                misleading = said & (others - known[value]) - FUNCTION_WORDS - COMPANIONS
                assert not misleading, (skin.name, value, phrase, misleading)


def test_held_out_sentences_are_not_training_sentences() -> None:
    trained = {
        text.removeprefix(STANDS_ALONE).lower()
        for skin in TRAINING
        for kind in GOAL_KINDS
        for template in skin.goals[kind]
        for text in expand(template)
    }
    for skin in HELD_OUT:
        for kind in GOAL_KINDS:
            for template in skin.goals[kind]:
                assert not trained & {text.lower() for text in expand(template)}, template
        assert not set(skin.greetings) & {g for s in TRAINING for g in s.greetings}
        leads = {lead for s in TRAINING for lead in (*s.first, *s.next) if lead}
        assert not leads & {lead for lead in (*skin.first, *skin.next) if lead}


def test_a_broken_wording_is_named(tmp_path: Path) -> None:
    data = yaml.safe_load((WORDINGS_DIR / "plain.yaml").read_text())
    del data["words"]["reason"]["late"]
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(
        BBError, match=r"one\.yaml: words\.reason: no wording for late; add at least"
    ):
        load_skins(tmp_path, VOCABULARY)
    other = tmp_path / "other"
    other.mkdir()
    (other / "two.yaml").write_text(yaml.safe_dump({**data, "colour": "red"}))
    with pytest.raises(BBError, match=r"two\.yaml: colour: Extra inputs"):
        load_skins(other, VOCABULARY)
