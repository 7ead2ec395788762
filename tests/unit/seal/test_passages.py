import json

import pytest

from bb_core.errors import BBError
from seal.errors import PassageError
from seal.passages import Passage, load_passages


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_txt_passages_are_separated_by_blank_lines(tmp_path):
    path = write(tmp_path, "in.txt", "\n\none\ntwo\n \n\t\nthree\n")
    assert load_passages(path) == [Passage("line-3", "one\ntwo"), Passage("line-7", "three")]


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = write(tmp_path, "in.txt", b"\xef\xbb\xbfone\r\ntwo\r\n\r\nthree")
    assert [p.text for p in load_passages(path)] == ["one\ntwo", "three"]


@pytest.mark.parametrize("key", ["passage", "text", "context"])
def test_jsonl_text_keys(tmp_path, key):
    path = write(tmp_path, "in.jsonl", json.dumps({"id": 7, key: "words", "title": "T"}))
    assert load_passages(path) == [Passage("7", "words", "T")]


def test_jsonl_without_ids_uses_lines_and_keeps_unicode_line_separators(tmp_path):
    path = write(tmp_path, "in.jsonl", '{"text": "a\u2028b"}\n\n{"text": ""}\n')
    assert load_passages(path) == [Passage("line-1", "a\u2028b"), Passage("line-3", "")]


def test_blank_is_blank():
    assert Passage("p", " \n\t\u00a0").is_empty
    assert not Passage("p", "x").is_empty


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', r"in\.jsonl:2:13: not JSON: Expecting ',' delimiter; write one object"),
        ("[1]", r"in\.jsonl:2: a JSON list is no passage; write one object a line"),
        ('{"body": "a"}', r"in\.jsonl:2: no text: the keys are \['body'\]; put the text under"),
        ('{"text": 3}', r"in\.jsonl:2: text is not a text but 3; use text"),
        ('{"text": "a", "title": null}', r"in\.jsonl:2: title is not a text but None"),
        ('{"text": "a", "id": 1.5}', r"in\.jsonl:2: id is neither text nor integer"),
        ('{"text": "a", "id": true}', r"in\.jsonl:2: id is neither text nor integer"),
        ('{"text": "a\\ud800b"}', r"in\.jsonl:2: text has half a surrogate pair at character 1"),
        ('{"text": "a", "id": "x"}', r"in\.jsonl:2: id 'x' was already used on line 1; give"),
        ("[" * 200_000, r"in\.jsonl:2: not JSON: .*recursion"),
        ('{"text": ' + "9" * 5000 + "}", r"in\.jsonl:2: not JSON: .*digits"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = write(tmp_path, "in.jsonl", '{"text": "fine", "id": "x"}\n' + line + "\n")
    with pytest.raises(PassageError, match=message):
        load_passages(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("in.csv", "a", r"\.csv is not a kind of passage file; use \.txt"),
        ("in", "a", "a name without suffix is not a kind of passage file"),
        ("in.txt", " \n\n", r"in\.txt: the file holds no passage; add at least one"),
        ("in.jsonl", "", r"in\.jsonl: the file holds no passage"),
        ("in.txt", b"ok\n\xff", r"in\.txt:2:1: byte 0xff is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_bad_file_is_named(tmp_path, name, data, message):
    with pytest.raises(BBError, match=message):
        load_passages(write(tmp_path, name, data))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BBError, match=r"none\.txt: file does not exist; check the path"):
        load_passages(tmp_path / "none.txt")
