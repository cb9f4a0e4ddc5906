"""What the endpoint has cost: the meters of its containers, which no run is charged with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modal_app.serving.keys import SERVING
from pipeline.control.allowance import Amount, charge
from schemas.ledger import Attempt

PREFIX = f"meter:{SERVING}:"


def serving_cost(entries: Iterable[tuple[Any, Any]], price_scale: float = 1.0) -> tuple[int, Amount]:
    """Return how many containers have served, and what they cost together, until each ended or was last seen.

    Args:
        entries: keys and values of the app's Dict; those that Modal dropped after a week without use are not counted.
        price_scale: multiplies the price table.
    """
    found = [Attempt.model_validate(value) for key, value in entries if str(key).startswith(PREFIX)]
    amounts = (charge(attempt, attempt.seconds, price_scale) for attempt in found)
    return len(found), sum(amounts, Amount())
