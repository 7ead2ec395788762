"""Personal data: schemes by their published examples, what belongs to whom, redaction."""

from __future__ import annotations

import time

import pytest

from bb_domains.social.pii.checksums import ean_13, luhn, mod_11_10, mod_97_10, verhoeff
from bb_domains.social.pii.find import find_pii, redact_pii
from bb_domains.social.pii.numbers import IBAN_LENGTHS
from bb_domains.social.pii.people import Person
from bb_domains.social.pii.text import fold

ANA = Person("Ana Holm", "5 Mill Lane", "ana@example.org", "+44 7700 900123")
BO = Person("Bo Lund", "9 Mill Lane", "bo@example.org", "+44 7700 900456")


def kinds(text: str) -> list[str]:
    return [span.kind for span in find_pii(text)]


# Examples of the IBAN registry.
@pytest.mark.parametrize(
    "iban",
    [
        "AD12 0001 2030 2003 5910 0100",
        "AT61 1904 3002 3457 3201",
        "BE68 5390 0754 7034",
        "CH93 0076 2011 6238 5295 7",
        "DE89 3704 0044 0532 0130 00",
        "ES91 2100 0418 4502 0005 1332",
        "FR14 2004 1010 0505 0001 3M02 606",
        "GB29 NWBK 6016 1331 9268 19",
        "IT60 X054 2811 1010 0000 0123 456",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "NL91 ABNA 0417 1643 00",
        "NO93 8601 1117 947",
        "PL61 1090 1014 0000 0712 1981 2874",
        "SE45 5000 0000 0583 9825 7466",
    ],
)
def test_ibans_of_the_registry_are_found_and_a_wrong_digit_is_not(iban: str) -> None:
    assert kinds(f"pay to {iban} please") == ["iban"]
    assert kinds(f"pay to {iban.replace(' ', '')}.") == ["iban"]
    digit = iban[2]
    assert "iban" not in kinds(f"pay to {iban[:2]}{(int(digit) + 1) % 10}{iban[3:]} please")


def test_lengths_of_ibans_are_plausible() -> None:
    assert len(IBAN_LENGTHS) > 70
    assert all(15 <= length <= 33 for length in IBAN_LENGTHS.values())


def test_checks_agree_with_published_numbers() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert mod_97_10("3214282912345698765432161182")  # of ISO 13616's worked example
    assert mod_11_10("86095742719")
    assert verhoeff("2363")
    assert not verhoeff("2633")
    assert ean_13("4006381333931")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("card 4222222222222", "card"),
        ("card 3530111333300000", "card"),
        ("card 2223003122003222", "card"),
        ("Rijksregister 85.07.30-033.28", "national_id"),
        ("my NIF, a tax id, is 123456789", "national_id"),
        ("social security 219 09 9999", "national_id"),
        ("passport no. L01X00T47", "national_id"),
        ("from ::ffff:192.0.2.1", "ip"),
        ("from fe80::1ff:fe23:4567:890a.", "ip"),
    ],
)
def test_more_schemes(text: str, kind: str) -> None:
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "card 4111111111111112",
        "the sum is 219099999",
        "ssn 666-12-3456 cannot be",
        "NINO BG 12 34 56 C cannot be",
        "12345678A is no DNI",
        "301.299.999-99",
        "at 25:99 and ::",
        "on 0.0.0.0",
    ],
)
def test_what_fails_its_check_is_nothing(text: str) -> None:
    assert kinds(text) == []


def test_of_overlapping_pieces_the_longest_stays() -> None:
    text = "tax id 86 095 742 719"
    (span,) = find_pii(text)
    assert text[span.start : span.end] == "86 095 742 719"
    assert span.kind == "national_id"


def test_a_reader_may_see_what_is_their_own() -> None:
    people = (ANA, BO)
    text = "Ana Holm, 5 Mill Lane, ana@example.org, 07700 900123"
    assert len(find_pii(text, people)) == 4
    assert find_pii(text, people, own=ANA) == ()
    assert len(find_pii(text, people, own=BO)) == 4
    both = find_pii("Ana Holm and Bo Lund", people, own=ANA)
    assert [span.start for span in both] == [13]


def test_redaction_says_what_stood_there() -> None:
    text = "Ana Holm, born on 3 May 1990, ana@example.org"
    assert redact_pii(text, find_pii(text, (ANA,))) == "[name], born on [birth date], [email]"


def test_spans_are_over_the_original_text() -> None:
    text = "\u200bc\u200ball ０３０ ５５５\u200b０１２３ now"
    (span,) = find_pii(text)
    assert text[span.start : span.end] == "０３０ ５５５\u200b０１２３"
    assert fold(text).text == "call 030 5550123 now"


def test_nobody_is_known_by_one_name_or_none() -> None:
    people = (Person("Cher"), Person(""), Person("Bo Lund", "Mill Lane"))
    assert find_pii("Cher sang at Mill Lane", people) == ()


@pytest.mark.parametrize(
    "unit", ["a.", "+1", "1.", "a-", "a dot ", "call ", "DE89 ", "1 ", "f:", "("]
)
def test_long_texts_take_no_longer_than_they_are_long(unit: str) -> None:
    sizes = (5_000, 20_000)
    times_s = []
    for size in sizes:
        text = (unit * size)[:size]
        start_s = time.process_time()
        find_pii(text, (ANA,))
        times_s.append(time.process_time() - start_s)
    assert times_s[1] < 12 * times_s[0] + 0.1  # four times the text; quadratic would be sixteen
