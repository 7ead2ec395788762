import re

import pytest

from bb_core.errors import UsageError
from seal.quality import FILTERS, PassageJudge, QualityLimits, SeenEdits, content_words
from seal.rouge import words

PASSAGE = (
    "The harbour of Brennick was dredged in the spring so that larger ships could enter at low "
    "water. Fishermen moved their boats to the new basin."
)
GOOD = "Before the spring large ships could not reach Brennick at low water."


def judge(limits=None, seen=None):
    return PassageJudge(words(PASSAGE), seen or SeenEdits(), limits or QualityLimits())


def test_a_good_statement_is_kept_with_its_scores():
    verdict = judge().judge(GOOD)
    assert verdict.is_kept
    assert verdict.scores == {
        "words": 12,
        "letter_share": pytest.approx(56 / 57, abs=1e-6),
        "repeated_share": 0.0,
        "rouge_l_within": 0.0,
        "rouge_l_source": pytest.approx(7 / 12, abs=1e-6),
        "shared_words": 6,
    }


@pytest.mark.parametrize(
    ("text", "refused_by", "reason"),
    [
        ("Here are five statements about the harbour:", "form", "ends in a colon"),
        ("Ships.", "length", "1 words, fewer than 4"),
        ("the harbour " * 80, "length", "160 words, more than 120"),
        ("The harbour \ufffd of Brennick", "characters", "U\\+FFFD"),
        ("The harbour\x07 of Brennick was", "characters", "control"),
        ("the =( harbour )+ {{ of }} ;; Brennick", "characters", "0.67 letters, less than 0.7"),
        ("the harbour the harbour the harbour the harbour", "repetition", "0.71 repeated"),
        ("Bananas ripen faster beside apples", "source", "0.00: not about the passage"),
        ("the thread goes in so the mask", "source", "0 content words of the passage: not about"),
        ("Fishermen moved their boats to the new basin.", "source", "1.00: copied"),
        ("larger ships could enter at low water", "source", "1.00: copied"),
    ],
)
def test_each_filter_refuses_with_its_reason(text, refused_by, reason):
    verdict = judge().judge(text)
    assert verdict.refused_by == refused_by
    assert re.search(reason, verdict.reason), verdict.reason


def test_the_same_edit_twice_is_a_duplicate_up_to_case_spacing_and_full_stop():
    one = judge()
    assert one.judge(GOOD).is_kept
    verdict = one.judge("  before the SPRING large  ships could not reach Brennick at low water")
    assert verdict.refused_by == "duplicate"


def test_duplicates_are_known_across_passages():
    seen = SeenEdits()
    assert judge(seen=seen).judge(GOOD).is_kept
    assert judge(seen=seen).judge(GOOD).refused_by == "duplicate"
    assert judge().judge(GOOD).is_kept


def test_a_near_copy_of_a_kept_edit_is_refused_within_the_passage_only():
    near = GOOD.replace("Before", "Until")
    seen = SeenEdits()
    one = judge(seen=seen)
    assert one.judge(GOOD).is_kept
    verdict = one.judge(near)
    assert (verdict.refused_by, verdict.reason) == (
        "within",
        "ROUGE-L 0.92 with an edit kept for the passage",
    )
    assert judge(seen=seen).judge(near).is_kept


def test_a_refused_edit_is_not_remembered():
    one = judge(QualityLimits(min_source=0.9))
    assert one.judge(GOOD).refused_by == "source"
    assert one.judge(GOOD).refused_by == "source"


@pytest.mark.parametrize(
    "text",
    [
        "港は春に深くなったので船が入る",
        "Гавань углубили весной для больших судов",
        "ท่าเรือลึกขึ้นในฤดูใบไม้ผลิ",
    ],
)
def test_other_scripts_pass_when_they_are_about_the_passage(text):
    one = PassageJudge(words(text + " 漁師 рыбаки เรือ"), SeenEdits(), QualityLimits(max_source=1.0))
    assert one.judge(text).is_kept


def test_limits_decide():
    assert judge(QualityLimits(min_words=13)).judge(GOOD).refused_by == "length"
    assert judge(QualityLimits(max_source=0.5)).judge(GOOD).refused_by == "source"


def test_content_words_leave_out_short_words_and_endings():
    assert content_words(words("The harbours of Brennick, 港")) == {"harb", "bren", "港"}


def test_filters_run_in_the_documented_order():
    assert list(FILTERS) == [
        "form",
        "length",
        "characters",
        "repetition",
        "duplicate",
        "within",
        "source",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_within": 1.5}, "max_within is 1.5; choose a share from 0 to 1"),
        ({"min_shared": -1}, "min_shared is -1; choose 0 or more"),
        ({"min_words": 0}, "min_words is 0 and max_words 120; choose"),
        ({"min_words": 9, "max_words": 8}, "min_words is 9 and max_words 8"),
        ({"min_source": 0.9, "max_source": 0.5}, "min_source 0.9 is above max_source 0.5"),
    ],
)
def test_impossible_limits_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        QualityLimits(**changes)
