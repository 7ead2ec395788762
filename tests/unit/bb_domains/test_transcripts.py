"""Logs of orchestrators become traces with references."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bb_core.cli import run_app
from bb_core.errors import BBError
from bb_core.trace import Trace, TraceStep, load_traces
from bb_domains.api_json import plan_schema
from bb_domains.cli import app
from bb_domains.linking import link, split_long
from bb_domains.transcripts import import_log


def written(tmp_path: Path, *items: Any) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def call(call_id: str, tool: str, /, **args: Any) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": tool, "arguments": json.dumps(args)},
    }


OPENAI = {
    "id": "conv-7",
    "messages": [
        {"role": "system", "content": "Be careful."},
        {"role": "user", "content": "Cancel order 1042 please."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("c1", "orders.get", number=1042)],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"id": "ord_9", "status": "placed"}'},
        {
            "role": "assistant",
            "tool_calls": [call("c2", "orders.cancel", order="ord_9"), call("c3", "wait")],
        },
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [{"type": "text", "text": "Error: too late"}],
        },
        {"role": "assistant", "content": "It was too late."},
    ],
}

ANTHROPIC = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Cancel order 1042 please."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "orders.get", "input": {"number": 1042}}
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c1",
                    "content": [{"type": "text", "text": '{"id": "ord_9", "status": "placed"}'}],
                }
            ],
        },
        {
            "role": "assistant",
            "content": [
                {
                    "type": "tool_use",
                    "id": "c2",
                    "name": "orders.cancel",
                    "input": {"order": "ord_9"},
                }
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c2",
                    "is_error": True,
                    "content": "Error: too late",
                }
            ],
        },
    ]
}

RESPONSES = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Cancel order 1042 please."}]},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "orders.get",
            "arguments": '{"number": 1042}',
        },
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": '{"id": "ord_9", "status": "placed"}',
        },
        {
            "type": "function_call",
            "call_id": "c2",
            "name": "orders.cancel",
            "arguments": '{"order": "ord_9"}',
        },
        {"type": "function_call_output", "call_id": "c2", "output": "Error: too late"},
    ]
}


@pytest.mark.parametrize(
    "chat", [OPENAI, ANTHROPIC, RESPONSES], ids=["openai", "anthropic", "responses"]
)
def test_chats_become_the_same_trace(chat: dict[str, Any], tmp_path: Path) -> None:
    (trace,) = import_log(written(tmp_path, chat), "chat", "shop")
    assert trace.domain == "shop"
    assert trace.request == "Cancel order 1042 please."
    found, cancelled = trace.steps
    assert (found.tool, found.args, found.ok) == ("orders_get", {"number": 1042}, True)
    assert found.result == {"id": "ord_9", "status": "placed"}
    assert (cancelled.tool, cancelled.args, cancelled.ok) == (
        "orders_cancel",
        {"order": "$a.id"},
        False,
    )
    assert cancelled.result == {"reason": "Error: too late"}


def test_one_conversation_message_by_message(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(OPENAI["messages"]))
    (trace,) = import_log(path, "chat", "shop")
    assert len(trace.steps) == 2
    assert trace.id == "chat-00000"


def test_traces_of_one_name_are_told_apart(tmp_path: Path) -> None:
    traces = import_log(written(tmp_path, OPENAI, OPENAI), "chat", "shop")
    assert [trace.id for trace in traces] == ["conv-7", "conv-7#1"]


def run(name: str, kind: str, start: str, **more: Any) -> dict[str, Any]:
    end = start[:-1] + str(int(start[-1]) + 1)
    return {"name": name, "run_type": kind, "start_time": start, "end_time": end, **more}


def test_run_trees_become_traces(tmp_path: Path) -> None:
    cancel = run(
        "cancel",
        "tool",
        "2026-01-01T00:00:05",
        inputs={"input": "{'order': 'ord_9'}"},
        error="Conflict('late')",
    )
    get = run(
        "get",
        "tool",
        "2026-01-01T00:00:01",
        inputs={"number": 1042},
        outputs={"output": {"content": '{"id": "ord_9"}'}},
    )
    inner = run("chain", "chain", "2026-01-01T00:00:00", inputs={}, child_runs=[cancel, get])
    root = run(
        "agent",
        "chain",
        "2026-01-01T00:00:00",
        id="r1",
        inputs={"input": "Cancel it."},
        child_runs=[inner],
    )
    (trace,) = import_log(written(tmp_path, root), "langchain", "shop")
    assert (trace.id, trace.request) == ("r1", "Cancel it.")
    assert [(s.tool, s.args, s.ok, s.t_s) for s in trace.steps] == [
        ("get", {"number": 1042}, True, 1.0),
        ("cancel", {"order": "$a.id"}, False, 1.0),
    ]
    assert trace.steps[1].result == {"reason": "Conflict('late')"}


def test_flat_runs_are_put_together_by_trace(tmp_path: Path) -> None:
    rows = [
        run(
            "agent",
            "chain",
            "2026-01-01T00:00:00",
            id="1",
            trace_id="1",
            inputs={"messages": [{"type": "human", "content": "Hi"}]},
        ),
        run(
            "get",
            "tool",
            "2026-01-01T00:00:01",
            id="2",
            trace_id="1",
            parent_run_id="1",
            inputs={"n": 1},
            outputs={"output": "one"},
        ),
    ]
    (trace,) = import_log(written(tmp_path, *rows), "langchain", "shop")
    assert trace.request == "Hi"
    assert trace.steps[0].result == {"text": "one"}


def payload(value: Any) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(value).encode()).decode()
    return {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": data}]}


def history(names: bool) -> dict[str, Any]:
    def kind(text: str) -> str:
        return "EVENT_TYPE_" + text if names else "".join(p.title() for p in text.split("_"))

    def event(number: int, text: str, key: str, **told: Any) -> dict[str, Any]:
        return {
            "eventId": str(number),
            "eventTime": f"2026-01-01T00:00:0{number}.123456789Z",
            "eventType": kind(text),
            f"{key}EventAttributes": told,
        }

    return {
        "events": [
            event(
                1,
                "WORKFLOW_EXECUTION_STARTED",
                "workflowExecutionStarted",
                workflowId="refund-1",
                input=payload("Refund it."),
            ),
            event(
                2,
                "ACTIVITY_TASK_SCHEDULED",
                "activityTaskScheduled",
                activityType={"name": "GetOrder"},
                input=payload({"number": 1042}),
            ),
            event(3, "ACTIVITY_TASK_STARTED", "activityTaskStarted", scheduledEventId="2"),
            event(
                4,
                "ACTIVITY_TASK_COMPLETED",
                "activityTaskCompleted",
                scheduledEventId="2",
                result=payload({"orderId": "ord_9"}),
            ),
            event(
                5,
                "ACTIVITY_TASK_SCHEDULED",
                "activityTaskScheduled",
                activityType={"name": "Refund"},
                input=payload({"order": "ord_9", "amount": 3}),
            ),
            event(
                6,
                "ACTIVITY_TASK_FAILED",
                "activityTaskFailed",
                scheduledEventId="5",
                failure={"message": "too much"},
            ),
            event(
                7,
                "ACTIVITY_TASK_SCHEDULED",
                "activityTaskScheduled",
                activityType={"name": "Refund"},
                input=payload({"order": "ord_9", "amount": 2}),
            ),
        ]
    }


@pytest.mark.parametrize("names", [True, False])
def test_histories_become_traces(names: bool, tmp_path: Path) -> None:
    (trace,) = import_log(written(tmp_path, history(names)), "temporal", "shop")
    assert (trace.id, trace.request) == ("refund-1", "Refund it.")
    assert [(s.tool, s.args, s.result, s.ok, s.t_s) for s in trace.steps] == [
        ("GetOrder", {"number": 1042}, {"orderId": "ord_9"}, True, 2.0),
        ("Refund", {"order": "$a.orderId", "amount": 3}, {"reason": "too much"}, False, 1.0),
    ]


@pytest.mark.parametrize(
    ("form", "item", "said"),
    [
        ("csv", {}, "--format: no format 'csv'; use chat, langchain, temporal"),
        ("chat", {"x": 1}, "log.jsonl: 0: has no messages or input or conversation"),
        ("chat", {"messages": 3}, "log.jsonl: 0: is no conversation"),
        (
            "chat",
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[1]"}}],
                    }
                ]
            },
            "0: arguments must be an object",
        ),
        (
            "chat",
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}],
                    }
                ]
            },
            "log.jsonl: 0",
        ),
        ("langchain", {"x": 1}, "0: is no run; export runs with run_type"),
        ("temporal", {"events": 3}, "0: is no history"),
        (
            "temporal",
            {
                "events": [
                    {
                        "eventType": "ActivityTaskCompleted",
                        "activityTaskCompletedEventAttributes": {"scheduledEventId": "9"},
                    }
                ]
            },
            "no activity 9 was scheduled",
        ),
    ],
)
def test_other_files_are_refused(form: str, item: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(BBError, match=said):
        import_log(written(tmp_path, item), form, "shop")


def test_the_command_writes_traces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "traces.jsonl"
    with pytest.raises(SystemExit) as stop:
        run_app(app, "x", ["import-log", str(written(tmp_path, OPENAI)), "--out", str(out)])
    assert not stop.value.code
    assert "1 traces, 2 calls" in capsys.readouterr().out
    assert load_traces(out)[0].id == "conv-7"
    with pytest.raises(SystemExit) as stop:
        run_app(
            app, "x", ["import-log", str(written(tmp_path, {"messages": []})), "--out", str(out)]
        )
    assert stop.value.code == 1
    assert "holds no answered call" in capsys.readouterr().err


def step(tool: str, args: dict[str, Any], result: Any, ok: bool = True) -> TraceStep:
    return TraceStep(tool, args, result, ok, 0.0)


def test_what_was_said_before_is_no_reference() -> None:
    steps = (
        step("find", {"email": "ana@x.org"}, {"id": "ana@x.org", "card": {"key": "k-1"}}),
        step("mail", {"to": "ana@x.org", "card": "k-1", "n": 12, "short": "ab"}, {"n_id": 12}),
        step("again", {"n": 12, "who": "cus-77"}, {}),
        step("bad", {}, {"id": "zzz"}, ok=False),
        step("after", {"x": "zzz", "flag": True}, {}),
    )
    trace = link(Trace("t", "d", "", "write to cus-77", steps))
    assert [s.args for s in trace.steps[1:]] == [
        {"to": "ana@x.org", "card": "$a.card.key", "n": 12, "short": "ab"},
        {"n": 12, "who": "cus-77"},
        {},
        {"x": "zzz", "flag": True},
    ]


def test_a_schema_says_what_refers() -> None:
    steps = (
        step("get_order", {"number": 1042}, {"id": "o-1", "customer_id": "c-1"}),
        step("get_order", {"number": 1042}, {"id": "o-1", "customer_id": "c-1"}),
        step("change_city", {"order": "o-1", "city": "c-1"}, {}),
    )
    linked = link(Trace("t", "api_json", "", "", steps), plan_schema())
    assert linked.steps[2].args == {"order": "$b.id", "city": "c-1"}
    assert link(linked, plan_schema()) == linked


def test_long_traces_are_divided() -> None:
    trace = Trace("t", "d", "", "", tuple(step("s", {"i": i}, {}) for i in range(60)))
    parts = list(split_long(trace))
    assert [(part.id, len(part.steps)) for part in parts] == [("t", 26), ("t.1", 26), ("t.2", 8)]
