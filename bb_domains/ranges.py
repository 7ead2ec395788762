"""Regular expressions of number ranges in canonical decimal text.

An integer is written `0`, `-7`, `1042`: no plus sign, no leading zero, no `-0`. A decimal with two
places is written as the shortest text: `40`, `25.5`, `25.05`; never `40.0`, `25.50` or `-0`. That
is what `json.dumps(json.loads(text))` leaves as it is, so each number has exactly one text.
"""

from __future__ import annotations

_ANY_FRACTION = r"(\.([0-9][1-9]|[1-9]))?"


def integer_pattern(low: int, high: int) -> str:
    """The integers low..high, longest texts first.

    Raises:
        ValueError: the range is empty.
    """
    if low > high:
        raise ValueError(f"empty range {low}..{high}")
    parts: list[str] = []
    if low < 0:
        negative = natural_patterns(max(1, -high), -low)
        parts.append("-" + _group(negative))
    if high >= 0:
        parts.extend(natural_patterns(max(0, low), high))
    return _group(parts)


def hundredths_pattern(low: int, high: int) -> str:
    """The decimals low/100 .. high/100 in steps of 0.01, longest integer parts first.

    Raises:
        ValueError: the range is empty.
    """
    if low > high:
        raise ValueError(f"empty range {low}..{high} hundredths")
    parts: list[str] = []
    if low < 0:
        parts.append("-" + _group(_hundredths(max(1, -high), -low)))
    if high >= 0:
        parts.extend(_hundredths(max(0, low), high))
    return _group(parts)


def natural_patterns(low: int, high: int) -> list[str]:
    """Patterns that together match the integers low..high, 0 <= low <= high, longest first."""
    parts: list[str] = []
    for digits in range(len(str(high)), len(str(low)) - 1, -1):
        first = max(low, 0 if digits == 1 else 10 ** (digits - 1))
        last = min(high, 10**digits - 1)
        if first <= last:
            parts.extend(_same_length(str(first), str(last)))
    return parts


def _same_length(low: str, high: str) -> list[str]:
    """Patterns of the digit strings low..high of one length."""
    if low == high:
        return [low]
    if len(low) == 1:
        return [_digit(low, high)]
    if low[0] == high[0]:
        return [low[0] + _group(_same_length(low[1:], high[1:]))]
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    parts: list[str] = []
    if low[1:] != "0" * rest:
        parts.append(low[0] + _group(_same_length(low[1:], "9" * rest)))
        first += 1
    tail: list[str] = []
    if high[1:] != "9" * rest:
        tail.append(high[0] + _group(_same_length("0" * rest, high[1:])))
        last -= 1
    if first <= last:
        parts.append(_digit(str(first), str(last)) + "[0-9]" + (f"{{{rest}}}" if rest > 1 else ""))
    return parts + tail


def _hundredths(low: int, high: int) -> list[str]:
    """Patterns of the decimals low/100..high/100, 0 <= low <= high, longest integer part first."""
    first, last = low // 100, high // 100
    if first == last:
        return [f"{first}{_fractions(low % 100, high % 100)}"]
    bottom, top = [], []
    if low % 100:
        bottom.append(f"{first}{_fractions(low % 100, 99)}")
        first += 1
    if high % 100 != 99:
        top.append(f"{last}{_fractions(0, high % 100)}")
        last -= 1
    middle = [p + _ANY_FRACTION for p in natural_patterns(first, last)] if first <= last else []
    # `top` has the most digits and `bottom` the fewest; integer parts are disjoint, so the first
    # alternative that matches is the only one that can match this much.
    return top + middle + bottom


def _fractions(low: int, high: int) -> str:
    """Pattern of the fractions low..high of 100 with their point, shortest form; 0 is no text."""
    if (low, high) == (0, 99):
        return _ANY_FRACTION
    texts = [f"{n:02d}" for n in range(max(low, 1), high + 1) if n % 10]
    texts += [str(n // 10) for n in range(max(low, 1), high + 1) if n % 10 == 0]
    if not texts:
        return ""
    point = r"\." + _group(_by_first_digit(texts))
    return f"({point})?" if low == 0 else point


def _by_first_digit(texts: list[str]) -> list[str]:
    """Join digit strings of length 2 that end alike; those of length 1 come last."""
    first_digits: dict[str, list[str]] = {}
    for digit in "0123456789":
        seconds = [t[1] for t in texts if len(t) == 2 and t[0] == digit]
        if seconds:
            first_digits.setdefault(_class(seconds), []).append(digit)
    parts = [_class(firsts) + seconds for seconds, firsts in first_digits.items()]
    singles = [t for t in texts if len(t) == 1]
    return [*parts, _class(singles)] if singles else parts


def _class(digits: list[str]) -> str:
    """A character class; three or more digits in a row are written as a range."""
    if len(digits) > 2 and ord(digits[-1]) - ord(digits[0]) == len(digits) - 1:
        return f"[{digits[0]}-{digits[-1]}]"
    return digits[0] if len(digits) == 1 else f"[{''.join(digits)}]"


def _digit(low: str, high: str) -> str:
    return low if low == high else f"[{low}-{high}]"


def _group(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "(" + "|".join(parts) + ")"
