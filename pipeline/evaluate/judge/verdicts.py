"""From a judge's reply to its verdict, and from the verdicts of both orders to the outcome of an item."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from pipeline.statistics import Outcome

Letter = Literal["A", "B", "tie"]

_KEY = '"verdict"'
_BEGUN = re.compile(r"\{\s*\"")
_DECODER = json.JSONDecoder(strict=False)
_ESCAPE = re.compile(r"\\([\\/\"bfnrt]|u[0-9a-fA-F]{4})?")
"""A backslash, with what makes it an escape of JSON; formulas in a reason have others."""
_BRACKETS = re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE)
_LETTERS: dict[str, Letter] = {"a": "A", "b": "B", "tie": "tie", "c": "tie"}


@dataclass(frozen=True)
class Verdict:
    """What a judge said of one order: the letter that it prefers, and why."""

    letter: Letter
    reason: str


def read_verdict(reply: str, *, ties: bool) -> Verdict | None:
    """Return the verdict in a reply, None where there is none; a tie is none where ties are not allowed.

    Where verdicts differ there is none: one of them may be quoted from an answer, before or behind the judge's own. A
    JSON object with ``verdict`` is read, or ``[[A]]`` as in Zheng et al. (2023), where C is a tie.

    >>> read_verdict('{"reason": "shorter", "verdict": "B"}', ties=True)
    Verdict(letter='B', reason='shorter')
    """
    found = _of_objects(reply) if _KEY in reply else _of_brackets(reply)
    return None if found is None or (found.letter == "tie" and not ties) else found


def _of_objects(reply: str) -> Verdict | None:
    """Return the verdict of the objects that have one; None where they differ.

    Nor is there one where an object is begun that is no JSON: what stands in it may be quoted from an answer, and what
    it says itself cannot be told.
    """
    text = _ESCAPE.sub(lambda found: found[0] if found[1] else "\\\\", reply)
    found: list[dict[str, object]] = []
    place = 0
    while (place := text.find("{", place)) >= 0:
        try:
            value, after = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            if _BEGUN.match(text, place):
                return None
            place += 1
            continue
        place = after
        if "verdict" in value:
            found.append(value)
    letters = {_letter(value["verdict"]) for value in found}
    letter = letters.pop() if len(letters) == 1 else None
    reason = found[-1].get("reason") if found else None
    return None if letter is None else Verdict(letter, reason.strip() if isinstance(reason, str) else "")


def _letter(said: object) -> Letter | None:
    return _LETTERS.get(said.strip().lower()) if isinstance(said, str) else None


def _of_brackets(reply: str) -> Verdict | None:
    marks = list(_BRACKETS.finditer(reply))
    letters = {_LETTERS[mark[1].lower()] for mark in marks}
    return Verdict(letters.pop(), reply[: marks[-1].start()].strip()) if len(letters) == 1 else None


def preferred(verdict: Verdict | None, *, swapped: bool) -> Outcome | None:
    """Return what a verdict says of the pair's first answer.

    >>> preferred(Verdict("A", ""), swapped=True)
    'loss'
    """
    if verdict is None:
        return None
    if verdict.letter == "tie":
        return "tie"
    return "win" if (verdict.letter == "A") != swapped else "loss"


def outcome(straight: Outcome | None, swapped: Outcome | None) -> Outcome | None:
    """Return the outcome of a pair from both orders: a verdict that changes with the order is a tie.

    None where an order got no verdict.
    """
    if straight is None or swapped is None:
        return None
    return straight if straight == swapped else "tie"
