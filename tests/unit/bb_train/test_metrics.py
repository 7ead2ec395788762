import pytest

from bb_core.plan import parse_plan
from bb_runtime.decode import Decoded
from bb_train.metrics import missing_cost, score, summarise


def plan_of(*steps):
    parts = [f'{{"id":"{"abcdef"[i]}",{step}}}' for i, step in enumerate(steps)]
    return '{"plan":[' + ",".join(parts) + "]}"


LOGIN = '"tool":"login","args":{}'
TRACK = '"tool":"track_shipment","args":{"order":"$b.id"}'


def get(number):
    return f'"tool":"get_order","args":{{"number":{number}}}'


GOOD = plan_of(LOGIN, get(1042), TRACK)
REFERENCE = parse_plan(GOOD)


def answer(text, finished=True):
    return Decoded(text, finished, 20, 0.5)


def test_the_reference_itself_is_perfect(domain):
    found = score(domain, REFERENCE, answer(GOOD))
    assert (found.syntax, found.admissible, found.exact, found.ged) == (True, True, True, 0.0)


def test_a_wrong_argument_is_admissible_and_one_edit_away(domain):
    found = score(domain, REFERENCE, answer(plan_of(LOGIN, get(1043), TRACK)))
    assert (found.syntax, found.admissible, found.exact, found.ged) == (True, True, False, 1.0)


def test_a_forgotten_login_is_valid_syntax_but_not_admissible(domain):
    text = plan_of(get(1042), TRACK.replace("$b", "$a"))
    found = score(domain, REFERENCE, answer(text))
    assert (found.syntax, found.admissible, found.exact, found.ged) == (True, False, False, 1.0)


@pytest.mark.parametrize(
    "text",
    ["", "{", GOOD + "x", GOOD.replace("login", "logout"), GOOD.replace("1042", "99")],
)
def test_what_the_grammar_refuses_is_no_syntax(domain, text):
    found = score(domain, REFERENCE, answer(text))
    assert not found.syntax
    assert not found.admissible
    assert not found.exact


def test_an_unfinished_plan_fails_everything_though_its_text_is_right(domain):
    found = score(domain, REFERENCE, answer(GOOD, finished=False))
    assert (found.finished, found.syntax, found.admissible, found.exact) == (False,) * 4
    assert found.ged == missing_cost(REFERENCE) == 2 * (3 + 1)


def test_a_reference_into_nothing_costs_as_much_as_no_plan(domain):
    found = score(domain, REFERENCE, answer(GOOD.replace("$b.id", "$x.id")))
    assert found.ged == missing_cost(REFERENCE)
    assert not found.admissible


def test_a_cell_counts_and_divides(domain):
    good, bad = score(domain, REFERENCE, answer(GOOD)), score(domain, REFERENCE, answer("{"))
    cell = summarise([good, good, good, bad])
    assert cell.exact.mean == cell.syntax.mean == 0.75
    assert cell.finished.mean == 1.0
    assert cell.ged.mean == 2.0
    assert cell.tokens_per_s == 40.0
