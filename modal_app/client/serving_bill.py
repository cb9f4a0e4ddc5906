"""What containers have cost that no run is charged with, by their meters: the endpoint's, and those of upkeep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from modal_app.meter import UPKEEP
from modal_app.serving.keys import SERVING
from pipeline.control.allowance import Amount, charge, dollars
from schemas.ledger import Attempt

Entries = Iterable[tuple[Any, Any]]
"""Keys and values of the app's Dict; what Modal dropped after a week without use is not among them."""


@dataclass(frozen=True)
class Bill:
    """How many containers there were, and what they cost together, until each ended or was last seen."""

    containers: int
    amount: Amount

    def __str__(self) -> str:
        return f"{dollars(self.amount.dollars)} for {self.containers} container{'s' * (self.containers != 1)}"

    def as_json(self) -> dict[str, float]:
        """Return it as data: dollars and GPU-hours with six digits after the point."""
        return {
            "containers": self.containers,
            "dollars": round(self.amount.dollars, 6),
            "gpu_hours": round(self.amount.gpu_hours, 6),
        }


def serving_bill(entries: Entries, price_scale: float = 1.0) -> Bill:
    """Return what the endpoint has cost; ``price_scale`` multiplies the price table."""
    return _bill(entries, SERVING, price_scale)


def upkeep_bill(entries: Entries, price_scale: float = 1.0) -> Bill:
    """Return what promotions, pushes, removals and preflights that found no run have cost."""
    return _bill(entries, UPKEEP, price_scale)


def bill_of(attempts: Iterable[Attempt], price_scale: float = 1.0) -> Bill:
    """Return what these attempts have cost."""
    found = tuple(attempts)
    return Bill(len(found), sum((charge(one, one.seconds, price_scale) for one in found), Amount()))


def _bill(entries: Entries, owner: str, price_scale: float) -> Bill:
    prefix = f"meter:{owner}:"
    return bill_of(
        (Attempt.model_validate(value) for key, value in entries if str(key).startswith(prefix)), price_scale
    )
