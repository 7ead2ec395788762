"""Numbers as texts: the decimal numerals of an interval.

Numerals are bounded, so that every one is read exactly or to the nearest double, and ends: integers
have at most 18 digits unless the schema's bounds have more, other numbers 18 places and, where no
bound forbids it, an exponent of two digits. Integers are written without point and exponent.
"""

from __future__ import annotations

from fractions import Fraction

from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.clauses import Numbers, integer_bounds
from bb_domains.json_schema.ecma import pattern_language
from bb_domains.json_schema.regex import Language
from bb_domains.ranges import integer_pattern

_DIGITS = 18
_LARGEST = 10**_DIGITS - 1
_ANY_NUMBER = "-?(?:0|[1-9][0-9]{0,17})(?:\\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?"
_ANY_DIGITS = "[0-9]{0,18}"


def _whole(pattern: str) -> Language:
    return pattern_language(f"^(?:{pattern})$")


def integer_limits(numbers: Numbers) -> tuple[int, int]:
    """The least and largest integer that is written."""
    low, high = integer_bounds(numbers)
    if low is None:
        low = min(-_LARGEST, (high or 0) - _LARGEST)
    if high is None:
        high = max(_LARGEST, low + _LARGEST)
    return low, high


def number_language(numbers: Numbers) -> Language:
    """The numerals of an interval, its `multiples` left out of account."""
    if numbers.integral:
        low, high = integer_limits(numbers)
        return _whole(integer_pattern(low, high)) if low <= high else rx.NONE
    if numbers.low is None and numbers.high is None and numbers.integral is None:
        return _whole(_ANY_NUMBER)
    positive = _magnitudes(numbers.low, numbers.low_open, numbers.high, numbers.high_open)
    least = None if numbers.high is None else -numbers.high
    most = None if numbers.low is None else -numbers.low
    negative = _magnitudes(least, numbers.high_open, most, numbers.low_open, is_negative=True)
    found = rx.union(positive, rx.cat(rx.literal("-"), negative))
    if numbers.integral is False:
        found = rx.intersection(found, _whole("[^.]*\\.[0-9]*[1-9][0-9]*"))
    return found


def _magnitudes(
    low: Fraction | None,
    low_open: bool,
    high: Fraction | None,
    high_open: bool,
    is_negative: bool = False,
) -> Language:
    """Numerals without sign of the numbers from `low` to `high` that are not negative."""
    if low is None or low < 0 or (low == 0 and is_negative):
        low, low_open = Fraction(0), is_negative
    if high is None:
        high, high_open = Fraction(max(_LARGEST, 2 * low.__ceil__() + _LARGEST)), False
    if high < low or (high == low and (low_open or high_open)):
        return rx.NONE
    first, last = int(low), int(high)
    above = _fractions(low - first, low_open, is_lower=True)
    below = _fractions(high - last, high_open, is_lower=False)
    if first == last:
        return rx.cat(rx.literal(str(first)), _optional(rx.intersection(above, below)))
    parts = [
        rx.cat(rx.literal(str(first)), _optional(above)),
        rx.cat(rx.literal(str(last)), _optional(below)),
    ]
    if last - first > 1:
        middle = _whole(integer_pattern(first + 1, last - 1))
        parts.append(rx.cat(middle, _optional(_whole(_ANY_DIGITS))))
    return rx.union(*parts)


def _optional(digits: Language) -> Language:
    """Digits after a point; no point where there are none."""
    some = rx.intersection(digits, _whole("[0-9]{1,18}"))
    with_point = rx.NONE if rx.is_empty(some) else rx.cat(rx.literal("."), some)
    return rx.union(rx.EMPTY, with_point) if rx.is_nullable(digits) else with_point


def _fractions(bound: Fraction, is_open: bool, is_lower: bool) -> Language:
    """Digits after the point, perhaps none, of the fractions on one side of a bound."""
    digits = ""
    while bound:
        bound *= 10
        digits += str(int(bound))
        bound -= int(bound)
    # From the last digit: what may follow once all digits before were those of the bound.
    if is_lower:
        rest = _whole("[0-9]*[1-9][0-9]*") if is_open else _whole("[0-9]*")
    else:
        rest = rx.NONE if is_open else _whole("0*")
    for digit in reversed(digits):
        beyond = rx.NONE
        if is_lower and digit < "9":
            beyond = _whole(f"[{int(digit) + 1}-9][0-9]*")
        if not is_lower and digit > "0":
            beyond = _whole(f"[0-{int(digit) - 1}][0-9]*")
        same = rx.cat(rx.literal(digit), rest)
        # The digits may end here: zeros follow, which is less than the bound's next digits.
        ends = rx.NONE if is_lower else rx.EMPTY
        rest = rx.union(beyond, same, ends)
    return rest


def decimal_text(value: Fraction) -> str:
    """The shortest decimal numeral of a number that has one."""
    sign, value = ("-" if value < 0 else ""), abs(value)
    whole = int(value)
    rest, digits = value - whole, ""
    while rest and len(digits) < 400:
        rest *= 10
        digits += str(int(rest))
        rest -= int(rest)
    return f"{sign}{whole}" + (f".{digits}" if digits else "")
