"""Languages as Lark terminals, as they are or written as JSON strings.

Every text has one JSON form here, that of RFC 8785: what need not be escaped is not. So a language
and its complement stay complements of each other when they are written as JSON.
"""

from __future__ import annotations

from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import And, Cat, Chars, Language, Not, Or, Ranges, Repeat

_SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '\\"', 92: "\\\\"}
_ESCAPED: Ranges = ((0, 31), (34, 34), (92, 92))


def lark_terminal(language: Language, quoted: bool) -> str:
    """The right-hand side of a terminal.

    Args:
        language: the texts.
        quoted: write them as JSON strings, with their quotes.
    """
    body = _expression(language, quoted)
    if _has_complement(language):
        # A complement also holds bytes that are no text at all.
        body = f"({body}) & {_expression(rx.ALL, quoted)}"
    return f'"\\"" ({body}) "\\""' if quoted else body


def _has_complement(language: Language) -> bool:
    match language:
        case Not():
            return True
        case Cat(items) | Or(items) | And(items):
            return any(_has_complement(item) for item in items)
        case Repeat(item):
            return _has_complement(item)
        case _:
            return False


def _is_plain(language: Language) -> bool:
    """Whether a regular expression without operators of Lark will do."""
    match language:
        case Not() | And():
            return False
        case Cat(items) | Or(items):
            return all(_is_plain(item) for item in items)
        case Repeat(item):
            return _is_plain(item)
        case _:
            return True


def _expression(language: Language, quoted: bool) -> str:
    if _is_plain(language):
        text = _pattern(language, quoted)
        return f"/{text}/" if text else '""'
    match language:
        case Not(item):
            return f"~({_expression(item, quoted)})"
        case And(items):
            parts = sorted(items, key=lambda item: (isinstance(item, Not), repr(item)))
            return " & ".join(f"({_expression(item, quoted)})" for item in parts)
        case Or(items):
            return " | ".join(f"({_expression(item, quoted)})" for item in _ordered(items))
        case Cat(items):
            return " ".join(f"({_expression(item, quoted)})" for item in items)
        case Repeat(item, least, most):
            return f"({_expression(item, quoted)})" + _times(least, most)
        case _:
            raise TypeError(f"{language!r} is plain")


def _times(least: int, most: int | None) -> str:
    simple = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    if (least, most) in simple:
        return simple[least, most]
    return f"{{{least}}}" if least == most else f"{{{least},{'' if most is None else most}}}"


def _ordered(items: frozenset[Language]) -> list[Language]:
    return sorted(items, key=repr)


def _pattern(language: Language, quoted: bool) -> str:
    match language:
        case Chars(ranges):
            return _class(ranges, quoted)
        case Cat(items):
            return "".join(_pattern(item, quoted) for item in items)
        case Or(items):
            return "(?:" + "|".join(_pattern(item, quoted) for item in _ordered(items)) + ")"
        case Repeat(item, least, most):
            return f"(?:{_pattern(item, quoted)})" + _times(least, most)
        case _:
            raise TypeError(f"{language!r} is not plain")


def _class(ranges: Ranges, quoted: bool) -> str:
    if not ranges:
        return "[^\\x{0}-\\x{10FFFF}]"
    if not quoted:
        return _raw_class(ranges)
    plain = rx.invert(rx.join([*rx.invert(ranges), *_ESCAPED]))
    options = [_raw_class(plain)] if plain else []
    for low, high in _ESCAPED:
        for point in range(low, high + 1):
            if any(a <= point <= b for a, b in ranges):
                options.append("\\\\" + _SHORT.get(point, f"u{point:04x}"))
    if len(options) > 20:
        options = [o for o in options if "u00" not in o] + [_control_escapes(ranges)]
    return options[0] if len(options) == 1 else "(?:" + "|".join(options) + ")"


def _control_escapes(ranges: Ranges) -> str:
    r"""The escapes `\u0000` to `\u001f` of those points that have no short one, by last digit."""
    rows = []
    for row in (0, 1):
        points = [row * 16 + d for d in range(16) if row * 16 + d not in _SHORT]
        chosen = [p for p in points if any(a <= p <= b for a, b in ranges)]
        if chosen:
            rows.append(f"{row}[{''.join(f'{p % 16:x}' for p in chosen)}]")
    return f"\\\\u00(?:{'|'.join(rows)})"


def _raw_class(ranges: Ranges) -> str:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _point(ranges[0][0])
    inverse = rx.invert(ranges)
    if len(inverse) < len(ranges):
        return f"[^{_spans(inverse)}]" if inverse else "(?s:.)"
    return f"[{_spans(ranges)}]"


def _spans(ranges: Ranges) -> str:
    return "".join(_point(a) if a == b else f"{_point(a)}-{_point(b)}" for a, b in ranges)


def _point(point: int) -> str:
    char = chr(point)
    if char.isascii() and (char.isalnum() or char in " _,:;=@%~!'\"<>`"):
        return char
    return f"\\x{{{point:X}}}"
