from __future__ import annotations

import pickle

import pytest

from bb_core.errors import BBError, UsageError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BBError("broken"), "broken"),
        (BBError("broken", where="a.yaml:3:7"), "a.yaml:3:7: broken"),
        (BBError("broken", fix="mend it"), "broken; mend it"),
        (BBError("broken", where="a.yaml", fix="mend it"), "a.yaml: broken; mend it"),
    ],
)
def test_message_is_where_what_and_fix(error: BBError, text: str) -> None:
    assert str(error) == text


def test_usage_is_two_and_everything_else_one() -> None:
    assert BBError("x").exit_code == 1
    assert UsageError("x").exit_code == 2


def test_errors_cross_process_borders_whole() -> None:
    class_and_fields = pickle.loads(pickle.dumps(UsageError("what", where="here", fix="so")))
    assert type(class_and_fields) is UsageError
    assert str(class_and_fields) == "here: what; so"
