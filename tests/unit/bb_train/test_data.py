import pytest
import torch

from bb_core.errors import BBError
from bb_core.prompt import format_prompt
from bb_core.trace import Trace, TraceStep
from bb_train.data import IGNORED, Example, collate, encode_example, encode_prompt, process_rows


def trace(request="Track order 1042."):
    steps = (TraceStep("login", {}, {}, True, 0.0),)
    return Trace("t1", "api_json", "plain", request, steps)


def test_loss_is_on_the_plan_and_the_end_alone(tokenizer):
    example = encode_example(tokenizer, trace(), max_tokens=200)
    prompt = tokenizer.decode(example.ids[: example.n_prompt])
    target = tokenizer.decode(example.ids[example.n_prompt :])
    assert prompt == format_prompt("Track order 1042.")
    assert target == '{"plan":[{"id":"a","tool":"login","args":{}}]}<eos>'
    assert list(example.ids[: example.n_prompt]) == encode_prompt(tokenizer, "Track order 1042.")


def test_too_long_an_example_says_how_long(tokenizer):
    with pytest.raises(BBError, match=r"trace t1 takes \d+ tokens, more than data.max_tokens = 9;"):
        encode_example(tokenizer, trace(), max_tokens=9)


def test_collate_pads_right_and_masks_prompt_and_padding():
    batch = collate([Example((5, 6, 7, 8), 2), Example((5, 9), 1)], pad_id=1)
    rest = [1] * 12
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, *rest], [5, 9, 1, 1, *rest]]
    assert batch["attention_mask"].sum(1).tolist() == [4, 2]
    assert batch["attention_mask"][:, :2].all()
    none = [IGNORED] * 2
    assert batch["labels"][:, :4].tolist() == [[*none, 7, 8], [IGNORED, 9, *none]]
    assert (batch["labels"][:, 4:] == IGNORED).all()
    assert all(array.dtype == torch.int64 for array in batch.values())


@pytest.mark.parametrize(("length", "width"), [(15, 16), (16, 16), (17, 32)])
def test_batches_come_in_few_widths(length, width):
    assert collate([Example((3,) * length, 1)], pad_id=1)["input_ids"].shape == (1, width)


def test_processes_share_a_batch_without_overlap():
    assert [process_rows((4, 5, 6, 7, 8), rank, 2) for rank in (0, 1)] == [(4, 6, 8), (5, 7)]
