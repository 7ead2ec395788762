import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer, tokenizers

from seal.rouge import lcs_length, rouge_l, words

SEQUENCES = st.lists(st.sampled_from("abcde"), max_size=90)
ASCII = st.text(st.sampled_from("abcXYZ019 .,-_'\n"), max_size=80)


class UnicodeWords(tokenizers.Tokenizer):
    """Lets the oracle see the words that ours sees."""

    def tokenize(self, text):
        return words(text)


def plain_lcs(a, b):
    """The textbook table, a row at a time."""
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], diagonal + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


@given(SEQUENCES, SEQUENCES)
def test_lcs_is_that_of_the_table(a, b):
    assert lcs_length(a, b) == plain_lcs(a, b) == lcs_length(b, a)


@given(ASCII)
def test_ascii_words_are_those_of_rouge_score(text):
    assert words(text) == tokenizers.DefaultTokenizer(use_stemmer=False).tokenize(text)


@pytest.mark.parametrize("tokenizer", [None, UnicodeWords()])
@given(reference=ASCII, candidate=ASCII)
def test_rouge_l_is_that_of_rouge_score(tokenizer, reference, candidate):
    oracle = rouge_scorer.RougeScorer(["rougeL"], tokenizer=tokenizer)
    theirs = oracle.score(reference, candidate)["rougeL"]
    ours = rouge_l(words(reference), words(candidate))
    assert (ours.precision, ours.recall) == (theirs.precision, theirs.recall)
    assert ours.fmeasure == pytest.approx(theirs.fmeasure, abs=1e-12)


@given(st.text(max_size=60), st.text(max_size=60))
def test_rouge_l_is_that_of_rouge_score_on_any_text(reference, candidate):
    theirs = rouge_scorer.RougeScorer(["rougeL"], tokenizer=UnicodeWords())
    expected = theirs.score(reference, candidate)["rougeL"].fmeasure
    assert rouge_l(words(reference), words(candidate)).fmeasure == pytest.approx(expected)


@given(st.text())
def test_words_are_a_fixed_point(text):
    assert words(" ".join(words(text))) == words(text)
