"""The demo's messages before and after a drift: from one day on, customers call the products by other names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from local_runner.demo.phrases import PRODUCTS, Product
from local_runner.demo.triage import draw_ticket

SYSTEM: Final = "Name the product that the message is about."

RENAMED: Final[Mapping[Product, tuple[str, str]]] = {
    "camera": ("spyglass", "porthole"),
    "router": ("beacon", "relay"),
    "thermostat": ("hearth", "radiator"),
    "doorbell": ("gong", "buzzer"),
    "speaker": ("jukebox", "subwoofer"),
    "lock": ("latch", "padlock"),
    "lamp": ("lantern", "torch"),
    "plug": ("outlet", "adapter"),
}
"""The new names, in the order of the old ones."""

_NEW: Final = {old: new for product, olds in PRODUCTS.items() for old, new in zip(olds, RENAMED[product], strict=True)}
_OLD: Final = re.compile(rf"\b({'|'.join(_NEW)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """A message and the product that it is about."""

    message: str
    product: Product

    def row(self) -> dict[str, str]:
        """Return it as a row of a file."""
        return {"message": self.message, "product": self.product}


def questions(seed: int, *, drifted: bool = False) -> Iterator[Question]:
    """Yield messages, each only once."""
    random = Random(f"drift {seed} {drifted}")  # noqa: S311 - synthetic data
    seen = set[str]()
    while True:
        ticket = draw_ticket(random)
        message = renamed(ticket.message) if drifted else ticket.message
        if message not in seen:
            seen.add(message)
            yield Question(message, ticket.record.product)


def renamed(message: str) -> str:
    """Return a message with the new names for the old ones."""
    return _OLD.sub(lambda found: _cased(_NEW[found[0].lower()], found[0]), message)


def _cased(word: str, like: str) -> str:
    return word.capitalize() if like[0].isupper() else word
