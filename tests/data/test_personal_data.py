from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.personal_data import (
    DETECTORS,
    Kind,
    find,
    iban_valid,
    luhn_valid,
    redact,
    redact_value,
)

KINDS = tuple(DETECTORS)
IP_ONLY: tuple[Kind, ...] = ("ip_address",)


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("write to ada.lovelace+x@mail.example.org.", "email", "ada.lovelace+x@mail.example.org"),
        ("<a_b@example.co>", "email", "a_b@example.co"),
        # Visa's and American Express's published test numbers; the second has 15 digits
        ("card 4111 1111 1111 1111 please", "credit_card", "4111 1111 1111 1111"),
        ("378282246310005", "credit_card", "378282246310005"),
        ("4111-1111-1111-1111", "credit_card", "4111-1111-1111-1111"),
        # the examples of the IBAN registry for Germany, Britain and Norway (15 characters, the shortest)
        ("to DE89 3704 0044 0532 0130 00 today", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB29NWBK60161331926819", "iban", "GB29NWBK60161331926819"),
        ("NO9386011117947", "iban", "NO9386011117947"),
        ("from 192.168.0.1, twice", "ip_address", "192.168.0.1"),
        ("at 2001:db8::8a2e:370:7334 now", "ip_address", "2001:db8::8a2e:370:7334"),
        ("my number is 078-05-1120", "ssn", "078-05-1120"),
        ("call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("call +4930901820", "phone", "+4930901820"),
        ("(212) 555-0123", "phone", "(212) 555-0123"),
        ("room 5 212-555-0123 7 times", "phone", "212-555-0123"),
        ("030 1234 5678", "phone", "030 1234 5678"),
        ("1-800-555-1234", "phone", "1-800-555-1234"),
        ("call 1-415-555-2671.", "phone", "1-415-555-2671"),
        ("1 (415) 555-2671", "phone", "1 (415) 555-2671"),
        ("mon numéro: 06 12 34 56 78", "phone", "06 12 34 56 78"),
        ("06.12.34.56.78", "phone", "06.12.34.56.78"),
        # what stands behind a checked number is no part of it
        ("4111 1111 1111 1111 12/25", "credit_card", "4111 1111 1111 1111"),
        ("4111111111111111 123", "credit_card", "4111111111111111"),
        ("BE68 5390 0754 7034 EUR 100", "iban", "BE68 5390 0754 7034"),
        ("be68 5390 0754 7034", "iban", "be68 5390 0754 7034"),
        ("gb29nwbk60161331926819", "iban", "gb29nwbk60161331926819"),
        # nor what stands before it: from 12 on no end has a check digit
        ("order 12 4111 1111 1111 1111", "credit_card", "4111 1111 1111 1111"),
        ("josé@exemple.fr", "email", "josé@exemple.fr"),
        ("jose\u0301@exemple.fr", "email", "jose\u0301@exemple.fr"),
        ("иван@пример.рф", "email", "иван@пример.рф"),
        ("write to jo@müller.de!", "email", "jo@müller.de"),
        ("联系user@example.com谢谢", "email", "user@example.com"),
        ("server 1.2.3.4", "ip_address", "1.2.3.4"),
        # American Express's and Diners Club's published test numbers, grouped as they are printed
        ("3782 822463 10005", "credit_card", "3782 822463 10005"),
        ("3056-930902-5904", "credit_card", "3056-930902-5904"),
        ("41111111 11111111", "credit_card", "41111111 11111111"),
        # beside signs that are no calculation
        ("cc=4111-1111-1111-1111&exp=12", "credit_card", "4111-1111-1111-1111"),
        ("**4111-1111-1111-1111**", "credit_card", "4111-1111-1111-1111"),
        ("4111111111111111/12/25", "credit_card", "4111111111111111"),
        ("4111111111111111=2512101", "credit_card", "4111111111111111"),
        ("17,212-555-0123,ada", "phone", "212-555-0123"),
        ("tel=212-555-0123", "phone", "212-555-0123"),
        ("*212-555-0123*", "phone", "212-555-0123"),
        ("room 5 - 212-555-0123", "phone", "212-555-0123"),
        ("030/12345678", "phone", "030/12345678"),
        ("0049 304 5678", "phone", "0049 304 5678"),
    ],
)
def test_personal_data_is_found(text: str, kind: str, found: str) -> None:
    assert [(item.kind, text[item.start : item.end]) for item in find(text, KINDS)] == [(kind, found)]


@pytest.mark.parametrize(
    "text",
    [
        "a@b",  # no domain
        "meet me @home at 7",
        "4111 1111 1111 1112",  # Luhn fails
        "0000 0000 0000 0000",
        "DE89370400440532013001",  # mod 97 fails
        "version 1.2.3.400",
        "version 1.2.3.4",
        "Version: 1.2.3.4",
        "see section 1.2.3.4",
        "v1.2.3.4",
        "4155552671",  # ten digits may be anything
        "opens at 09 30 10 45 11 20",
        "win10 pcs with 4 gb and 16 gb",
        "be68 were sent home with last week",
        "release 10.4.2.1.7",
        "it is 12:30:45 now",
        "000-12-3456",
        "900-12-3456",
        "order 123456789",
        "in 2021-2022 and 10-12 weeks",
        "the 1990s, 3.14159265, 1,000,000",
        "ratio 3:2:1",
        # terms of calculations, each with a Luhn digit or the form of a phone's number
        "<<14000-3920-1000=9080>>9,080",
        "<<2000000-400000=1600000>>",
        "250000-100000-60000=90000.0",
        "5000-1000-1000-1003 = 1997",
        "<<5000-1000-1000-1003>>",
        "5000-1000-1000-1003*2",
        "10,440,000/290000 = <<1044000/290000=36>>",
        "it costs 10,440,000/290000",
        "500-100-2000=-1600",
        "$500-100-2000",
        "500-20-1000 + 3 = -517",
        "3*500-100-2000",
        "1 2 3 4 5 6 7 8 9 10 19",
        "methylesterase (EC 3.1.1.11) activity",
    ],
)
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert find(text, KINDS) == []


def test_where_two_kinds_overlap_the_earlier_holds() -> None:
    # fifteen digits with a Luhn digit, written as an international number
    assert [(item.kind, item.start) for item in find("+378282246310005", KINDS)] == [("credit_card", 1)]
    assert [(item.kind, item.start) for item in find("+378282246310005", ("phone",))] == [("phone", 0)]


def test_luhn() -> None:
    # 7992739871 with check digit 3: doubled from the right 2,6,14->5,8,... the sum is 70
    assert luhn_valid("79927398713")
    assert not any(luhn_valid(f"7992739871{digit}") for digit in "012456789")


def test_iban() -> None:
    assert iban_valid("GB82WEST12345698765432")  # the worked example of ISO 13616
    assert not iban_valid("GB82WEST12345698765423")  # two digits swapped


@given(st.text(), st.sets(st.sampled_from(KINDS)))
def test_findings_are_in_order_and_apart(text: str, kinds: set[Kind]) -> None:
    found = find(text, kinds)
    assert all(item.kind in kinds and item.start < item.end for item in found)
    assert all(left.end <= right.start for left, right in pairwise(found))


@given(st.lists(st.sampled_from(["a@example.org", "192.168.0.1", "hello", "4111111111111111", "\n"]), max_size=6))
def test_what_is_redacted_once_has_nothing_left(parts: list[str]) -> None:
    counts: Counter[str] = Counter()
    once = redact(" ".join(parts), KINDS, counts)
    assert find(once, KINDS) == []
    assert counts["email"] == parts.count("a@example.org") == once.count("[EMAIL]")
    assert counts["credit_card"] == parts.count("4111111111111111") == once.count("[CREDIT_CARD]")


def test_only_the_kinds_asked_for_are_redacted() -> None:
    counts: Counter[str] = Counter()
    assert redact("a@example.org 192.168.0.1", IP_ONLY, counts) == "a@example.org [IP_ADDRESS]"
    assert counts == {"ip_address": 1}


def test_texts_inside_json_data_are_redacted() -> None:
    value = {"to": ["a@example.org", 3, None], "args": ({"ip": "192.168.0.1"},)}
    counts: Counter[str] = Counter()
    assert redact_value(value, KINDS, counts) == {"to": ["[EMAIL]", 3, None], "args": ({"ip": "[IP_ADDRESS]"},)}
