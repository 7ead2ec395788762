"""Places of experts as text: bits of shared memory, and bits at computed addresses.

M[12]                    bit 12 of shared memory
S[3+2*M[8:4]]            state bit 3 + 2 * (the 4 bits of shared memory from bit 8 on)
M[6]?2                   written where output 2 of the circuit is 1
"""

from __future__ import annotations

import re

from bem_kernel.errors import ExpertError
from bem_kernel.experts.place import Field, Place, Scatter, Space

_PLACE = re.compile(r"([MS])\[([^?]*)\](?:\?([0-9]{1,9}))?")
_TERM = re.compile(r"([+-]?)(?:(?:([0-9]{1,15})\*)?M\[([0-9]{1,15}):([0-9]{1,3})\]|([0-9]{1,15}))")
_LETTER = {Space.STATE: "S", Space.SHARED: "M"}
_SPACE = {letter: space for space, letter in _LETTER.items()}


def is_place(text: str) -> bool:
    """Whether a word of a circuit's header is a place rather than a name."""
    return text[:2] in ("M[", "S[")


def parse_scatter(text: str) -> Scatter:
    """The place in a text, and the output that enables it.

    Raises:
        ExpertError: the text is no place, or a number in it is out of range.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise _unreadable(text)
    letter, body, enable = match.groups()
    base, terms, end = 0, [], 0
    for part in _TERM.finditer(body):
        sign, stride, offset, width, number = part.groups()
        if part.start() != end or (not sign and end):
            raise _unreadable(text)
        end = part.end()
        factor = -1 if sign == "-" else 1
        if number is not None:
            base += factor * int(number)
        else:
            terms.append((Field(int(offset), int(width)), factor * int(stride or 1)))
    if end != len(body) or not body:
        raise _unreadable(text)
    place = Place(_SPACE[letter], base, tuple(terms))
    return Scatter(place, None if enable is None else int(enable))


def place_text(place: Place) -> str:
    """The text of a place."""
    parts = [str(place.base)] if place.base or not place.terms else []
    for field, stride in place.terms:
        factor = "" if stride == 1 else f"{stride}*"
        parts.append(f"{factor}M[{field.offset}:{field.width}]")
    return f"{_LETTER[place.space]}[{'+'.join(parts).replace('+-', '-')}]"


def scatter_text(scatter: Scatter) -> str:
    """The text of a place that is written."""
    enable = "" if scatter.enable is None else f"?{scatter.enable}"
    return place_text(scatter.place) + enable


def _unreadable(text: str) -> ExpertError:
    return ExpertError(
        f"cannot read {text[:60]!r}",
        where="place",
        fix="write M[12], S[3+2*M[8:4]] with M[offset:width], and ?2 for an enabling output",
    )
