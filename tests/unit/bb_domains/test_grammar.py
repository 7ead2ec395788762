"""The static grammar, and what step grammars say in given states."""

from __future__ import annotations

import pytest

from bb_core.plan import Step
from bb_domains.compiler import PlanMachine
from bb_domains.errors import DomainError, PlanGrammarError
from bb_domains.grammar import parse_with_lark, plan_grammar, step_grammar
from bb_domains.rules import Seq, Slot, count_texts
from bb_domains.schema import PlanSchema, parse_schema, schema_data

LOGIN = '{"id":"a","tool":"login","args":{}}'
ORDER = '{"id":"b","tool":"get_order","args":{"number":1042}}'
REFUND = '{"id":"c","tool":"refund","args":{"order":"$b.id","amount":25.5,"reason":"late"}}'


def plan(*steps: str) -> str:
    return '{"plan":[' + ",".join(steps) + "]}"


@pytest.mark.parametrize(
    "text",
    [
        plan(LOGIN),
        plan(LOGIN, ORDER, REFUND),
        plan(REFUND.replace('"id":"c"', '"id":"a"')),
        plan(LOGIN, ORDER, REFUND.replace('"late"', '"late","remark":"a \\"b\\" \\\\ c"')),
        plan(LOGIN, ORDER, REFUND.replace("25.5", "500")),
        plan(LOGIN, ORDER, REFUND.replace("25.5", "0.01")),
    ],
)
def test_sentences(shop: PlanSchema, text: str) -> None:
    assert parse_with_lark(plan_grammar(shop), text).data == "start"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        (plan(), 10),
        (plan(LOGIN)[:-1], 46),
        (plan(LOGIN) + " ", 47),
        (plan(LOGIN.replace('"a"', '"b"')), 17),
        (plan(LOGIN, LOGIN), 53),
        (plan(LOGIN.replace("login", "logn")), 31),
        (plan(LOGIN).replace(",", ", "), 20),
        (plan(LOGIN, ORDER.replace("1042", "999")), None),
        (plan(LOGIN, ORDER.replace("1042", "01042")), None),
        (plan(LOGIN, ORDER.replace("1042", "1042.0")), None),
        (plan(LOGIN, ORDER, REFUND.replace("25.5", "25.50")), None),
        (plan(LOGIN, ORDER, REFUND.replace("25.5", "500.01")), None),
        (plan(LOGIN, ORDER, REFUND.replace("25.5", "0")), None),
        (plan(LOGIN, ORDER, REFUND.replace("25.5", "1e2")), None),
        (plan(LOGIN, ORDER, REFUND.replace("$b.id", "$b.no")), None),
        (plan(LOGIN, ORDER, REFUND.replace('"late"', '"late","remark":"$b.id"')), None),
        (plan(LOGIN, ORDER, REFUND.replace('"late"', f'"late","remark":"{"x" * 25}"')), None),
        (plan(LOGIN, ORDER, REFUND.replace('"late"', '"late","remark":"é"')), None),
        (plan(LOGIN, ORDER, REFUND.replace('"late"', '"late","remark":"\\n"')), None),
        (plan(*[LOGIN] * 7), None),
    ],
)
def test_other_texts_are_refused(shop: PlanSchema, text: str, column: int | None) -> None:
    place = rf"column {column}\b" if column is not None else "column "
    with pytest.raises(PlanGrammarError, match=place):
        parse_with_lark(plan_grammar(shop), text)


def test_a_refusal_says_what_could_stand_there(shop: PlanSchema) -> None:
    grammar = plan_grammar(shop)
    with pytest.raises(
        PlanGrammarError, match=r"column 31: unexpected 'n\".*; after '.*\"log' write in"
    ):
        parse_with_lark(grammar, plan(LOGIN.replace("login", "logn")))
    with pytest.raises(PlanGrammarError, match="unexpected '999}}.*; after '.*' write INT$"):
        parse_with_lark(grammar, plan(LOGIN, ORDER.replace("1042", "999")))
    with pytest.raises(PlanGrammarError, match="the text ends too early; .* write }$"):
        parse_with_lark(grammar, plan(LOGIN)[:-1])


def test_a_broken_grammar_is_not_the_plans_fault() -> None:
    with pytest.raises(DomainError, match=r"grammar\.lark: .*; regenerate it"):
        parse_with_lark("start: nowhere", "x")


def test_tools_that_differ_in_case_have_rules_of_their_own() -> None:
    schema = parse_schema({"domain": "d", "tools": {"getPet": {}, "getpet": {}}})
    for tool in ("getPet", "getpet"):
        parse_with_lark(plan_grammar(schema), plan(LOGIN.replace("login", tool)))


def test_an_empty_plan_is_a_sentence_where_no_step_is_needed(shop: PlanSchema) -> None:
    data = schema_data(shop)
    data["graph"]["min_steps"] = 0
    schema = parse_schema(data)
    assert parse_with_lark(plan_grammar(schema), plan())
    assert '"{\\"plan\\":[]}"' in step_grammar(
        PlanMachine(schema), PlanMachine(schema).initial(), 99
    )


def test_the_start_offers_what_is_admissible(machine: PlanMachine) -> None:
    text = step_grammar(machine, machine.initial(), 500)
    assert text.splitlines()[0] == 'start: "{\\"plan\\":[{\\"id\\":\\"a\\",\\"tool\\":\\"" next'
    assert '"login\\",' in text
    assert "get_order" not in text


def test_emitted_bytes_are_not_asked_for_again(machine: PlanMachine) -> None:
    state = machine.apply(machine.initial(), Step("a", "login"))
    between = step_grammar(machine, state, 500).splitlines()[0]
    assert between == 'start: "]}" | ",{\\"id\\":\\"b\\",\\"tool\\":\\"" next'
    begun = step_grammar(machine, state, 500, b',{"id').splitlines()[0]
    assert begun == 'start: "\\":\\"b\\",\\"tool\\":\\"" next'
    assert step_grammar(machine, state, 500, b',{"id":"b","tool":"').startswith("start: next\n")
    assert step_grammar(machine, state, 500, b"]") == 'start: "}"\n'


def test_bound_keys_are_subtracted(machine: PlanMachine) -> None:
    state = machine.apply(machine.initial(), Step("a", "login"))
    state = machine.apply(state, Step("b", "get_order", {"number": 1042}))
    assert 'INT_NEW: INT & ~("1042")' in step_grammar(machine, state, 500)


def test_what_does_not_fit_is_not_offered(machine: PlanMachine) -> None:
    state = machine.apply(machine.initial(), Step("a", "login"))
    assert "get_order" in step_grammar(machine, state, 200)
    # 19 for the opening, 34 for the call, 53 for the cheapest use and the end of the plan
    assert "get_order" in step_grammar(machine, state, 106)
    assert "get_order" not in step_grammar(machine, state, 105)
    assert step_grammar(machine, state, 2) == 'start: "]}"\n'


def test_a_tight_budget_shortens_strings_before_it_hides_tools(machine: PlanMachine) -> None:
    state = machine.initial()
    for i, (tool, args) in enumerate(
        [
            ("login", {}),
            ("get_order", {"number": 1042}),
            ("find_customer", {"email": "a@b.cd"}),
            ("confirm", {"customer": "$c.id", "order": "$b.data.id"}),
        ]
    ):
        state = machine.apply(state, Step("abcd"[i], tool, args))
    sizes = [budget for budget in range(2, 300) if "refund" in step_grammar(machine, state, budget)]
    assert sizes == list(range(min(sizes), 300))
    assert "STRING_24" in step_grammar(machine, state, 299)
    assert "STRING" not in step_grammar(machine, state, min(sizes))


@pytest.mark.parametrize(
    ("budget", "emitted", "message"),
    [
        (45, b"", "after 0 steps: a legal end takes 46 bytes, 45 are left; give a larger budget"),
        (500, b"]", r"nothing legal starts with '\]'; pass what was written"),
        (500, b"{}", "nothing legal starts with '{}'"),
    ],
)
def test_impossible_requests_are_refused(
    machine: PlanMachine, budget: int, emitted: bytes, message: str
) -> None:
    with pytest.raises(DomainError, match=message):
        step_grammar(machine, machine.initial(), budget, emitted)


def test_a_dead_end_is_named(machine: PlanMachine) -> None:
    state = machine.apply(machine.initial(), Step("a", "login"))
    for step, number in zip("bcd", (1001, 1002, 1003), strict=True):
        state = machine.apply(state, Step(step, "get_order", {"number": number}))
    state = machine.apply(state, Step("e", "find_customer", {"email": "a@b.cd"}))
    with pytest.raises(DomainError, match="after 5 steps: is a dead end"):
        step_grammar(machine, state, 10_000)


def test_every_level_of_a_key_leaves_one_for_each_slot(shop: PlanSchema) -> None:
    data = schema_data(shop)
    data["tools"]["get_order"]["args"]["properties"]["number"] = {"type": "integer", "minimum": 100}
    levels = PlanMachine(parse_schema(data)).texts["get_order"].levels
    for level in levels:
        assert isinstance(level.rule, Seq)
        key = next(item for item in level.rule.items if isinstance(item, Slot)).general
        assert (count_texts(key) or 0) >= 3
    # the tightest bounds alone would leave the one key 100
    assert len(levels) > 1


def test_two_types_with_keys_of_one_form_leave_out_their_own() -> None:
    """Both keys are short texts; each type has bound another one."""
    word = {"type": "string", "maxLength": 3}
    tool = {"args": {"type": "object", "properties": {"w": word}, "required": ["w"]}}
    machine = PlanMachine(
        parse_schema(
            {
                "domain": "two",
                "objects": {"one": {"slots": 2}, "other": {"slots": 2}},
                "tools": {
                    "find_one": {**tool, "binds": {"object": "one", "key": "w"}},
                    "find_other": {**tool, "binds": {"object": "other", "key": "w"}},
                },
            }
        )
    )
    state = machine.apply(machine.initial(), Step("a", "find_one", {"w": "x"}))
    state = machine.apply(state, Step("b", "find_other", {"w": "y"}))
    lines = step_grammar(machine, state, 900).splitlines()
    names = [line.partition(":")[0] for line in lines]
    assert len(set(names)) == len(names)
    assert sum("& ~(" in line for line in lines) == 2
