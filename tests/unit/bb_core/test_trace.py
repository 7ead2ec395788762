from __future__ import annotations

import json
from pathlib import Path

import pytest

from bb_core.errors import BBError
from bb_core.plan import plan_text
from bb_core.trace import Trace, TraceStep, load_traces, save_traces, trace_line, trace_plan

TRACE = Trace(
    id="t1",
    domain="shop",
    skin="plain",
    request="Refunde 25,50 € für 1042.",
    steps=(
        TraceStep("get_order", {"number": 1042}, {"id": 7, "total": 30.0}, True, 0.25),
        TraceStep("refund_order", {"order": "$a.id", "amount": 25.5}, None, False, 1),
    ),
    state_before={"refunds": []},
    state_after={"refunds": [7]},
    label={"goals": ["refund"], "split": "train"},
)


def test_traces_survive_a_file(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    save_traces(path, [TRACE, TRACE])
    assert load_traces(path) == [TRACE, TRACE]
    assert path.read_text().count("\n") == 2


def test_an_empty_line_is_no_trace(tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").write_text("\n" + trace_line(TRACE) + "\n\n")
    assert load_traces(tmp_path / "traces.jsonl") == [TRACE]


def test_a_line_separator_inside_a_request_does_not_end_the_line(tmp_path: Path) -> None:
    trace = Trace("t", "d", "s", "one\u2028two\x85three\nfour", ())
    save_traces(tmp_path / "traces.jsonl", [trace])
    assert load_traces(tmp_path / "traces.jsonl") == [trace]


def test_the_plan_of_a_trace_has_canonical_ids() -> None:
    assert plan_text(trace_plan(TRACE)) == (
        '{"plan":[{"id":"a","tool":"get_order","args":{"number":1042}},'
        '{"id":"b","tool":"refund_order","args":{"order":"$a.id","amount":25.5}}]}'
    )


def changed(**fields: object) -> str:
    return json.dumps({**json.loads(trace_line(TRACE)), **fields})


def without(name: str) -> str:
    value = json.loads(trace_line(TRACE))
    del value[name]
    return json.dumps(value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"traces\.jsonl:2:1:2: not JSON"),
        ("[]", r"traces\.jsonl:2: must be an object; with id, domain"),
        (without("request"), r":2: has no 'request'; use id, domain"),
        (changed(more=1), r":2: unknown field 'more'"),
        (changed(id=5), r":2: id is of type int; record the trace again"),
        (changed(steps=[{}]), r":2: steps/0: has no 'tool'; use tool, args"),
        (changed(steps=[None]), r":2: steps/0: must be an object"),
        (
            changed(steps=[{"tool": "t", "args": {}, "result": 1, "ok": 1, "t_s": 0}]),
            r":2: steps/0: ok is of type int",
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "traces.jsonl").write_text(trace_line(TRACE) + "\n" + line + "\n")
    with pytest.raises(BBError, match=message):
        load_traces(tmp_path / "traces.jsonl")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    save_traces(path, [TRACE])
    broken = Trace("t", "d", "s", "r", (TraceStep("t", {}, float("nan"), True, 0.0),))
    with pytest.raises(BBError, match="trace t: .*not JSON"):
        save_traces(path, [broken])
    assert load_traces(path) == [TRACE]
