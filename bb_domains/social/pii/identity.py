"""National identity, tax and insurance numbers, passports, and dates of birth.

A scheme whose own form and check digits leave little to chance is found wherever it stands; a bare
row of digits, which one random number in ten or so would pass, only after a word such as `tax id`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from bb_domains.social.pii.checksums import (
    ean_13,
    luhn,
    mod_11_10,
    verhoeff,
    weighted,
)
from bb_domains.social.pii.span import Span
from bb_domains.social.pii.text import before

_CUE = re.compile(
    r"\b(?:ssn|social|tax|steuer|tin|nin|national|id|identity|insurance|nhs|bsn|"
    r"burgerservicenummer|pesel|cpf|aadhaar|personnummer|passport|ni|citizen)\b[^.!?]{0,24}$",
    re.I,
)
_PASSPORT = re.compile(
    r"\b(?:passport|reisepass|(?:personal)?ausweis|(?:id|identity) card|driving licen[cs]e)\b"
    r"(?: (?:no|nr)\b\.)?[^.!?\d]{0,16}?\b(?=[A-Z]{0,2}\d)([A-Z0-9]{6,9})\b",
    re.I,
)
_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    "|sep(?:tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_BORN = re.compile(
    r"\b(?:born(?: on)?|date of birth|d\.?o\.?b\.?|birth ?(?:day|date))\b[^.!?\d]{0,14}?"
    rf"(\d{{4}}-\d\d?-\d\d?|\d\d?[./-]\d\d?[./-](?:\d{{4}}|\d\d)"
    rf"|\d\d?(?:st|nd|rd|th)? (?:of )?(?:{_MONTHS}),? \d{{4}}"
    rf"|(?:{_MONTHS})\.? \d\d?(?:st|nd|rd|th)?,? \d{{4}})\b",
    re.I,
)
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU_LETTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
# Values of characters at odd places (counted from 1) of an Italian codice fiscale: those of the
# digits are those of A to J.
_FISCALE_LETTERS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10)
_FISCALE_ODD = {
    character: value
    for alphabet in ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for character, value in zip(alphabet, (*_FISCALE_LETTERS, 22, 25, 24, 23), strict=False)
}


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _ssn(d: str) -> bool:
    return d[:3] not in ("000", "666") and d[0] != "9" and d[3:5] != "00" and d[5:] != "0000"


def _steuer_id(d: str) -> bool:
    counts = sorted(d[:10].count(digit) for digit in set(d[:10]))
    return d[0] != "0" and counts[-1] in (2, 3) and counts.count(1) >= 7 and mod_11_10(d)


def _nir(d: str) -> bool:
    body, key = d[:13].replace("2A", "19").replace("2B", "18"), d[13:]
    in_year = 1 <= int(d[3:5]) <= 12 or int(d[3:5]) >= 20
    return in_year and int(key) == 97 - int(body) % 97


def _dni(d: str) -> bool:
    number = d[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI_LETTERS[int(number) % 23] == d[-1]


def _fiscale(d: str) -> bool:
    total = sum(_FISCALE_ODD[c] for c in d[:15:2])
    total += sum(int(c) if c.isdigit() else ord(c) - ord("A") for c in d[1:15:2])
    return chr(ord("A") + total % 26) == d[15]


def _bsn(d: str) -> bool:
    return int(d) > 9_999_999 and weighted(d, (9, 8, 7, 6, 5, 4, 3, 2, -1), 11)


def _pesel(d: str) -> bool:
    month, century = int(d[2:4]) % 20, (1900, 2000, 2100, 2200, 1800)[int(d[2:4]) // 20]
    born = _is_date(century + int(d[:2]), month, int(d[4:6])) if month else False
    return born and weighted(d, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10)


def _personnummer(d: str) -> bool:
    return _is_date(2000 + int(d[:2]), int(d[2:4]), int(d[4:6])) and luhn(d)


def _cpf(d: str) -> bool:
    def digit(part: str) -> int:
        total = sum(int(c) * w for c, w in zip(part, range(len(part) + 1, 1, -1), strict=True))
        return total * 10 % 11 % 10

    return len(set(d)) > 1 and digit(d[:9]) == int(d[9]) and digit(d[:10]) == int(d[10])


def _rijksregister(d: str) -> bool:
    day = int(d[4:6])
    plausible = int(d[2:4]) <= 12 and day <= 31
    return plausible and any(int(c + d[:9]) % 97 + int(d[9:]) == 97 for c in ("", "2"))


def _hetu(d: str) -> bool:
    born = _is_date(2000 + int(d[4:6]), int(d[2:4]), int(d[:2]))
    return born and _HETU_LETTERS[int(d[:6] + d[7:10]) % 31] == d[10]


def _nhs(d: str) -> bool:
    return len(set(d)) > 1 and weighted(d, (10, 9, 8, 7, 6, 5, 4, 3, 2, 1), 11)


def _nif(d: str) -> bool:
    check = 11 - sum(int(c) * w for c, w in zip(d[:8], range(9, 1, -1), strict=True)) % 11
    return int(d[8]) == (0 if check >= 10 else check)


@dataclass(frozen=True)
class _Scheme:
    """One numbering scheme.

    Attributes:
        name: what it is called.
        form: how it is written.
        check: over its digits and capitals; other signs are left out but those in `keep`.
        cue: whether it counts only after a word that announces such a number.
        keep: signs that belong to the number.
    """

    name: str
    form: re.Pattern[str]
    check: Callable[[str], bool]
    cue: bool = False
    keep: str = ""


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w+.-])(?:{pattern})(?!\w|[.-]\w)", re.I)


_SCHEMES = (
    _Scheme("US SSN", _form(r"\d{3}-\d{2}-\d{4}"), _ssn),
    _Scheme("US SSN", _form(r"\d{3} ?\d{2} ?\d{4}"), _ssn, cue=True),
    _Scheme(
        "UK NINO",
        _form(
            r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
            r" ?\d\d ?\d\d ?\d\d ?[A-D]"
        ),
        lambda d: True,
    ),
    _Scheme("UK NHS", _form(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), _nhs, cue=True),
    _Scheme("DE Steuer-ID", _form(r"\d{2} ?\d{3} ?\d{3} ?\d{3}"), _steuer_id, cue=True),
    _Scheme("FR NIR", _form(r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d"), _nir),
    _Scheme("ES DNI", _form(r"(?:\d{8}|[XYZ]-?\d{7})-?[A-HJ-NP-TV-Z]"), _dni),
    _Scheme(
        "IT codice fiscale", _form(r"[A-Z]{6} ?\d\d[A-EHLMPR-T]\d\d ?[A-Z]\d{3}[A-Z]"), _fiscale
    ),
    _Scheme("NL BSN", _form(r"\d{4}\.?\d\d\.?\d{3}|\d{9}"), _bsn, cue=True),
    _Scheme("PL PESEL", _form(r"\d{11}"), _pesel, cue=True),
    _Scheme("SE personnummer", _form(r"\d{6}[-+]\d{4}"), _personnummer),
    _Scheme("CH AHV", _form(r"756\.?\d{4}\.?\d{4}\.?\d\d"), ean_13),
    _Scheme("BR CPF", _form(r"\d{3}\.\d{3}\.\d{3}-\d\d"), _cpf),
    _Scheme("BR CPF", _form(r"\d{11}"), _cpf, cue=True),
    _Scheme("IN Aadhaar", _form(r"[2-9]\d{3}([ -])\d{4}\1\d{4}"), verhoeff),
    _Scheme("IN Aadhaar", _form(r"[2-9]\d{11}"), verhoeff, cue=True),
    _Scheme("BE Rijksregister", _form(r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d"), _rijksregister),
    _Scheme("FI hetu", _form(r"\d{6}[-+A-FYXWVU]\d{3}[0-9A-Y]"), _hetu, keep="-+"),
    _Scheme("PT NIF", _form(r"[1-3]\d{2} ?\d{3} ?\d{3}"), _nif, cue=True),
)


def find_national_ids(text: str) -> Iterator[Span]:
    """Identity, tax and insurance numbers of sixteen countries, and passports."""
    for scheme in _SCHEMES:
        for match in scheme.form.finditer(text):
            kept = "".join(c for c in match[0].upper() if c.isalnum() or c in scheme.keep)
            cued = not scheme.cue or _CUE.search(before(text, match.start()))
            if cued and scheme.check(kept):
                yield Span("national_id", *match.span())
    for match in _PASSPORT.finditer(text):
        yield Span("national_id", *match.span(1))


def find_birth_dates(text: str) -> Iterator[Span]:
    """Full dates that are said to be of a birth."""
    for match in _BORN.finditer(text):
        yield Span("birth_date", *match.span(1))
