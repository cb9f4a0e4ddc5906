"""Numbers as people read them, the same in a decision and in a report."""

from __future__ import annotations

_SMALLEST_P = 0.001


def percent(share: float) -> str:
    """0.8504 -> ``85.0%``."""
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """0.7271 -> ``+72.7 points``: a difference of two percentages, with its sign."""
    return f"{100 * difference:+.1f} points"


def amount(value: float) -> str:
    """0.421 -> ``0.42``; 0.0042 -> ``0.0042``: dollars or hours, of which a small run takes hundredths and less."""
    return f"{value:,.2f}" if value == 0.0 or value >= 0.1 else f"{value:.4f}"


def p_value(p: float) -> str:
    """0.0123 -> ``p = 0.012``; below 0.001 only that is said."""
    return f"p < {_SMALLEST_P}" if p < _SMALLEST_P else f"p = {p:.3f}"
