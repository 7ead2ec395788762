"""Whatever a log holds, importing it gives traces or a message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bb_core.errors import BBError
from bb_core.trace import load_traces, save_traces
from bb_domains.transcripts import FORMATS, import_log

WORDS = [
    "messages", "input", "role", "user", "tool", "assistant", "content", "text", "tool_calls", "id",
    "function", "name", "arguments", "tool_call_id", "type", "function_call", "call_id", "output",
    "function_call_output", "tool_use", "tool_result", "tool_use_id", "is_error", "run_type",
    "inputs", "outputs", "error", "child_runs", "parent_run_id", "trace_id", "start_time",
    "end_time", "2026-01-01T00:00:00", "events", "eventId", "eventType", "eventTime",
    "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED", "ActivityTaskCompleted", "ACTIVITY_TASK_FAILED",
    "WorkflowExecutionStarted", "workflowExecutionStartedEventAttributes",
    "activityTaskScheduledEventAttributes", "activityTaskCompletedEventAttributes",
    "activityTaskFailedEventAttributes", "scheduledEventId", "activityType", "payloads", "data",
    "result", "failure", "message", "e30=", "{}", '{"id":"abc"}', "abc", "1",
]  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)
    ),
    max_leaves=16,
)
SHAPED = st.one_of(
    VALUES,
    st.fixed_dictionaries({"messages": st.lists(st.dictionaries(st.sampled_from(WORDS), VALUES))}),
    st.fixed_dictionaries(
        {"run_type": st.just("tool"), "inputs": VALUES, "outputs": VALUES, "child_runs": VALUES}
    ),
    st.fixed_dictionaries({"events": st.lists(st.dictionaries(st.sampled_from(WORDS), VALUES))}),
)  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(item=SHAPED)
def test_any_json_is_imported_or_refused(form: str, item: Any, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(item))
    try:
        traces = import_log(path, form, "shop")
    except BBError:
        return
    save_traces(tmp_path / "traces.jsonl", traces)
    assert load_traces(tmp_path / "traces.jsonl") == traces


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", ["[" * 100_000, '{"messages":' * 50_000, "", "\x00", "nul", "NaN"])
def test_no_text_breaks_it(form: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(text)
    if text:
        with pytest.raises(BBError):
            import_log(path, form, "shop")
    else:
        assert import_log(path, form, "shop") == []
