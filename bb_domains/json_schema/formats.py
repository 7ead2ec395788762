"""Formats of strings as regular languages, each inside what its RFC allows.

A text of one of these languages has the format by RFC and by the validators at hand; some texts
that an RFC allows are left out (leap seconds, quoted local parts, zone identifiers).
"""

from __future__ import annotations

from collections.abc import Mapping

_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP = "(?:(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26]))|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?"
_TIME = f"{_CLOCK}(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = f"{_OCTET}(?:\\.{_OCTET}){{3}}"
_H16 = "[0-9a-fA-F]{1,4}"
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_ATOM = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
_PCT = "%[0-9a-fA-F]{2}"
_PCHAR = f"(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|{_PCT})"
_TAIL = f"(?:\\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"


def _ipv6() -> str:
    """All forms of RFC 4291, by the number of groups before and after the gap."""
    full = f"(?:{_H16}:){{7}}{_H16}"
    gaps = []
    for before in range(8):
        left = f"{_H16}(?::{_H16}){{{before - 1}}}" if before else ""
        most = 7 - before
        right = f"(?:{_H16}(?::{_H16}){{0,{most - 1}}})?" if most else ""
        gaps.append(f"{left}::{right}")
    return "(?:" + "|".join([full, *gaps]) + ")"


_HOST = f"(?:\\[{_ipv6()}\\]|{_IPV4}|{_LABEL}(?:\\.{_LABEL})*)"
_AUTHORITY = f"(?:(?:[a-zA-Z0-9._~!$&'()*+,;=:-]|{_PCT})*@)?{_HOST}(?::[0-9]{{1,5}})?"
_SCHEME = "[a-zA-Z][a-zA-Z0-9+.-]*"
_SEGMENTS = f"(?:/{_PCHAR}*)*"
_ROOTED = f"/(?:{_PCHAR}+{_SEGMENTS})?"
_URI = f"{_SCHEME}:(?://{_AUTHORITY}{_SEGMENTS}|{_ROOTED}|{_PCHAR}+{_SEGMENTS}){_TAIL}"
_PCHAR_NC = _PCHAR.replace("=:@", "=@")
_RELATIVE = f"(?://{_AUTHORITY}{_SEGMENTS}|{_ROOTED}|{_PCHAR_NC}+{_SEGMENTS}|){_TAIL}"
_VARIABLE = "[a-zA-Z0-9_]+(?:\\.[a-zA-Z0-9_]+)*(?::[1-9][0-9]{0,3}|\\*)?"
_EXPRESSION = f"\\{{[+#./;?&]?{_VARIABLE}(?:,{_VARIABLE})*\\}}"
_POINTER = "(?:/(?:[^~/]|~[01])*)*"
_DURATION_TIME = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DURATION_DATE = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_HEX4 = "[0-9a-fA-F]{4}"

_FORMATS: Mapping[str, str] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": f"P(?:{_DURATION_DATE}(?:{_DURATION_TIME})?|{_DURATION_TIME}|[0-9]+W)",
    "email": f"{_ATOM}(?:\\.{_ATOM})*@{_LABEL}(?:\\.{_LABEL})*",
    "hostname": f"{_LABEL}(?:\\.{_LABEL})*",
    "ipv4": _IPV4,
    "ipv6": _ipv6(),
    "uuid": f"[0-9a-fA-F]{{8}}-{_HEX4}-{_HEX4}-{_HEX4}-[0-9a-fA-F]{{12}}",
    "uri": _URI,
    "uri-reference": f"(?:{_URI}|{_RELATIVE})",
    "uri-template": f"(?:[a-zA-Z0-9._~!$&()*+,;=:@/?#\\[\\]-]|{_PCT}|{_EXPRESSION})*",
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
    "byte": "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
}

# Every ASCII form is an international one too.
STRING_FORMATS: Mapping[str, str] = {
    **_FORMATS,
    "idn-email": _FORMATS["email"],
    "idn-hostname": _FORMATS["hostname"],
    "iri": _URI,
    "iri-reference": _FORMATS["uri-reference"],
}
"""Patterns of whole texts, without anchors, that every regular expression dialect reads alike."""

PLAIN_FORMATS = frozenset({"password", "binary"})
"""Formats of OpenAPI that narrow no string."""

NUMBER_FORMATS: Mapping[str, tuple[int, int] | None] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "float": None,
    "double": None,
}
"""Formats of OpenAPI for numbers, with the range that each implies."""

WIDE_FORMATS: Mapping[str, str] = {
    "date": "^[0-9W-]{7,10}$",
    "time": ":",
    "date-time": "^[0-9]{4}-",
    "duration": "^P",
    "email": "@",
    "ipv4": "^[0-9.]*$",
    "ipv6": ":",
    "uuid": "^[0-9a-fA-F{}urn:-]*$",
    "uri": ":",
    "iri": ":",
    "json-pointer": "^(?:/|$)",
}
"""Patterns of which one is found in every text that some reader takes for the format."""
