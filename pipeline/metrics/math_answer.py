r"""Math answer: the final answer is the right number or expression, however it was reached."""

from __future__ import annotations

import re
from fractions import Fraction

from pipeline.core.errors import DataError
from pipeline.metrics.base import ItemMean

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
_LAST = re.compile(rf"[-+]?\d+/\d+|{_NUMBER.pattern}")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(-?\d+)\}\{(-?\d+)\}")
_RATIO = re.compile(r"(-?\d+)/(\d+)")
_WORDS = re.compile(r"\\(?:text|mbox|mathrm)\{([^{}]*)\}")
_LONGEST = 400
"""Characters of an answer that is compared as a number."""


class MathAnswer(ItemMean):
    r"""1 where the final answers are equal.

    The final answer is what the last ``\boxed{}`` holds (Hendrycks et al. 2021, MATH), else what follows the last
    ``####`` (Cobbe et al. 2021, GSM8K), else the last number. Two numbers are equal as exact fractions, whatever their
    form (``1,000.0`` and ``1000``, ``\frac{1}{2}`` and ``0.5``); anything else is compared as text, without white
    space, ``$`` and units in ``\text{}``.
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
    """Return the final answer of a solution as it is written; None where there is none."""
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
    if len(plain) > _LONGEST:
        return None
    if found := _FRACTION.fullmatch(plain):
        top, bottom = int(found[2]), int(found[3])
        return (-1 if found[1] else 1) * Fraction(top, bottom) if bottom else None
    if found := _RATIO.fullmatch(plain):
        return Fraction(int(found[1]), int(found[2])) if int(found[2]) else None
    if _NUMBER.fullmatch(plain):
        return Fraction(plain.replace(",", "").removeprefix("+"))
    return None


def _plain(text: str) -> str:
    words = _WORDS.sub(lambda found: "" if found.start() else found[1], text.strip())
    for mark in ("$", "\\!", "\\,", "^{\\circ}", "^\\circ"):
        words = words.replace(mark, "")
    return "".join(words.replace("{,}", ",").split()).rstrip(".")
