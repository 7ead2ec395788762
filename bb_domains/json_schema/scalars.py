"""String and number clauses to literals and terminals."""

from __future__ import annotations

import json
from fractions import Fraction
from math import lcm

from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.clauses import Booleans, Clause, Numbers, Strings
from bb_domains.json_schema.expand import chosen_texts, string_language
from bb_domains.json_schema.numbers import decimal_text, integer_limits, number_language
from bb_domains.json_schema.regex import Language
from bb_domains.json_schema.rules import (
    MOST_BITS,
    Grammar,
    Option,
    json_literal,
    lark_literal,
)

_MOST_LISTED = 256


def string_options(grammar: Grammar, strings: Strings) -> list[Option]:
    """The texts of a string clause, as options of its value's rule."""
    if strings.chosen is not None:
        return [Option(json_literal(text)) for text in chosen_texts(strings)]
    return [Option(grammar.terminal(string_language(strings), quoted=True))]


def number_options(grammar: Grammar, numbers: Numbers) -> list[Option]:
    """The numerals of a number clause, as options of its value's rule."""
    if numbers.multiples:
        return _multiples(grammar, numbers)
    if numbers.low is not None and numbers.low == numbers.high:
        return [Option(lark_literal(decimal_text(numbers.low)))]
    language = number_language(numbers)
    if rx.is_empty(language):
        return []
    return [Option(grammar.terminal(language, quoted=False))]


def _multiples(grammar: Grammar, numbers: Numbers) -> list[Option]:
    scale = lcm(*(m.denominator for m in numbers.multiples))
    step = Fraction(lcm(*(int(m * scale) for m in numbers.multiples)), scale)
    low, high = numbers.low, numbers.high
    if low is not None and high is not None and (high - low) / step <= _MOST_LISTED:
        first, last = -(-low // step), high // step
        values = [step * i for i in range(int(first), int(last) + 1)]
        kept = [v for v in values if _is_inside(v, numbers)]
        return [Option(lark_literal(decimal_text(v))) for v in kept]
    if step.numerator == 1 and step.denominator in [10**k for k in range(1, 18)]:
        places = len(str(step.denominator)) - 1
        plain = Numbers(low, numbers.low_open, high, numbers.high_open, None)
        if low is None and high is None:  # without exponents
            plain = Numbers(low=Fraction(-(10**18)))
        shape = rx.cat(rx.repeat(rx.Chars(((45, 45),)), 0, 1), _digits(1, 19), _point(places))
        language = rx.intersection(number_language(plain), shape)
        return [Option(grammar.terminal(language, quoted=False))]
    if step == 1:
        plain = Numbers(low, numbers.low_open, high, numbers.high_open, True)
        return [Option(grammar.terminal(number_language(plain), quoted=False))]
    return [Option(_inline_number(numbers, step))]


def _digits(least: int, most: int) -> Language:
    return rx.repeat(rx.Chars(((48, 57),)), least, most)


def _point(places: int) -> Language:
    return rx.repeat(rx.cat(rx.literal("."), _digits(1, places)), 0, 1)


def _is_inside(value: Fraction, numbers: Numbers) -> bool:
    if value == numbers.low and numbers.low_open:
        return False
    return not (value == numbers.high and numbers.high_open)


def _inline_number(numbers: Numbers, step: Fraction) -> str:
    """Multiples as llguidance itself counts them."""
    is_whole = step.denominator == 1
    if is_whole:
        low, high = integer_limits(numbers)
        body = f'"type":"integer","minimum":{low},"maximum":{high}'
    else:
        body = '"type":"number"'
        for bound, is_open, name in (
            (numbers.low, numbers.low_open, "Minimum"),
            (numbers.high, numbers.high_open, "Maximum"),
        ):
            if bound is not None:
                keyword = f"exclusive{name}" if is_open else name.lower()
                body += f',"{keyword}":{decimal_text(bound)}'
    options = '"x-guidance":{"whitespace_flexible":false}'
    return f'%json {{{body},"multipleOf":{decimal_text(step)},{options}}}'


def finite_texts(clause: Clause) -> list[str] | None:
    """The JSON texts of a clause, if they are few and of one form each."""
    match clause:
        case None:
            return ["null"]
        case Booleans(allowed):
            return ["true" if b else "false" for b in sorted(allowed)]
        case Strings(chosen=chosen) if chosen is not None:
            return [json.dumps(text, ensure_ascii=False) for text in chosen_texts(clause)]
        case Numbers(integral=True, multiples=()):
            low, high = integer_limits(clause)
            return [str(n) for n in range(low, high + 1)] if high - low < MOST_BITS else None
        case Numbers(low=low, high=high) if low is not None and low == high:
            return [decimal_text(low)]
        case _:
            return None
