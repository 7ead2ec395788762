from __future__ import annotations

import io

import pytest

from bb_core.progress import Progress, format_seconds, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_log_gets_a_line_for_each_tenth() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(200, "train", stream=stream, clock=clock) as progress:
        for i in range(200):
            clock.now_s += 0.5
            progress.advance(note=f"loss {200 - i}")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == "train: 20/200 (10%), 10.0 s elapsed, 1 min 30 s to go, loss 181"
    assert lines[-1] == "train: 200/200 (100%), 1 min 40 s elapsed, 0.0 s to go, loss 1"


def test_short_work_stays_silent_in_a_log() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(50, "load", stream=stream, clock=clock) as progress:
        for _ in range(50):
            clock.now_s += 0.01
            progress.advance()
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Progress(4, "decode", stream=stream) as progress:
        progress.update(4, note="loss 0.5")
    assert "decode" in stream.getvalue()
    assert "4/4" in stream.getvalue()
    assert "loss 0.5" in stream.getvalue()


def test_tracking_yields_everything_and_reports_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(track([3, 1, 2], "items")) == [3, 1, 2]
    assert list(track(iter("ab"), "items", total=2)) == ["a", "b"]
    assert list(track(iter("ab"), "unknown length")) == ["a", "b"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (4.25, "4.2 s"), (59.96, "1 min 00 s"), (200, "3 min 20 s"),
     (3599.6, "1 h 00 min"), (7500, "2 h 05 min")],
)  # fmt: skip
def test_durations_are_short(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
