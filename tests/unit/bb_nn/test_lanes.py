"""The lanes: counting, finding tools, stepping token by token."""

from __future__ import annotations

import numpy as np
import pytest

from bb_core.errors import BBError
from bb_nn.lanes import LaneProgram
from bb_nn.reader import literal_key
from bb_nn.token_bytes import token_bytes


def _bytewise(text: str) -> list[bytes]:
    return [bytes([b]) for b in text.encode()]


def test_sentences_with_a_mark_are_counted(lanes):
    text = "### Request\nHello. Do 1 now. And 2.\n3! No mark. \n### Plan\n"
    counts = lanes.run([_bytewise(text)]).counts[0]
    assert counts[text.index("1")] == 0
    assert counts[text.index("2")] == 1
    assert counts[text.index("3")] == 2
    assert counts[text.index("No")] == 3
    assert counts[-1] == 0, "the plan starts at the first goal"


def test_goals_are_done_when_as_many_are_complete_as_were_asked(lanes, text):
    run = lanes.run([_bytewise(text)])
    done = run.features[0, :, 2]
    first, second = (text.index(f'{{"id":"{i}"', 60) for i in "bc")
    assert run.counts[0, first] == 0
    assert run.counts[0, second] == 1
    named = text.rindex('"track"') + len('"track"')
    assert not done[: named - 1].any(), "one goal is still open"
    assert done[named:].all(), "known as soon as the last goal's last tool is named"


def test_the_count_holds_beyond_what_training_sees(lanes):
    goals = 15
    request = "### Request\n" + " ".join(f"Do {i}." for i in range(goals)) + "\n### Plan\n"
    step = '{"id":"a","tool":"track","args":{}}'
    plan = '{"plan":[' + ",".join([step] * goals) + "]}"
    run = lanes.run([_bytewise(request + plan)])
    assert run.features[0, -1, 2]
    shorter = '{"plan":[' + ",".join([step] * (goals - 1)) + "]}"
    assert not lanes.run([_bytewise(request + shorter)]).features[0, -1, 2]


def test_braces_and_quotes_inside_strings_are_text(lanes):
    plan = r'{"plan":[{"id":"a","tool":"track","args":{"x":"}}{\"tool\":\"look\""}}'
    run = lanes.run([_bytewise("### Request\nDo 1.\n### Plan\n" + plan)])
    opened = run.features[0, :, 1]
    assert opened[-2]
    assert not opened[-1]
    assert run.features[0, -1, 2]


@pytest.mark.parametrize("cut", [1, 30, 75, 120])
def test_cut_anywhere_gives_the_same_bits(lanes, text, cut):
    pieces = _bytewise(text)
    whole = lanes.run([pieces, pieces[::-1]])
    head = lanes.run([pieces[:cut], pieces[::-1][:cut]])
    tail = lanes.run([pieces[cut:], pieces[::-1][cut:]], [line[-1] for line in head.cursors])
    assert np.array_equal(np.concatenate([head.features, tail.features], 1), whole.features)
    assert np.array_equal(np.concatenate([head.counts, tail.counts], 1), whole.counts)


def test_padding_leaves_a_lane_where_it_is(lanes, text):
    pieces = _bytewise(text)
    plain = lanes.run([pieces])
    padded = lanes.run([[b"", b"", *pieces[:50], b"", *pieces[50:]]])
    assert np.array_equal(padded.features[0, -1], plain.features[0, -1])
    assert padded.cursors[0][-1] == plain.cursors[0][-1]


def test_json_round_trip_runs_alike(lanes, text):
    again = LaneProgram.from_json(lanes.to_json())
    assert again.text() == lanes.text()
    pieces = [_bytewise(text)]
    assert np.array_equal(again.run(pieces).features, lanes.run(pieces).features)


def test_a_broken_program_is_refused(lanes):
    data = lanes.to_json()
    data["circuits"]["completes"]["gates"][0][1] = 99
    with pytest.raises(BBError, match="lane program"):
        LaneProgram.from_json(data)


def test_token_bytes_spell_the_text(tokenizer, text):
    table = token_bytes(tokenizer)
    ids = tokenizer(text)["input_ids"]
    assert b"".join(table[i] for i in ids) == text.encode()
    assert table[tokenizer.eos_token_id] == b""


def test_registers_name_the_next_step_and_the_source_of_handles(lanes, text):
    run = lanes.run([_bytewise(text)])
    at = text.index('"id":"c"')
    assert run.registers[0, at].tolist() == [3, 0], "c is open, a refers to nothing"
    assert run.registers[0, text.index('"id":"a"')].tolist() == [1, -1]


def test_prefixes_follow_strings_and_numbers(lanes, text):
    run = lanes.run([_bytewise(text)])
    quoted = text.index('"track"')
    assert run.prefixes[0, quoted] == literal_key(b"")
    assert run.prefixes[0, quoted + 3] == literal_key(b"tra")
    number = text.index("12}}")
    assert run.prefixes[0, number : number + 2].tolist() == [literal_key(b"1"), literal_key(b"12")]
    assert run.prefixes[0, number + 2] == -1
    assert (run.prefixes[0, : text.index('{"plan')] == -1).all()
