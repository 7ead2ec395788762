"""ROUGE-L on the examples of Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 3.1."""

import pytest

from seal.rouge import rouge_l, words

REFERENCE = "police killed the gunman"


@pytest.mark.parametrize(
    ("candidate", "fmeasure"),
    [
        ("police kill the gunman", 3 / 4),
        ("the gunman kill police", 2 / 4),
        ("the gunman police killed", 2 / 4),
    ],
)
def test_published_examples(candidate, fmeasure):
    assert rouge_l(words(REFERENCE), words(candidate)).fmeasure == fmeasure
