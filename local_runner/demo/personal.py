"""Invented personal data for the synthetic messages: valid in form, reserved or impossible in fact.

E-mail addresses use the domains that RFC 2606 reserves, telephone numbers the range 555-0100 to 555-0199 that is
kept for fiction, card numbers carry a correct Luhn digit and IBANs correct check digits (ISO 13616), and IPv4
addresses come from a private range of RFC 1918.
"""

from __future__ import annotations

from random import Random
from typing import Final, Literal, get_args

PersonalKind = Literal["email", "phone", "credit_card", "iban", "ip_address"]
KINDS: Final[tuple[PersonalKind, ...]] = get_args(PersonalKind)

_SENTENCES: Final[dict[PersonalKind, tuple[str, ...]]] = {
    "email": ("Write to {v}.", "My address is {v}.", "Please answer to {v} only."),
    "phone": ("Call me at {v}.", "My number is {v}.", "I can be reached at {v} all day."),
    "credit_card": ("I paid with card {v}.", "The card was {v}.", "My card {v} is still valid."),
    "iban": ("My account is {v}.", "Use {v} for the bank transfer.", "The money left {v}."),
    "ip_address": ("Its address is {v}.", "The log names {v}.", "It answers at {v}."),
}
_NAMES: Final = ("anna", "ben", "clara", "david", "eva", "felix", "greta", "hugo", "ida", "jonas", "karla", "leo")
_SURNAMES: Final = ("abel", "brandt", "costa", "dubois", "ek", "fischer", "gomez", "horvat", "ivanov", "jansen")
_DOMAINS: Final = ("example.com", "example.org", "example.net")


def draw_sentence(kind: PersonalKind, random: Random) -> tuple[str, str]:
    """A sentence that holds one piece of personal data, and that piece as it is written there."""
    value = _DRAW[kind](random)
    return random.choice(_SENTENCES[kind]).format(v=value), value


def _email(random: Random) -> str:
    name, surname = random.choice(_NAMES), random.choice(_SURNAMES)
    return f"{name}.{surname}{random.randrange(100)}@{random.choice(_DOMAINS)}"


def _phone(random: Random) -> str:
    area, line = random.randint(201, 989), random.randint(100, 199)
    return random.choice((f"({area}) 555-0{line}", f"+1 {area} 555 0{line}", f"{area}-555-0{line}"))


def _card(random: Random) -> str:
    digits = [4, *(random.randrange(10) for _ in range(14))]
    digits.append(luhn_digit(digits))
    number = "".join(map(str, digits))
    return random.choice((number, " ".join(number[i : i + 4] for i in range(0, 16, 4))))


def luhn_digit(digits: list[int]) -> int:
    """The check digit that completes `digits` (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if position % 2 == 0 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


def _iban(random: Random) -> str:
    account = "".join(str(random.randrange(10)) for _ in range(18))
    # ISO 7064 MOD 97-10: the letters D and E count as 13 and 14, and the check digits themselves as 00.
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02d}{account}"


def _ip_address(random: Random) -> str:
    return f"192.168.{random.randrange(256)}.{random.randint(1, 254)}"


_DRAW: Final = {"email": _email, "phone": _phone, "credit_card": _card, "iban": _iban, "ip_address": _ip_address}
