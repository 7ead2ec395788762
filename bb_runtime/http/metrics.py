"""Counters and histograms in Prometheus's text format."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from bb_runtime.engine import EngineStats

BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Times in seconds, counted by bucket."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one time."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


class Metrics:
    """What the server counts; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[_Labels] = Counter()
        self._plans: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._feedback: Counter[str] = Counter()
        self._times: dict[str, Histogram] = {}
        self._active = 0

    def begin(self) -> None:
        """A request has come in."""
        with self._lock:
            self._active += 1

    def end(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        with self._lock:
            self._active -= 1
            labels = (("route", route), ("method", method), ("status", str(status)))
            self._requests[labels] += 1
            self._times.setdefault(route, Histogram()).observe(seconds)

    def plan(self, status: str) -> None:
        """A plan request ended."""
        with self._lock:
            self._plans[status] += 1

    def fallback(self, rule: str) -> None:
        """A plan broke a rule, and the base plans instead."""
        with self._lock:
            self._fallbacks[rule] += 1

    def feedback(self, verdict: str) -> None:
        """Somebody judged an answer."""
        with self._lock:
            self._feedback[verdict] += 1

    @property
    def active(self) -> int:
        """Requests being answered."""
        with self._lock:
            return self._active

    def text(self, stats: EngineStats) -> str:
        """Everything, the engine's counts among it."""
        with self._lock:
            lines = [
                *_metric("bb_http_requests_total", "counter", "Requests answered.",
                         dict(self._requests)),
                *_metric("bb_http_requests_active", "gauge", "Requests being answered.",
                         {(): self._active}),
                *_histograms("bb_http_request_seconds", "Time of a request.", self._times),
                *_metric("bb_plans_total", "counter", "Plan requests by outcome.",
                         _by("status", self._plans)),
                *_metric("bb_plan_fallbacks_total", "counter",
                         "Plans that broke a rule and made room for the base rail's.",
                         _by("rule", self._fallbacks)),
                *_metric("bb_feedback_total", "counter", "Verdicts of users.",
                         _by("verdict", self._feedback)),
                *_engine(stats),
            ]  # fmt: skip
        return "\n".join(lines) + "\n"


def _engine(stats: EngineStats) -> list[str]:
    counts = {
        "prompt_tokens": (stats.prompt_tokens, "Tokens read from prompts."),
        "completion_tokens": (stats.completion_tokens, "Tokens generated."),
        "forced_tokens": (stats.forced_tokens, "Tokens taken without asking the model."),
        "model_calls": (stats.calls, "Calls of the model."),
    }
    lines = [
        *_metric("bb_engine_running", "gauge", "Texts being decoded.", {(): stats.running}),
        *_metric("bb_engine_waiting", "gauge", "Requests that wait.", {(): stats.waiting}),
        *_metric("bb_engine_choices_total", "counter", "Choices by end.",
                 _by("reason", stats.ended)),
    ]  # fmt: skip
    for name, (value, what) in counts.items():
        lines += _metric(f"bb_engine_{name}_total", "counter", what, {(): value})
    return lines


def _by(label: str, counts: Mapping[str, int]) -> dict[_Labels, int]:
    return {((label, name),): count for name, count in counts.items()}


def _metric(name: str, kind: str, what: str, values: Mapping[_Labels, int]) -> list[str]:
    head = [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{_labels(labels)} {value}" for labels, value in sorted(values.items())]


def _histograms(name: str, what: str, times: Mapping[str, Histogram]) -> list[str]:
    lines = [f"# HELP {name} {what}", f"# TYPE {name} histogram"]
    for route, histogram in sorted(times.items()):
        below = 0
        bounds = [*map(str, BUCKETS_S), "+Inf"]
        for bound, count in zip(bounds, histogram.counts, strict=True):
            below += count
            lines.append(f"{name}_bucket{_labels((('route', route), ('le', bound)))} {below}")
        label = _labels((("route", route),))
        lines += [f"{name}_sum{label} {histogram.sum_s:.6f}", f"{name}_count{label} {below}"]
    return lines


def _labels(labels: _Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
