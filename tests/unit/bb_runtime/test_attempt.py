"""Calls under a deadline, and what a failure means."""

from __future__ import annotations

import threading

import pytest

from bb_core.errors import BBError
from bb_domains.schema import Tool
from bb_domains.tools import ToolFailed
from bb_runtime.attempt import Answer, Attempt, failure, may_repeat, pause_s

WRITE, KEYED, READ = Tool(), Tool(idempotent=True), Tool(effect="read")


class Once:
    def __init__(self, answer):
        self.answer = answer

    def call(self, tool, args, idempotency_key=None):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("status", "unknown", "passing"),
    [
        (0, True, True),
        (200, True, False),
        (302, True, False),
        (303, True, False),
        (307, False, False),
        (404, False, False),
        (408, False, True),
        (409, False, False),
        (425, False, True),
        (429, False, True),
        (500, True, True),
        (501, False, False),
        (502, True, True),
        (503, False, True),
        (504, True, True),
        (505, False, False),
        (520, True, True),
    ],
)
def test_what_a_status_means(status, unknown, passing):
    answer = failure(ToolFailed("t", status, "why"))
    assert (answer.unknown, answer.passing, answer.reason) == (unknown, passing, "why")


def test_a_call_that_never_left_had_no_effect():
    answer = failure(ToolFailed("t", 0, "cannot reach it", sent=False))
    assert not answer.unknown and answer.passing


@pytest.mark.parametrize(
    ("tool", "unknown", "passing", "safe"),
    [
        (WRITE, True, True, False),
        (WRITE, False, True, True),
        (WRITE, False, False, False),
        (KEYED, True, True, True),
        (READ, True, True, True),
        (READ, False, False, False),
    ],
)
def test_what_may_be_repeated(tool, unknown, passing, safe):
    assert may_repeat(tool, Answer(reason="x", unknown=unknown, passing=passing)) is safe


def test_pauses_double_up_to_a_limit():
    assert [pause_s(n) for n in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert pause_s(10) == 5.0


def test_an_answer_in_time():
    assert Attempt(Once({"n": 1}), "t", {}, None, 10).answer() == Answer({"n": 1})


def test_nobody_waits_longer_than_the_deadline():
    gate = threading.Event()

    class Deaf:
        def call(self, tool, args, idempotency_key=None):
            gate.wait()
            return {}

    attempt = Attempt(Deaf(), "t", {}, None, 0.01)
    answer = attempt.answer()
    assert answer.reason == "no answer within 0.01 s" and answer.unknown
    assert attempt.seconds >= 0.01
    gate.set()


def test_a_call_that_cannot_be_made_is_not_repeated():
    answer = Attempt(Once(BBError("secret X is not set")), "t", {}, None, 10).answer()
    assert answer == Answer(reason="secret X is not set")


def test_anything_else_is_raised_where_the_answer_is_awaited():
    attempt = Attempt(Once(ZeroDivisionError("one")), "t", {}, None, 10)
    with pytest.raises(ZeroDivisionError, match="one"):
        attempt.answer()
