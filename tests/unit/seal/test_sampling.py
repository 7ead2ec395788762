import copy

import pytest
import torch

from seal.errors import ModelError, PromptError
from seal.prompts import Prompt
from seal.sampling import Sampler, SeededDraw
from seal.settings import GenerationSettings

SETTINGS = GenerationSettings(max_new_tokens=24, batch_size=4)


def prompts(tokenizer, texts):
    return [Prompt(text, tuple(tokenizer(text)["input_ids"]), len(text)) for text in texts]


TEXTS = ["The harbour", "A keeper lit the lamp of the", "Fishermen", "boats " * 30, "autumn"]


def test_rows_come_back_in_the_order_of_the_prompts(speaker):
    model, tokenizer = speaker
    asked = prompts(tokenizer, TEXTS)
    answers = Sampler(model, tokenizer, SETTINGS).sample(asked, [1, 2, 3, 4, 5])
    assert [answer.prompt for answer in answers] == asked


def test_a_row_does_not_depend_on_its_batch(speaker):
    model, tokenizer = speaker
    asked = prompts(tokenizer, TEXTS)
    together = Sampler(model, tokenizer, SETTINGS).sample(asked, [1, 2, 3, 4, 5])
    alone = Sampler(model, tokenizer, GenerationSettings(max_new_tokens=24, batch_size=1))
    assert alone.sample(asked, [1, 2, 3, 4, 5]) == together
    assert alone.sample(asked[::-1], [5, 4, 3, 2, 1]) == together[::-1]


def test_another_seed_gives_another_text_and_the_global_generator_is_not_used(speaker):
    model, tokenizer = speaker
    sampler = Sampler(model, tokenizer, SETTINGS)
    (prompt,) = prompts(tokenizer, TEXTS[:1])
    before = torch.random.get_rng_state()
    first, second = (sampler.sample([prompt], [seed])[0].text for seed in (1, 2))
    assert first != second
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_models_own_generation_settings_change_nothing(speaker):
    model, tokenizer = speaker
    asked = prompts(tokenizer, TEXTS)
    expected = Sampler(model, tokenizer, SETTINGS).sample(asked, range(5))
    other = copy.deepcopy(model)
    other.generation_config.update(
        do_sample=True, temperature=0.1, top_k=1, top_p=0.1, repetition_penalty=5.0, num_beams=3
    )
    other.generation_config.update(min_new_tokens=20, no_repeat_ngram_size=1, max_length=3)
    assert Sampler(other, tokenizer, SETTINGS).sample(asked, range(5)) == expected


def test_the_end_token_ends_an_answer_and_is_counted(speaker):
    model, tokenizer = copy.deepcopy(speaker[0]), speaker[1]
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        head[tokenizer.eos_token_id, 0] = 3.0
    (answer,) = Sampler(model, tokenizer, SETTINGS).sample(prompts(tokenizer, TEXTS[:1]), [1])
    assert answer.finished
    assert (answer.text, answer.tokens) == ("", 1)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, 7]
    assert Sampler(model, tokenizer, SETTINGS)._end_ids() == {tokenizer.eos_token_id, 7}


def test_an_answer_at_the_limit_is_not_finished(speaker):
    settings = GenerationSettings(max_new_tokens=8)
    (answer,) = Sampler(*speaker, settings).sample(prompts(speaker[1], TEXTS[:1]), [3])
    assert (answer.finished, answer.tokens) == (False, 8)


def test_the_tokenizer_is_not_changed(speaker):
    Sampler(*speaker, SETTINGS).sample(prompts(speaker[1], TEXTS[:2]), [1, 2])
    assert speaker[1].pad_token is None
    assert speaker[1].padding_side == "right"


def test_a_low_temperature_and_a_small_nucleus_approach_the_most_likely(speaker):
    model, tokenizer = speaker
    asked = prompts(tokenizer, TEXTS[:1])
    greedy = model.generate(
        torch.tensor([asked[0].token_ids]), do_sample=False, max_new_tokens=24, pad_token_id=0
    )
    expected = tokenizer.decode(greedy[0, len(asked[0].token_ids) :], skip_special_tokens=True)
    settings = GenerationSettings(max_new_tokens=24, temperature=0.05, top_p=0.05)
    (answer,) = Sampler(model, tokenizer, settings).sample(asked, [9])
    assert answer.text == expected


def test_draws_follow_the_distribution():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.0, 0.2])).expand(4000, 4)
    draw = SeededDraw(range(4000), steps=1, prompt_length=3)
    chosen = draw(torch.zeros((4000, 3), dtype=torch.int64), logits)
    counts = (chosen == 0).sum(dim=0) / 4000
    assert counts.tolist() == pytest.approx([0.5, 0.3, 0.0, 0.2], abs=0.03)
    assert ((chosen == 0).sum(dim=1) == 1).all()


def test_each_step_uses_its_own_number():
    draw = SeededDraw([0], steps=50, prompt_length=0)
    flat = torch.zeros((1, 1000))
    picks = {int(draw(torch.zeros((1, s)), flat).argmax()) for s in range(50)}
    assert len(picks) > 40


def test_broken_weights_are_an_error(speaker):
    model = copy.deepcopy(speaker[0])
    with torch.no_grad():
        model.get_output_embeddings().weight[3, 0] = torch.nan
    with pytest.raises(ModelError, match=r"logits are not finite; check the weights, or load"):
        Sampler(model, speaker[1], SETTINGS).sample(prompts(speaker[1], TEXTS[:1]), [1])


def test_a_tokenizer_of_another_model_is_an_error(speaker):
    foreign = Prompt("x", (3, 70_000), 1)
    with pytest.raises(ModelError, match=r"makes token 70000, the model knows \d+ tokens; use"):
        Sampler(*speaker, SETTINGS).sample([foreign], [1])


def test_an_empty_prompt_is_an_error(speaker):
    with pytest.raises(PromptError, match="a prompt has no token"):
        Sampler(*speaker, SETTINGS).sample([Prompt("", (), 0)], [1])


def test_out_of_memory_says_what_to_lower(speaker):
    model = copy.deepcopy(speaker[0])

    def refuse(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model.forward = refuse
    with pytest.raises(ModelError, match=r"out of memory at 1 rows of \d+ \+ 24 tokens; lower --b"):
        Sampler(model, speaker[1], SETTINGS).sample(prompts(speaker[1], TEXTS[:1]), [1])


def test_the_prompt_budget_is_the_context_less_the_answer(tiny, tokenizer):
    model = tiny.make_model(tokenizer, context=128)
    assert Sampler(model, tokenizer, SETTINGS).prompt_budget == 104
