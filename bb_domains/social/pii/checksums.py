"""Check digits of published numbering schemes, over strings of ASCII digits and letters."""

from __future__ import annotations

from collections.abc import Sequence

# The multiplication of the dihedral group of order 10, the permutation, by J. Verhoeff (1969).
_DIHEDRAL = tuple(
    tuple(
        (a + b) % 5
        if a < 5 and b < 5
        else 5 + (a + b) % 5
        if a < 5
        else 5 + (a - b) % 5
        if b < 5
        else (a - b) % 5
        for b in range(10)
    )
    for a in range(10)
)
_PERMUTED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def luhn(digits: str) -> bool:
    """Luhn's sum over all digits, the check digit last (ISO/IEC 7812-1, annex B)."""
    total = 0
    for i, digit in enumerate(reversed(digits)):
        value = int(digit) << (i & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def mod_97_10(text: str) -> bool:
    """ISO 7064 MOD 97-10 over digits and capitals: the remainder is 1."""
    return int("".join(str(int(c, 36)) for c in text)) % 97 == 1


def mod_11_10(digits: str) -> bool:
    """ISO 7064 MOD 11,10 over digits, the check digit last."""
    product = 10
    for digit in digits[:-1]:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return (product + int(digits[-1])) % 10 == 1


def weighted(digits: str, weights: Sequence[int], modulus: int) -> bool:
    """Whether the sum of digits times weights is a multiple of the modulus."""
    return sum(int(d) * w for d, w in zip(digits, weights, strict=True)) % modulus == 0


def verhoeff(digits: str) -> bool:
    """Verhoeff's check over all digits, the check digit last."""
    state = 0
    for i, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(i % 8):
            value = _PERMUTED[value]
        state = _DIHEDRAL[state][value]
    return state == 0


def ean_13(digits: str) -> bool:
    """The check digit of a 13-digit article number (GS1)."""
    return weighted(digits, (1, 3) * 6 + (1,), 10)
