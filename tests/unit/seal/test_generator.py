import pytest

from seal import GenerationSettings, Passage, QualityLimits, SelfEditGenerator
from seal.errors import PromptError, StrategyError
from seal.generator import CUT_OFF
from seal.quality import SeenEdits
from seal.records import Provenance, counts, output_rows, rejected_rows

SETTINGS = GenerationSettings(max_new_tokens=96, num_edits=3)


@pytest.fixture
def passages(tiny):
    return [Passage(f"p{i}", text) for i, text in enumerate(tiny.PASSAGES)]


def test_edits_are_accepted_and_numbered_per_passage(speaker, passages):
    results = SelfEditGenerator(*speaker, settings=SETTINGS).generate(passages)
    assert [result.passage for result in results] == passages
    for result in results:
        assert 1 <= len(result.edits) <= 3
        assert all(edit.text and "\n" not in edit.text for edit in result.edits)


def test_the_simple_call_gives_texts(speaker, tiny):
    generator = SelfEditGenerator(*speaker, settings=SETTINGS)
    edits = generator.generate_self_edits(tiny.PASSAGES[0], title="Brennick")
    (result,) = generator.generate([Passage("other id", tiny.PASSAGES[0], "Brennick")])
    assert edits == [edit.text for edit in result.edits] != []


def test_the_title_is_shown_to_the_model(speaker, tiny):
    generator = SelfEditGenerator(*speaker, settings=SETTINGS)
    titled, bare = generator.generate([Passage("a", "some words", "T"), Passage("b", "some words")])
    assert titled.prompt_sha256 != bare.prompt_sha256


def test_a_passage_gets_the_same_edits_in_any_company(speaker, passages):
    generator = SelfEditGenerator(*speaker, settings=SETTINGS)
    together = generator.generate(passages)
    assert [generator.generate([passage])[0] for passage in passages] == together
    assert generator.generate(passages[::-1])[::-1] == together


def test_the_seed_of_the_run_decides(speaker, passages):
    texts = []
    for seed in (0, 1, 0):
        settings = GenerationSettings(max_new_tokens=96, seed=seed)
        results = SelfEditGenerator(*speaker, settings=settings).generate(passages)
        texts.append([edit.text for result in results for edit in result.edits])
    assert texts[0] == texts[2] != texts[1]


def test_garbage_is_refused_and_the_passage_itself_is_recorded(garbler, passages):
    generator = SelfEditGenerator(*garbler, settings=SETTINGS)
    results = generator.generate(passages)
    for result in results:
        assert result.edits == ()
        assert result.attempts == SETTINGS.attempts
        (row,) = output_rows(result, Provenance("implications", "m", SETTINGS))
        assert (row["kind"], row["edit"]) == ("original", result.passage.text)
        assert row["reason"] == "no edit was accepted"
        assert counts(result)["originals"] == 1
    assert any(result.rejections for result in results)


def test_a_passage_without_edits_is_tried_again_from_another_stream(speaker, passages):
    strict = QualityLimits(min_words=10, max_words=11)
    settings = GenerationSettings(max_new_tokens=96, attempts=6)
    results = SelfEditGenerator(*speaker, settings=settings, limits=strict).generate(passages)
    late = [edit for result in results for edit in result.edits if edit.attempt > 0]
    assert late
    result = next(r for r in results if late[0] in r.edits)
    assert result.attempts == late[0].attempt + 1
    first = min(rejection.attempt for rejection in result.rejections)
    assert first < late[0].attempt


def test_blank_passages_are_not_sampled(speaker):
    generator = SelfEditGenerator(*speaker, settings=SETTINGS)
    (result,) = generator.generate([Passage("b", " \n ")])
    assert (result.attempts, result.tokens) == (0, 0)
    assert output_rows(result, Provenance("implications", "m", SETTINGS)) == []
    assert rejected_rows(result)[0]["reason"] == "the passage is blank"
    assert counts(result)["blank_passages"] == 1
    assert generator.generate_self_edits("") == []
    assert generator.generate([]) == []


def test_a_very_long_passage_is_cut_and_says_so(speaker, tiny):
    passage = Passage("long", "\n".join(tiny.PASSAGES * 500))
    (result,) = SelfEditGenerator(*speaker, settings=SETTINGS).generate([passage])
    assert 0 < result.shown_chars < len(passage.text)
    assert all(row["cut"] for row in output_rows(result, Provenance("i", "m", SETTINGS)))
    assert counts(result)["cut_passages"] == 1


@pytest.mark.parametrize(
    "text", ["水は港に満ちた。漁師は船を移した。🙂", "Ёжик в гавани 🦔", "שלום הנמל"]
)
def test_unicode_passages_survive(speaker, text):
    (result,) = SelfEditGenerator(*speaker, settings=SETTINGS).generate([Passage("u", text)])
    rows = output_rows(result, Provenance("implications", "m", SETTINGS))
    assert all(row["passage_sha256"] == result.passage.sha256 for row in rows)
    assert result.shown_chars == len(text)


def test_an_answer_cut_off_in_a_line_loses_that_line_with_a_record(speaker, passages):
    settings = GenerationSettings(max_new_tokens=40, num_edits=20, attempts=1)
    results = SelfEditGenerator(*speaker, settings=settings).generate(passages)
    cut = [r for result in results for r in result.rejections if r.reason == CUT_OFF]
    assert cut
    assert all(r.refused_by == "form" for r in cut)
    kept = {edit.text for result in results for edit in result.edits}
    assert kept.isdisjoint(r.text for r in cut)


def test_equal_edits_in_a_corpus_are_kept_once(speaker, passages):
    seen = SeenEdits()
    generator = SelfEditGenerator(*speaker, settings=GenerationSettings(attempts=1))
    (first,) = generator.generate(passages[:1], seen)
    (again,) = generator.generate(passages[:1], seen)
    assert first.edits
    assert all(edit.text not in {e.text for e in first.edits} for edit in again.edits)
    assert "duplicate" in {rejection.refused_by for rejection in again.rejections}


def test_a_chat_template_is_used(tiny, passages):
    tokenizer = tiny.make_tokenizer(tiny.CHAT_TEMPLATE)
    model = tiny.make_model(tokenizer)
    (result,) = SelfEditGenerator(model, tokenizer, settings=SETTINGS).generate(passages[:1])
    plain = SelfEditGenerator(model, tiny.make_tokenizer(), settings=SETTINGS)
    assert result.prompt_sha256 != plain.generate(passages[:1])[0].prompt_sha256


def test_a_context_too_short_for_the_wording_is_an_error(tiny, tokenizer, passages):
    model = tiny.make_model(tokenizer, context=200)
    generator = SelfEditGenerator(model, tokenizer, settings=SETTINGS)
    with pytest.raises(PromptError, match="leaves room for 104 beside the answer; lower --max"):
        generator.generate(passages)


def test_an_unknown_strategy_is_an_error(speaker):
    with pytest.raises(StrategyError, match="choose one of: implications"):
        SelfEditGenerator(*speaker, "poetry")


def test_a_row_says_where_an_edit_came_from(speaker, passages):
    (result,) = SelfEditGenerator(*speaker, settings=SETTINGS).generate(passages[:1])
    row = output_rows(result, Provenance("implications", "f" * 64, SETTINGS))[0]
    assert row == {
        "id": "p0",
        "passage_sha256": passages[0].sha256,
        "strategy": "implications",
        "model_fingerprint": "f" * 64,
        "generation": {
            "num_edits": 3,
            "temperature": 1.0,
            "top_p": 0.95,
            "max_new_tokens": 96,
            "batch_size": 8,
            "attempts": 3,
            "seed": 0,
        },
        "cut": False,
        "kind": "edit",
        "edit": result.edits[0].text,
        "attempt": 0,
        "seed": result.edits[0].seed,
        "prompt_sha256": result.prompt_sha256,
        "quality": result.edits[0].scores,
    }
