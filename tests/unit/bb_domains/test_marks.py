"""Places in YAML files."""

from __future__ import annotations

import pytest

from bb_domains.errors import SchemaError
from bb_domains.marks import decode_marked

TEXT = "a: 1\nb:\n  - x: 2\n    y: 3\n"


def test_nodes_have_places() -> None:
    marked = decode_marked(TEXT, source="f.yaml")
    assert marked.data == {"a": 1, "b": [{"x": 2, "y": 3}]}
    assert marked.where(("b", 0, "y")) == "f.yaml:4:5: b.0.y"


def test_what_is_not_written_is_where_its_parent_is() -> None:
    assert decode_marked(TEXT, source="f.yaml").where(("b", 0, "z")) == "f.yaml:3:5: b.0.z"
    assert decode_marked("", source="f.yaml").where(("q",)) == "f.yaml: q"


def test_a_key_written_twice_is_refused() -> None:
    with pytest.raises(SchemaError, match="f.yaml:3:3: key 'c' is written twice; keep one"):
        decode_marked("b:\n  c: 1\n  c: 2\n", source="f.yaml")
