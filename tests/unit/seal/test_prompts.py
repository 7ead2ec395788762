import dataclasses

import pytest

from seal.errors import PromptError
from seal.passages import Passage
from seal.prompts import IMPLICATIONS, PromptBuilder, fit_prompt, render

BUILDER = PromptBuilder(IMPLICATIONS, num_edits=4)
PASSAGE = Passage("p", "The harbour of Brennick was dredged {n} times.", "Brennick")


def test_the_prompt_holds_number_title_and_passage_verbatim():
    text = BUILDER.build_prompt(PASSAGE)
    assert "Write 4 statements" in text
    assert "Passage: Brennick\nThe harbour of Brennick was dredged {n} times." in text
    assert text.endswith("Statements that follow from the passage:\n1.")


def test_the_worked_example_is_a_numbered_list_before_the_passage():
    (example,) = BUILDER.few_shot_examples()
    text = BUILDER.build_prompt(PASSAGE)
    assert example["answer"].startswith("1. ") and "\n2. " in example["answer"]
    assert text.index(example["answer"]) < text.index(PASSAGE.text)


def test_no_title_leaves_no_trace():
    assert "Passage:\nwords" in BUILDER.build_prompt(Passage("p", "words"))


def test_without_chat_template_the_plain_prompt_is_used(tokenizer):
    assert render(BUILDER, PASSAGE, tokenizer) == BUILDER.build_prompt(PASSAGE)


def test_a_chat_template_gets_system_and_user(tiny):
    text = render(BUILDER, PASSAGE, tiny.make_tokenizer(tiny.CHAT_TEMPLATE))
    assert text.startswith(f"<|system|>{BUILDER.system_message()}\n<|user|>Passage: Brennick")
    assert text.endswith("<|assistant|>")
    assert "Hallow Point" not in text


def test_a_template_without_system_role_gets_its_words_in_the_user_message(tiny):
    text = render(BUILDER, PASSAGE, tiny.make_tokenizer(tiny.NO_SYSTEM_TEMPLATE))
    assert text.startswith(f"<|user|>{BUILDER.system_message()}\n\nPassage: Brennick")


def test_a_template_that_refuses_everything_is_an_error(tiny):
    tokenizer = tiny.make_tokenizer("{{ raise_exception('never') }}")
    with pytest.raises(PromptError, match="refuses a user message: never; repair chat_template"):
        render(BUILDER, PASSAGE, tokenizer)


def test_a_passage_that_fits_is_whole(tokenizer):
    prompt = fit_prompt(BUILDER, PASSAGE, tokenizer, 600)
    assert prompt.passage_chars == len(PASSAGE.text)
    assert tokenizer.decode(list(prompt.token_ids)) == prompt.text


@pytest.mark.parametrize("unit", ["The harbour was dredged in spring. ", "水港灯台🙂", "x"])
@pytest.mark.parametrize("budget", [420, 500])
def test_a_very_long_passage_is_cut_to_the_budget_and_uses_it(tokenizer, unit, budget):
    passage = Passage("p", unit * 20_000)
    prompt = fit_prompt(BUILDER, passage, tokenizer, budget)
    assert len(prompt.token_ids) <= budget
    frame = len(fit_prompt(BUILDER, Passage("p", "a"), tokenizer, budget).token_ids)
    assert len(prompt.token_ids) - frame > 0.7 * (budget - frame)
    assert passage.text[: prompt.passage_chars] in prompt.text
    assert prompt.text.endswith("1.")


def test_no_room_for_any_passage_is_an_error(tokenizer):
    with pytest.raises(PromptError, match=r"wording alone takes \d+ tokens.*lower --max-new-tok"):
        fit_prompt(BUILDER, PASSAGE, tokenizer, 60)
    with pytest.raises(PromptError, match="leaves room for 0 beside the answer"):
        fit_prompt(BUILDER, PASSAGE, tokenizer, -5)


def test_an_endless_title_does_not_push_the_passage_out(tokenizer):
    prompt = fit_prompt(BUILDER, Passage("p", "words here", "t" * 10_000), tokenizer, 640)
    assert prompt.passage_chars == 10


def test_what_looks_like_a_special_token_in_a_passage_is_text(tokenizer):
    prompt = fit_prompt(BUILDER, Passage("p", "before </s> after"), tokenizer, 600)
    assert tokenizer.eos_token_id not in prompt.token_ids


def test_prompt_hash_and_builder_fingerprint_follow_the_wording(tokenizer):
    prompt = fit_prompt(BUILDER, PASSAGE, tokenizer, 600)
    assert prompt.sha256 != fit_prompt(BUILDER, Passage("p", "other"), tokenizer, 600).sha256
    reworded = dataclasses.replace(IMPLICATIONS, heading="Conclusions:")
    others = [PromptBuilder(IMPLICATIONS, 5), PromptBuilder(reworded, 4)]
    assert len({BUILDER.fingerprint, *(o.fingerprint for o in others)}) == 3
