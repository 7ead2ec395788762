"""Keys that are spent: two steps of a plan may not bind the same object.

A token is forbidden as soon as nothing but a key that is bound already could follow. What may
follow is asked of the key's own pattern, by `regex` and its partial matches [Barnett,
https://github.com/mrabarnett/mrab-regex], so no grammar has to be made for each set of keys.
"""

from __future__ import annotations

from functools import lru_cache

import regex  # type: ignore[import-untyped]

from bb_domains.rules import Alt, Lit, Rule, Rx


@lru_cache(maxsize=4096)
def spent_beginnings(general: Rule, taken: frozenset[str]) -> tuple[bytes, ...]:
    """The shortest texts after which a key can only become one that is taken already.

    Args:
        general: the form of keys.
        taken: keys' texts.

    Returns:
        Beginnings of keys; where a key that is taken is the beginning of others, it stands here
        with what would end it.
    """
    pattern = regex.compile(_pattern(general))

    def is_open(text: str) -> bool:
        """Whether a key that is not taken begins like this."""
        if text not in taken and pattern.fullmatch(text):
            return True
        following = {key[len(text)] for key in taken if key.startswith(text) and key != text}
        for char in _following(text):
            longer = text + char
            if char in following:
                continue
            if pattern.fullmatch(longer, partial=True):
                return True
        return any(is_open(text + char) for char in following)

    found: set[bytes] = set()
    for key in taken:
        if is_open(key):
            found |= {f"{key}{end}".encode() for end in ",}"}
            continue
        spent = key
        while len(spent) > 1 and not is_open(spent[:-1]):
            spent = spent[:-1]
        found.add(spent.encode())
    return tuple(sorted(found))


def _pattern(general: Rule) -> str:
    match general:
        case Rx(_, pattern):
            return pattern
        case Lit(text):
            return str(regex.escape(text))
        case Alt(items):
            return "|".join(f"(?:{_pattern(item)})" for item in items)
    raise AssertionError(f"a key is a scalar, not {general}")


_TEXT = "a0.e-_" + "".join(chr(c) for c in range(0x20, 0x7F))
_NUMBER = "0123456789.-"


def _following(text: str) -> str:
    """Characters that might continue a key; what a string's end would be followed by is none."""
    if not text.startswith('"'):
        return _NUMBER if text[:1] in _NUMBER else _NUMBER + _TEXT
    return "" if len(text) > 1 and text.endswith('"') and not text.endswith('\\"') else _TEXT
