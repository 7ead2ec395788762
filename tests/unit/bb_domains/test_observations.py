"""Traces as attempts: what there is to say about a call, and when it is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bb_core.errors import BBError
from bb_core.trace import Trace, TraceStep
from bb_domains.observations import attempts_of, possible
from bb_domains.schema import PlanSchema
from bb_domains.vocabulary import Found, fluent_names, vocabulary_of
from bem_kernel.learning.action_traces import Attempt, attempt_line, read_attempts

REFUSED = {"status": 403, "reason": "no"}


def call(tool: str, args: Mapping[str, Any], result: Any = None, ok: bool = True) -> TraceStep:
    return TraceStep(tool, dict(args), result if ok else REFUSED, ok, 0.0)


def item(number: int, state: str = "new", price: float = 5, paid: float | None = None) -> Any:
    return {"id": f"i{number}", "number": number, "state": state, "price": price, "paid": paid}


def trace(name: str, *steps: TraceStep) -> Trace:
    return Trace(name, "shop", "", "", steps)


def find(number: int, **about: Any) -> TraceStep:
    return call("find", {"number": number}, item(number, **about))


ENTER = call("enter", {})
TRACES = [
    trace(
        "one",
        call("pay", {"item": "i1", "sum": 3, "by": "card"}, ok=False),
        ENTER,
        find(1),
        call("pay", {"item": "$c.id", "sum": 3, "by": "card"}, {"done": True}),
        call("pay", {"item": "$c.id", "sum": 3, "by": "card"}, ok=False),
        call("sell", {"item": "$c.id"}, item(1, state="sold")),
        call("wrap", {"item": "$c.id"}, {}),
    ),
    *(
        trace(
            f"more{n}",
            ENTER,
            find(n, state=state, paid=1.5),
            call("pay", {"item": "$b.id", "sum": 9, "by": by}, ok=False),
        )
        for n, state in enumerate(("new", "sold", "lost", "new", "sold", "lost") * 2, 2)
        for by in ("card", "cash")
    ),
]


def attempts(only: str, traces: list[Trace] = TRACES) -> list[Attempt]:
    return [each for each in attempts_of(traces) if each.source.startswith(only)]


def true_facts(attempt: Attempt) -> set[str]:
    return {fact for fact, value in attempt.before.items() if value}


def test_the_vocabulary_comes_from_the_traces() -> None:
    found = vocabulary_of(TRACES)
    assert found.finds == {"find": Found("item", "id")}
    assert found.objects["pay"] == {"item": "item"} and found.objects["find"] == {}
    assert found.fields == {"item": {"state": ("lost", "new", "sold")}}
    assert found.nullable == {"item": ("paid",)}
    assert set(found.numbers["item"]) == {"price", "paid"}  # not the number it is found by
    assert found.values == {"pay": {"by": ("card", "cash")}}
    assert found.amounts["pay"] == ("sum",)


def test_what_is_true_grows_with_the_answers() -> None:
    first, enter, look, pay, again, sell, wrap = attempts("one")
    assert true_facts(first) == {"by.card"}
    assert true_facts(enter) == set()
    assert true_facts(look) == {"enter"} and look.after == {"enter": True, "find(self)": True}
    about = {"enter", "find(item)", "state.new(item)"}
    assert true_facts(pay) == {*about, "by.card", "sum.at_most.price(item)"}
    assert true_facts(again) == {*true_facts(pay), "pay(item)", "call.is.repeated"}
    assert true_facts(sell) == {*about, "pay(item)"}
    assert sell.after["state.sold(item)"] and not sell.after["state.new(item)"]
    assert true_facts(wrap) == {
        "enter",
        "find(item)",
        "pay(item)",
        "sell(item)",
        "state.sold(item)",
    }


def test_facts_of_the_call_do_not_outlast_it() -> None:
    pay = attempts("one")[3]
    lost = pay.before.keys() - pay.after.keys()
    assert lost == {
        "by.card",
        "by.cash",
        "by.is.unseen",
        "call.is.repeated",
        "sum.at_most.price(item)",
        "sum.at_most.paid(item)",
    }
    assert attempts("one")[4].after == {}


def test_numbers_are_compared_and_null_is_told() -> None:
    pay = attempts("more2")[2]
    assert not pay.before["sum.at_most.price(item)"]
    assert pay.before["paid.is.known(item)"]
    assert not attempts("one")[3].before["paid.is.known(item)"]


def test_values_never_seen_before_are_told_apart_from_all_others() -> None:
    steps = (ENTER, find(99, state="burnt"), call("wrap", {"item": "$b.id"}, {}))
    held_out = [trace("late", *steps)]
    (*_, wrap) = attempts_of(held_out, vocabulary_of(TRACES))
    assert true_facts(wrap) == {"enter", "find(item)", "state.is.unseen(item)"}
    known = attempts("one")[6]
    assert wrap.before.keys() == known.before.keys()


def test_successes_may_be_called_by_names_of_a_schema(shop: PlanSchema) -> None:
    names = fluent_names(shop)
    assert names and all(fluent in shop.fluents for fluent in names.values())
    renamed = vocabulary_of(TRACES, {"pay": "paid"})
    (*_, wrap) = [a for a in attempts_of(TRACES, renamed) if a.source.startswith("one")]
    assert wrap.before["paid(item)"] and "pay(item)" not in wrap.before


def test_attempts_are_lines_that_the_kernel_reads() -> None:
    every = attempts_of(TRACES)
    read = read_attempts("\n".join(map(attempt_line, every)), "traces")
    assert [(a.action, a.before, a.ok) for a in read] == [(a.action, a.before, a.ok) for a in every]


def test_what_is_possible_holds_of_every_attempt() -> None:
    vocabulary = vocabulary_of(TRACES)
    clauses = {tool: possible(tool, vocabulary) for tool in vocabulary.objects}
    assert ("!state.new(item)", "!state.sold(item)") in clauses["wrap"]
    assert ("by.card", "by.cash", "by.is.unseen") in clauses["pay"]
    assert clauses["enter"] == []
    for each in attempts_of(TRACES):
        for clause in clauses[each.action]:
            assert any(each.before[x.lstrip("!")] != x.startswith("!") for x in clause), clause


def test_what_begins_anew_is_no_attempt_and_forgets() -> None:
    pay = call("pay", {"item": "$b.id", "sum": 3, "by": "card"}, {})
    steps = (ENTER, find(1), pay, ENTER, replace(pay, ok=False, result=REFUSED))
    enter, _, first, again = attempts_of([trace("twice", *steps)], vocabulary_of(TRACES))
    assert (enter.action, first.ok, again.ok) == ("enter", True, False)
    assert true_facts(again) == {"enter", "by.card", "call.is.repeated"}


def test_an_answer_may_hold_the_object_deeper() -> None:
    looks = [call("find", {"number": n}, {"data": item(n, state=s)}) for n, s in ((1, "new"),) * 4]
    looks += [call("find", {"number": 2}, {"data": item(2, state="sold")})] * 4
    traces = [
        trace(
            f"deep{i}", look, call("sell", {"item": "$a.data.id"}, {"data": item(1, state="old")})
        )
        for i, look in enumerate(looks)
    ]
    found = vocabulary_of(traces)
    assert found.finds == {"find": Found("item", "data.id")}
    assert found.fields == {"item": {"state": ("new", "sold")}}
    sell = attempts_of(traces)[1]
    assert true_facts(sell) == {"find(item)", "state.new(item)"}
    assert sell.after["state.is.unseen(item)"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([call("pay", {"item": "$a.id"}, {})], "step 0: .a.id refers to no earlier success"),
        ([ENTER, call("pay", {"item": "$zz.id"}, {})], "step 1: .zz.id refers to no earlier"),
        ([call("find", {}, ok=False), call("pay", {"item": "$a.id"})], "to no earlier success"),
        ([ENTER, call("pay", {"item": "$a.id"}, {})], "the answer has no id; record whole answers"),
        ([find(1), call("pay", {"item": "$a.id"}, {}), call("pay", {}, {})], "has no item; leave"),
    ],
)
def test_traces_that_do_not_hold_together(steps: list[TraceStep], message: str) -> None:
    with pytest.raises(BBError, match=message):
        attempts_of([trace("odd", *steps)])


def test_a_tool_that_the_vocabulary_lacks() -> None:
    with pytest.raises(BBError, match="trace t: fly: the vocabulary does not know this tool"):
        attempts_of([trace("t", call("fly", {}))], vocabulary_of(TRACES))
