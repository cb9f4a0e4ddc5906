r"""Math answer: the final answer is the right number or expression, however it was reached."""

from __future__ import annotations

import re
from fractions import Fraction

from pipeline.core.errors import DataError
from pipeline.metrics.base import ItemMean

_NUMBER = re.compile(
    r"(?:(?<![\w)\]}%])[-+])?"  # behind a digit, a letter or a bracket it is an operator or a hyphen
    r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)"
    r"(?:[eE][-+]?\d+(?!\w))?"
)
_TEX = r"\\[dt]?frac\s*(?:\{-?\d+\}|\d)\s*(?:\{-?\d+\}|\d)"
_LAST = re.compile(
    rf"(?:(?<![\w)\]}}%])[-+])?(?:\d+\s*)?{_TEX}"
    r"|(?:(?<![\w)\]}%])[-+])?(?:(?<![\w.,/])\d+ +)?\d+/\d+(?!\d|\.\d|[eE][-+]?\d)"
    rf"|{_NUMBER.pattern}"
)
_FRACTION = re.compile(r"(-?)\\frac\{(-?\d+)\}\{(-?\d+)\}")
_RATIO = re.compile(r"(-?\d+)/(\d+)")
_MIXED = re.compile(r"(-?)(\d+)(?: (\d+)/(\d+)|\\frac\{(\d+)\}\{(\d+)\})")
"""A whole number and a fraction behind it: ``1 1/2``, ``1\\frac{1}{2}``."""

_GROUPED = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:\.\d+)?")
_LIST = re.compile(r"\d,\s+\d")
_INNER_SPACE = re.compile(r"(?<=\d)\s+(?=\d)")
_WORDS = re.compile(r"\\(?:text|textbf|mbox|mathrm)\{([^{}]*)\}")
_CHOICE = re.compile(r"\(([A-Za-z])\)")
_ARGUMENTS = re.compile(r"\\[dt]?frac(\{[^{}]*\}|[^{}\\])(\{[^{}]*\}|[^{}\\])")
_MINUS = str.maketrans(dict.fromkeys("\u2212\u2013\ufe63\uff0d", "-"))
_CURRENCY = re.compile(r"(?<=-)\\?[$€£] ?(?=[\d.])")
_POWER = re.compile(
    r"(?:(?<=\d)\s*(?:\\times|\\cdot|[×·*])\s*|(?P<alone>(?<![\w.)}])))"
    r"10\s*(?:\^|\*\*)\s*(?:\{\s*(?P<braced>[-+]?\d+)\s*\}|(?P<bare>[-+]?\d+))"
)
_LONGEST = 400
"""Characters of an answer that is compared as a number, and its largest exponent."""


class MathAnswer(ItemMean):
    r"""1 where the final answers are equal.

    The final answer is what the last ``\boxed{}`` holds (Hendrycks et al. 2021, MATH), else what follows the last
    ``####`` (Cobbe et al. 2021, GSM8K), else the last number. Two numbers are equal as exact fractions, whatever their
    form (``1,000.0``, ``1 000``, ``1e3`` and ``1000``, ``\frac{1}{2}``, ``\frac12`` and ``0.5``, ``1 1/2`` and
    ``1.5``); anything else is compared as text, without ``$``, units in ``\text{}``, the brackets of a choice, ``(A)``,
    and white space that does not part digits.
    """

    name = "math_answer"
    binary = True

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 or 0.0.

        Raises:
            DataError: the reference has no answer.
        """
        expected = final_answer(reference)
        if expected is None:
            raise DataError(
                f"the reference {reference[-60:]!r} ends in no number",
                fix=r"end references with the answer as a number, after ####, or in \boxed{}",
            )
        said = final_answer(prediction)
        return float(said is not None and _same(said, expected))


def final_answer(text: str) -> str | None:
    """Return the final answer of a solution as it is written, but for `_spelled`; None where there is none."""
    text = _spelled(text)
    boxed = _boxed(text)
    if boxed is not None:
        return boxed
    _, mark, after = text.rpartition("####")
    if mark and after.strip():
        line = after.strip().splitlines()[0]
        numbers = _LAST.findall(line)
        return str(numbers[0]) if len(numbers) == 1 else line  # a unit or a mark beside the number says nothing
    numbers = _LAST.findall(text)
    return str(numbers[-1]) if numbers else None


def _spelled(text: str) -> str:
    """Return ``text`` with one sign for minus, no currency behind it, and powers of ten as exponents (``1.5e3``)."""

    def exponent(found: re.Match[str]) -> str:
        return f"{'' if found['alone'] is None else '1'}e{found['braced'] or found['bare']}"

    return _POWER.sub(exponent, _CURRENCY.sub("", text.translate(_MINUS)))


def _boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed")
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin + 1 : place]
    return None


def _same(first: str, second: str) -> bool:
    numbers = as_number(first), as_number(second)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return _plain(first) == _plain(second)


def as_number(text: str) -> Fraction | None:
    """Return an answer as an exact number, a percentage as its number; None where it is something else."""
    plain = _plain(text).removesuffix("%").removesuffix("\\")
    if len(plain) > _LONGEST or _LIST.search(text):
        return None
    if found := _MIXED.fullmatch(plain):
        top, bottom = (int(part) for part in found.groups()[2:] if part is not None)
        return (-1 if found[1] else 1) * (int(found[2]) + Fraction(top, bottom)) if top < bottom else None
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(" ", "")
    if found := _FRACTION.fullmatch(plain):
        top, bottom = int(found[2]), int(found[3])
        return (-1 if found[1] else 1) * Fraction(top, bottom) if bottom else None
    if found := _RATIO.fullmatch(plain):
        return Fraction(int(found[1]), int(found[2])) if int(found[2]) else None
    if _NUMBER.fullmatch(plain):
        _, _, exponent = plain.lower().partition("e")
        if abs(int(exponent or 0)) <= _LONGEST:
            return Fraction(plain.replace(",", "").removeprefix("+"))
    return None


def _plain(text: str) -> str:
    words = _WORDS.sub(lambda found: "" if found.start() else found[1], _spelled(text).strip())
    for mark in ("\\$", "$", "\\!", "\\,", "^{\\circ}", "^\\circ"):
        words = words.replace(mark, "")
    parts = _INNER_SPACE.split(words.replace("{,}", ","))
    plain = " ".join("".join(part.split()) for part in parts).rstrip(".")
    if choice := _CHOICE.fullmatch(plain):
        return choice[1]
    return _ARGUMENTS.sub(lambda found: "\\frac" + "".join(f"{{{part.strip('{}')}}}" for part in found.groups()), plain)
