from __future__ import annotations

import json
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from bb_core.errors import BBError
from bb_core.plan import Plan, Step, parse_plan, plan_graph, plan_text, rename_steps, step_id

NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans with canonical ids whose references and `after` point backwards."""
    steps = []
    for i in range(draw(st.integers(0, 4))):
        args = draw(st.dictionaries(NAMES, VALUES, max_size=3))
        earlier = st.sampled_from([step_id(j) for j in range(i)]) if i else st.nothing()
        for other in draw(st.lists(earlier, max_size=2)) if i else []:
            args[f"ref_{other}"] = f"${other}.id"
        after = tuple(draw(st.lists(earlier, unique=True, max_size=2))) if i else ()
        steps.append(Step(step_id(i), draw(NAMES), args, after))
    return Plan(tuple(steps))


@settings(max_examples=50)
@given(plans())
def test_text_round_trips(plan: Plan) -> None:
    text = plan_text(plan)
    assert text.isascii()
    assert parse_plan(text) == plan
    assert plan_text(parse_plan(text)) == text


@settings(max_examples=50)
@given(plans(), st.sampled_from(["", " ", "\n\t"]))
def test_spaces_between_tokens_do_not_matter(plan: Plan, space: str) -> None:
    loose = json.dumps(json.loads(plan_text(plan)), indent=space or None)
    assert parse_plan(loose) == plan


@settings(max_examples=50)
@given(plans())
def test_canonical_plans_are_left_alone_by_renaming(plan: Plan) -> None:
    assert rename_steps(plan) == plan


@settings(max_examples=50)
@given(plans())
def test_the_graph_is_ordered_as_written(plan: Plan) -> None:
    graph = plan_graph(plan)
    assert list(graph) == [step.id for step in plan.steps]
    assert all(earlier < later for earlier, later in graph.edges)


@given(st.text(max_size=30) | st.binary(max_size=30).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_plan_or_an_error_of_ours(text: str) -> None:
    try:
        plan = parse_plan(text)
    except BBError:
        return
    assert parse_plan(plan_text(plan)) == plan
