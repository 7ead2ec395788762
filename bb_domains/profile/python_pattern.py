"""Languages without complement as regular expressions that Python and lark read."""

from __future__ import annotations

from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.regex import Cat, Chars, Language, Or, Ranges, Repeat


def python_pattern(language: Language) -> str:
    """The expression, fit to stand between slashes in a Lark grammar."""
    match language:
        case Chars(ranges):
            return _class(ranges)
        case Cat(items):
            return "".join(map(python_pattern, items))
        case Or(items):
            return "(?:" + "|".join(sorted(map(python_pattern, items))) + ")"
        case Repeat(Chars(ranges), least, most):
            return _class(ranges) + _times(least, most)
        case Repeat(item, least, most):
            return f"(?:{python_pattern(item)}){_times(least, most)}"
    raise TypeError(f"{language!r} has a complement")


def _times(least: int, most: int | None) -> str:
    simple = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    if (least, most) in simple:
        return simple[least, most]
    return f"{{{least},{'' if most is None else most}}}"


def _class(ranges: Ranges) -> str:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _point(ranges[0][0])
    inverse = rx.invert(ranges)
    if inverse and len(inverse) < len(ranges):
        return f"[^{_spans(inverse)}]"
    return f"[{_spans(ranges)}]"


def _spans(ranges: Ranges) -> str:
    return "".join(_point(a) if a == b else f"{_point(a)}-{_point(b)}" for a, b in ranges)


def _point(point: int) -> str:
    char = chr(point)
    if char.isascii() and (char.isalnum() or char in " _,:;=@%~!'\"<>`"):
        return char
    if 0x20 < point < 0x7F:
        return f"\\{char}"  # lark turns \\x5b into a bare bracket
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
