"""How the decision writes numbers for people."""

from __future__ import annotations


def percent(share: float) -> str:
    """Return 0.9123 as ``91.2%``."""
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """Return 0.031 as ``+3.1 points``: a difference of shares is in percentage points."""
    return f"{100 * difference:+.1f} points"


def p_value(value: float) -> str:
    """Return a p-value with as many digits as mean something."""
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.4f}"
