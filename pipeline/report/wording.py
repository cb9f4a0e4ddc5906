"""Numbers and names as people read them. Shares are percentages with one decimal, sizes decimal units."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pipeline.core.numbers import percent
from schemas.evaluate import Score
from schemas.register import Comparison

_CONTROL_PICTURES = 0x2400
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def score_range(score: Score) -> str:
    """``82.6% to 87.1%``."""
    return f"{percent(score.low)} to {percent(score.high)}"


def score_text(score: Score) -> str:
    """``85.0% (95% interval 82.6% to 87.1%, n = 1,000)``."""
    return f"{percent(score.value)} (95% interval {score_range(score)}, n = {score.n:,})"


def difference_range(comparison: Comparison) -> str:
    """``+70.1 to +75.0``, in percentage points."""
    return f"{100 * comparison.low:+.1f} to {100 * comparison.high:+.1f}"


def level(alpha: float) -> str:
    """0.05 -> ``95%``: the level of a two-sided interval."""
    return f"{100 * (1 - alpha):g}%"


def size(count: float) -> str:
    """2_400_000 -> ``2.4 MB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} B"


def seconds(count: float) -> str:
    """12.3 -> ``12.3 s``; 200 -> ``3 min 20 s``; 4000 -> ``1 h 7 min``."""
    if count < 100:
        return f"{count:.1f} s"
    if round(count) < 3600:
        return f"{round(count) // 60} min {round(count) % 60} s"
    minutes = round(count / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def dollars(amount: float) -> str:
    """0.0123 -> ``$0.01``; what rounds to nothing is ``less than $0.01``."""
    return "less than $0.01" if 0 < amount < 0.005 else f"${amount:,.2f}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """(1, ``row``) -> ``1 row``; (1200, ``row``) -> ``1,200 rows``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str]) -> str:
    """(``a``, ``b``, ``c``) -> ``a, b and c``."""
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


def clip(text: str, limit: int) -> str:
    """Return ``text`` on one line of at most ``limit`` characters: its two ends where it is longer.

    Line breaks become ``↵``; other control characters their visible pictures and marks that reorder text their code
    points, so that no page can be broken by one.
    """
    shown = "".join(_visible(character) for character in text)
    if len(shown) <= limit:
        return shown
    head = (limit - 3) // 2
    return f"{shown[:head]} … {shown[len(shown) - (limit - 3 - head) :]}"


def _visible(character: str) -> str:
    if character == "\n":
        return "↵"
    if ord(character) < 0x20:
        return chr(_CONTROL_PICTURES + ord(character))
    if character in _REORDERING:
        return f"<U+{ord(character):04X}>"
    if unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff":
        return "\ufffd"
    return character
