import pytest

from seal.errors import StrategyError
from seal.strategies import STRATEGIES, SelfEditStrategy, get_strategy

IMPLICATIONS = get_strategy("implications")


def test_an_unknown_strategy_is_answered_with_the_known_ones():
    with pytest.raises(StrategyError, match="no strategy 'rewrit'; choose one of: implications"):
        get_strategy("rewrit")
    assert StrategyError.exit_code == 2


def test_strategies_are_named_as_they_are_listed():
    for name, strategy in STRATEGIES.items():
        assert isinstance(strategy, SelfEditStrategy)
        assert strategy.name == name


@pytest.mark.parametrize(
    ("raw", "edits"),
    [
        ("", []),
        (" \n\n\t", []),
        ("1. One.\n2) Two.\n(3) Three.\n4: Four.", ["One.", "Two.", "Three.", "Four."]),
        ("- One.\n* Two.\n• Three.\n– Four.", ["One.", "Two.", "Three.", "Four."]),
        (
            " The list was begun by the prompt.\n2. Two.",
            ["The list was begun by the prompt.", "Two."],
        ),
        ("1874 was the year.\n3.5 metres deep.", ["1874 was the year.", "3.5 metres deep."]),
        ("-5 degrees were measured.", ["-5 degrees were measured."]),
        ("1.\n2. \nThree.", ["Three."]),
        ("<think>\nperhaps\n</think>\n\n1. One.", ["One."]),
        ("One.\r\nTwo.", ["One.", "Two."]),
        ("1. 水は冷たい。\n2. Вода холодна.", ["水は冷たい。", "Вода холодна."]),
        ("One.\n\nPassage:\nThe next one\n\nStatements", ["One."]),
        ("One.\nStatements that follow from the passage:\n1. No.", ["One."]),
    ],
)
def test_parse_output(raw, edits):
    assert IMPLICATIONS.parse_output(raw) == edits
