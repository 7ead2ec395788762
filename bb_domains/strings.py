r"""Terminals of JSON strings: plain text of a bounded length, and the formats we can keep.

Free strings are printable ASCII with the escapes `\"` and `\\` only, so each value has exactly
one text; their first character is not `$`, which belongs to references.
"""

from __future__ import annotations

from collections.abc import Callable

from bb_domains.rules import Rx

_CHAR = r'([ !#-\[\]-~]|\\["\\])'
_FIRST = r'([ !#%-\[\]-~]|\\["\\])'

_YEAR = "(19|20)[0-9]{2}"
_LEAP = "((19|20)(0[48]|[2468][048]|[13579][26])|2000)"
_DATE = (
    f"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    f"|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
_HEX = "[0-9a-f]"

LEAST_EMAIL = 6
"""Characters of the shortest address the email terminal matches, `a@b.cd`."""


def string_terminal(least: int, most: int) -> Rx:
    """Free strings of `least` to `most` characters, 0 <= least <= most."""
    if most == 0:
        return Rx("EMPTY", '""', 2, 2, count=1)
    rest = _FIRST + _repeat(_CHAR, max(least - 1, 0), most - 1)
    pattern = f'"({rest})?"' if least == 0 else f'"{rest}"'
    return Rx(f"STRING_{most}", pattern, 2 + least, 2 + 2 * most)


def date_terminal() -> Rx:
    """Dates of the years 1900 to 2099 that exist."""
    return Rx("DATE", f'"{_DATE}"', 12, 12)


def date_time_terminal() -> Rx:
    """Dates with a time in UTC, to the second: `2024-02-29T23:59:59Z`."""
    return Rx("DATE_TIME", f'"{_DATE}T{_TIME}"', 22, 22)


def uuid_terminal() -> Rx:
    """UUIDs in lower case."""
    return Rx("UUID", f'"{_HEX}{{8}}-({_HEX}{{4}}-){{3}}{_HEX}{{12}}"', 38, 38)


def email_terminal(most: int) -> Rx:
    """Lower-case addresses of at most `most` characters (at least 6): local@label[.label].tld.

    Lower case only, because two spellings of one address would be two handles to one customer.
    """
    tld = max(2, min(10, most // 5))
    rest = most - tld - 2
    label = max(1, rest * 2 // 5)
    forms = [_address(rest - label, f"{_label(label)}\\.", tld)]
    tld = min(tld, 6)
    rest = most - tld - 3
    label = rest // 4
    if label >= 1:
        forms.append(_address(rest - 2 * label, f"({_label(label)}\\.){{2}}", tld))
    body = forms[0] if len(forms) == 1 else f"({forms[0]}|{forms[1]})"
    return Rx(f"EMAIL_{most}", f'"{body}"', 2 + LEAST_EMAIL, 2 + most)


FORMATS: dict[str, Callable[[], Rx]] = {
    "date": date_terminal,
    "date-time": date_time_terminal,
    "uuid": uuid_terminal,
}
"""Formats of one fixed length."""

PLAIN_FORMATS = frozenset({"password", "binary"})
"""Formats that do not narrow the text of a string."""


def _address(local: int, labels: str, tld: int) -> str:
    start = "[a-z0-9]"
    if local == 2:
        start += "[a-z0-9]?"
    elif local > 2:
        start += "(" + _repeat("[a-z0-9._+-]", 0, local - 2) + "[a-z0-9])?"
    return f"{start}@{labels}[a-z]" + _repeat("[a-z]", 1, tld - 1)


def _label(most: int) -> str:
    if most == 1:
        return "[a-z0-9]"
    if most == 2:
        return "[a-z0-9]{1,2}"
    return "[a-z0-9](" + _repeat("[a-z0-9-]", 0, most - 2) + "[a-z0-9])?"


def _repeat(pattern: str, least: int, most: int) -> str:
    if most == 0:
        return ""
    if least == most:
        return pattern if most == 1 else f"{pattern}{{{most}}}"
    return f"{pattern}{{{least},{most}}}"
