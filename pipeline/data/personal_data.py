"""Personal data in text: found by patterns with checks, one detector per kind, and replaced by the kind's name.

Patterns find what has a form (an address, a number with a check digit); names of people have none and are not found.
Another detector, such as one of a library, is one more entry of `DETECTORS`.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["email", "phone", "credit_card", "iban", "ip_address", "ssn"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data at ``text[start:end]``."""

    kind: Kind
    start: int
    end: int


Detector = Callable[[str], Iterator[tuple[int, int]]]
"""Yields the places of one kind of personal data in a text, left to right."""


def luhn_valid(digits: str) -> bool:
    """Return whether the last digit is the check digit of ISO/IEC 7812-1 (Luhn)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_valid(text: str) -> bool:
    """Return whether the check digits of ISO 13616 are right (ISO 7064 mod 97-10). ``text`` has no spaces."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def _pattern(pattern: str, check: Callable[[str], bool] = bool, flags: re.RegexFlag = re.ASCII) -> Detector:
    compiled = re.compile(pattern, flags)

    def detect(text: str) -> Iterator[tuple[int, int]]:
        return (match.span() for match in compiled.finditer(text) if check(match[0]))

    return detect


def _longest(body: str, edge: str, check: Callable[[str], bool], flags: re.RegexFlag = re.ASCII) -> Detector:
    """Detect what ``body`` matches: from each start the longest text with ``edge`` behind it that passes ``check``.

    What stands behind a number (``12/25`` behind a card's) may look like more of it; the check digit tells its end.
    """
    pattern, behind = re.compile(body, flags), re.compile(edge, flags)

    def detect(text: str) -> Iterator[tuple[int, int]]:
        place = 0
        while match := pattern.search(text, place):
            start = match.start()
            ends = (
                end
                for end in range(match.end(), start, -1)
                if behind.match(text, end) and pattern.fullmatch(text, start, end) and check(text[start:end])
            )
            end = next(ends, None)
            if end is not None:
                yield start, end
            place = start + 1 if end is None else end

    return detect


_TERM_BEHIND: Final = re.compile(r"\s?[+*\u00d7\u00f7]\s?[\d$(]")
_RESULT_BEHIND: Final = re.compile(r"(?:\s?[-+*/\u00d7\u00f7]\s?[\d.,()$]{1,20}){0,4}\s?=\s?-?[\d$(<.]")
_TERM_BEFORE: Final = re.compile(r"(?:[\d)]\s?[+*=\u00d7\u00f7]\s?|[$\u20ac\u00a3]\s?|<<[^<>a-zA-Z]*)$")
_BEFORE = 40
"""Characters before a number in which a calculation is looked for."""


def _outside_calculations(detect: Detector) -> Detector:
    """Leave out terms of a calculation, such as ``500-100-2000 = -1600`` or GSM8K's ``<<500-100-2000``."""

    def calculated(text: str, start: int, end: int) -> bool:
        if _TERM_BEFORE.search(text[max(0, start - _BEFORE) : start]) or _TERM_BEHIND.match(text, end):
            return True
        operator = any(sign in text[start:end] for sign in "-/")
        return operator and _RESULT_BEHIND.match(text, end) is not None

    return lambda text: ((start, end) for start, end in detect(text) if not calculated(text, start, end))


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _is_card(text: str) -> bool:
    digits = _digits(text)
    return len(set(digits)) > 1 and luhn_valid(digits)


def _is_iban(text: str) -> bool:
    letters = re.sub(r"[ -]", "", text).upper()
    return 2 * len(_digits(letters)) >= len(letters) and iban_valid(letters)


def _is_phone(text: str) -> bool:
    return 7 <= len(_digits(text)) <= 15  # ITU-T E.164: at most 15 digits


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_ssn(text: str) -> bool:
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


_LETTERS: Final = r"0-9A-Za-z_\u00c0-\u024f\u0300-\u052f\u1e00-\u1eff"
"""Letters and digits of the scripts whose words stand apart: Latin with its accents, Greek and Cyrillic."""

_NUMBERED: Final = ("version", "version:", "release", "build", "firmware", "section", "clause", "chapter", "ec")
_NOT_NUMBERED: Final = "".join(f"(?<!(?i:{word}) )" for word in _NUMBERED)
"""Not behind a word that four numbers with dots between them follow."""

DETECTORS: Final[dict[Kind, Detector]] = {
    "email": _pattern(
        rf"(?<![{_LETTERS}.+-])[{_LETTERS}][{_LETTERS}.+-]*@"
        rf"[{_LETTERS}](?:[{_LETTERS}-]*[{_LETTERS}])?(?:\.[{_LETTERS}-]+)*"
        rf"\.(?:(?!\d)[{_LETTERS}]){{2,}}(?![{_LETTERS}-])"
    ),
    "iban": _longest(
        r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?",
        r"(?!\w)",
        _is_iban,
        re.ASCII | re.IGNORECASE,
    ),
    "credit_card": _outside_calculations(
        _longest(
            r"(?<![\w.-])(?:\d{13,19}|(?:\d{4}[ -]?){3}\d{1,4}(?:[ -]?\d{1,3})?"
            r"|\d{4}[ -]?\d{6}[ -]?\d{4,5})",  # American Express, Diners Club
            r"(?![\w-])(?!\.\d)",
            _is_card,
        )
    ),
    "ssn": _outside_calculations(_pattern(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])", _is_ssn)),
    "ip_address": _pattern(
        _NOT_NUMBERED
        + r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4})(?![\w:])(?!\.\d)",
        _is_ip,
    ),
    "phone": _outside_calculations(
        _pattern(
            r"(?<![\w.+-])(?<!\d{4} )(?<!\d,\d{3},)"
            r"(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,5}"
            r"|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"  # North America
            r"|0\d(?P<gap>[ .-])\d{2}(?:(?P=gap)\d{2}){3}(?![ .-]\d)"  # France
            r"|0(?!00)\d{2,4}[ /-]\d{3,4}[ -]?\d{3,4})(?![\w-])(?! \d{4}|\.\d)",
            _is_phone,
        )
    ),
}
"""Detectors in order of precedence: where two overlap, the earlier kind holds."""


def find(text: str, kinds: Collection[Kind]) -> list[Finding]:
    """Return the personal data in ``text``, left to right, without overlaps."""
    found: list[Finding] = []
    if not any(mark in text for mark in "@:") and not any(map(str.isdigit, text)):
        return found
    for kind, detect in DETECTORS.items():
        if kind in kinds:
            new = (Finding(kind, start, end) for start, end in detect(text))
            found += [item for item in new if all(item.end <= old.start or old.end <= item.start for old in found)]
    return sorted(found, key=lambda item: item.start)


def redact(text: str, kinds: Collection[Kind], counts: Counter[str]) -> str:
    """Return ``text`` with each finding replaced by its kind (``[EMAIL]``), and count the findings."""
    parts, last = [], 0
    for finding in find(text, kinds):
        parts += [text[last : finding.start], f"[{finding.kind.upper()}]"]
        last = finding.end
        counts[finding.kind] += 1
    return "".join([*parts, text[last:]]) if parts else text


def redact_value(value: Any, kinds: Collection[Kind], counts: Counter[str]) -> Any:
    """Return JSON data with every text in it redacted."""
    if isinstance(value, str):
        return redact(value, kinds, counts)
    if isinstance(value, dict):
        return {key: redact_value(item, kinds, counts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(redact_value(item, kinds, counts) for item in value)
    return value
