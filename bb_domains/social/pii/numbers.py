"""Numbers of a person that are checked by their own arithmetic: IBAN, cards, telephones, IP."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from bb_domains.social.pii.checksums import luhn, mod_97_10
from bb_domains.social.pii.span import Span
from bb_domains.social.pii.text import before

# Lengths by country, from the IBAN registry of ISO 13616.
IBAN_LENGTHS: dict[str, int] = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA",
        30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip

# Country codes of ITU-T E.164; those of two digits that have further digits are spelt out.
_CALLING = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2[1-689]\d|35\d|37\d|38[0-25-79]|42[0134]|50\d|59\d|6[7-9]\d|80[08]|85[02356]|87[0-38]"
    r"|88[0-368]|96\d|97\d|99\d"
)
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11,29}")
_CARD = re.compile(r"(?<![\w+.-])\d(?:[ .-]?\d){12,18}(?!\w|[.-]\d)")
_INTERNATIONAL = re.compile(
    r"(?<![\w+])(?<!\d[ -])(?:\+|00)[ (]?[1-9](?:[ ()./-]{0,3}\d){6,14}(?!\d)"
)
_LOCAL = re.compile(
    r"(?<![\w+.,/:#$€£-])(?:\((?=\d+\)))?\d(?:[ ()./-]{0,2}\d){5,13}(?![\d%]|[.,:/-]\d)"
)
_NANP = re.compile(r"(?:1[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}")
_TRUNK = re.compile(r"\(?0[1-9]\d{1,4}\)?[ /-](?:\d[ -]?){4,9}\d")
_CALL_CUE = re.compile(
    r"(?:\b(?:tel(?:ephone)?|phone|mobile|cell|fax|whatsapp|signal|handy|telefon|ring|call|dial"
    r"|sms|text (?:me|him|her|us|them)|reach(?:ed)?)\b)[^.!?\d+]{0,28}$",
    re.I,
)
_OTHER_CUE = re.compile(
    r"(?:\b(?:order|invoice|ticket|tracking|article|item|ref(?:erence)?|case|part|serial|isbn|ean"
    r"|account|version|no|nr)\b\.?|#)[^.!?\d]{0,12}$",
    re.I,
)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})*[ .]000(?!\d)")
_YEARS = re.compile(r"(?:19|20)\d\d[-/ ](?:19|20)\d\d(?!\d)")
_DATE = re.compile(r"(?:\d{4}([-/. ])\d{1,2}\1\d{1,2}|\d{1,2}([-/. ])\d{1,2}\2\d{2,4})(?!\d)")
_NO_NUMBERS = (_THOUSANDS, _YEARS, _DATE)  # of telephones
_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)(?!\.\d)")
_V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*[0-9A-Fa-f:](?![\w:])")
_LONG_GROUP = re.compile(r"[0-9A-Fa-f]{3}|^::|\d\.\d")
_VERSION_CUE = re.compile(r"(?:\bv|\bversion|\brelease|\bbuild|\bfirmware|\bsection)[ .:]*$", re.I)


def digits_of(text: str) -> str:
    """The ASCII digits of a text."""
    return "".join(character for character in text if character in "0123456789")


def find_ibans(text: str) -> Iterator[Span]:
    """International bank account numbers (ISO 13616), grouped or not."""
    for match in _IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2].upper())
        end, seen = match.start(), 0
        while length and seen < length and end < match.end():
            seen += text[end] not in " -"
            end += 1
        whole = "".join(c for c in text[match.start() : end] if c not in " -").upper()
        inside = end < len(text) and text[end].isalnum()
        if seen == length and not inside and mod_97_10(whole[4:] + whole[:4]):
            yield Span("iban", match.start(), end)


def find_cards(text: str) -> Iterator[Span]:
    """Payment cards: a known issuer range of the right length, and Luhn's check."""
    for match in _CARD.finditer(text):
        digits = digits_of(match[0])
        if _issuer_fits(digits) and luhn(digits) and len(set(digits)) > 1:
            yield Span("card", *match.span())


def _issuer_fits(digits: str) -> bool:
    two, four, n = int(digits[:2]), int(digits[:4]), len(digits)
    if digits[0] == "4":
        return n in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return n == 16
    if two in (34, 37):
        return n == 15
    if two in (36, 38, 39) or 300 <= int(digits[:3]) <= 305:
        return n in (14, 16, 19)
    if two == 35 or two == 62 or two == 65 or four == 6011 or 644 <= int(digits[:3]) <= 649:
        return n in (16, 17, 18, 19)
    return two in (50, 56, 57, 58, 63, 67) and n >= 16


def find_phones(text: str) -> Iterator[Span]:
    """Telephone numbers: with a country code, in a national form, or after a word such as `call`.

    A bare row of digits is one only after such a word.
    """
    for match in _INTERNATIONAL.finditer(text):
        digits = digits_of(match[0])
        digits = digits[2:] if match[0].startswith("00") else digits
        if 8 <= len(digits) <= 15 and _CALLING.match(digits):
            yield Span("phone", *match.span())
    for match in _LOCAL.finditer(text):
        lead, found = before(text, match.start()), match[0]
        n = len(digits_of(found))
        if not 6 <= n <= 13 or ipv4(found) or any(p.match(found) for p in _NO_NUMBERS):
            continue
        national = (_NANP.fullmatch(found) or _TRUNK.fullmatch(found)) and n >= 9
        if _CALL_CUE.search(lead) or (national and not _OTHER_CUE.search(lead)):
            yield Span("phone", *match.span())


def find_addresses(text: str) -> Iterator[Span]:
    """IP addresses, loopback and unspecified ones excepted; `version 1.2.3.4` is none."""
    for match in _V4.finditer(text):
        if ipv4(match[0]) and not _VERSION_CUE.search(before(text, match.start())):
            yield Span("ip", *match.span())
    for match in _V6.finditer(text):
        for end in (match.end(), match.end() - 1):  # the last colon may be punctuation
            found = text[match.start() : end]
            if _LONG_GROUP.search(found) and _names_a_host(found):
                yield Span("ip", match.start(), end)
                break


def ipv4(text: str) -> bool:
    """Whether the text is an IPv4 address of some machine."""
    return text.count(".") == 3 and _names_a_host(text)


def _names_a_host(text: str) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_unspecified)
