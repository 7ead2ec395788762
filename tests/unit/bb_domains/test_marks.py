"""Places in YAML files."""

from __future__ import annotations

import pytest

from bb_core.errors import BBError
from bb_domains.errors import SchemaError
from bb_domains.marks import MOST_NODES, decode_marked

TEXT = "a: 1\nb:\n  - x: 2\n    y: 3\n"


def test_nodes_have_places() -> None:
    marked = decode_marked(TEXT, source="f.yaml")
    assert marked.data == {"a": 1, "b": [{"x": 2, "y": 3}]}
    assert marked.where(("b", 0, "y")) == "f.yaml:4:5: b.0.y"


def test_columns_are_counted_in_characters() -> None:
    marked = decode_marked('"é𝄞": {"ß": 1, y: 2}\n', source="f.yaml")
    assert marked.where(("é𝄞", "y")) == "f.yaml:1:16: é𝄞.y"


def test_what_is_not_written_is_where_its_parent_is() -> None:
    assert decode_marked(TEXT, source="f.yaml").where(("b", 0, "z")) == "f.yaml:3:5: b.0.z"
    assert decode_marked("", source="f.yaml").where(("q",)) == "f.yaml: q"


def test_a_key_written_twice_is_refused() -> None:
    with pytest.raises(SchemaError, match="f.yaml:3:3: key 'c' is written twice; keep one"):
        decode_marked("b:\n  c: 1\n  c: 2\n", source="f.yaml")


def test_data_are_what_json_could_say() -> None:
    marked = decode_marked("1: [2020-02-03]\n2.5: 2020-02-03T04:05:06Z\n", source="f.yaml")
    assert marked.data == {"1": ["2020-02-03"], "2.5": "2020-02-03T04:05:06+00:00"}


def test_a_key_that_yaml_reads_as_truth_is_refused() -> None:
    with pytest.raises(SchemaError, match="f.yaml: key True is no text; put it in quotes"):
        decode_marked("on: 1\n", source="f.yaml")


def test_a_document_that_contains_itself_is_refused() -> None:
    with pytest.raises(SchemaError, match="f.yaml:1:4: contains itself; drop the alias"):
        decode_marked("a: &x\n  - *x\n", source="f.yaml")


def test_aliases_do_not_grow_beyond_measure() -> None:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(SchemaError, match=f"has more than {MOST_NODES} nodes"):
        decode_marked("\n".join(lines), source="f.yaml")


def test_a_document_nested_too_deeply_is_refused() -> None:
    with pytest.raises(BBError, match="f.yaml: nested too deeply"):
        decode_marked("[" * 4000 + "]" * 4000, source="f.yaml")
