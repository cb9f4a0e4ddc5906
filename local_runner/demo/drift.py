"""The demo's messages before and after a drift: from one day on, customers ask about products that are new."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from local_runner.demo.phrases import PRODUCTS
from local_runner.demo.triage import draw_ticket

SYSTEM: Final = "Name the product that the message is about."

LAUNCHED: Final = ("vacuum", "sprinkler", "projector")
"""Products that nobody had asked about before the drift."""


@dataclass(frozen=True)
class Question:
    """A message and the product that it is about."""

    message: str
    product: str

    def row(self) -> dict[str, str]:
        """Return it as a row of a file."""
        return {"message": self.message, "product": self.product}


def questions(seed: int, *, drifted: bool = False) -> Iterator[Question]:
    """Yield messages, each only once; ``drifted`` ones are about what was launched, and name old products beside it."""
    random = Random(f"drift {seed} {drifted}")  # noqa: S311 - synthetic data
    seen = set[str]()
    while True:
        ticket = draw_ticket(random)
        question = Question(ticket.message, ticket.record.product)
        if drifted:
            launched = random.choice(LAUNCHED)
            question = Question(_about(launched, ticket.message, PRODUCTS[ticket.record.product]), launched)
        is_named = not drifted or question.product in question.message.lower()  # a typing error may hide the old name
        if is_named and question.message not in seen:
            seen.add(question.message)
            yield question


def _about(launched: str, message: str, names: tuple[str, ...]) -> str:
    """Return a message with another product in the place of the one that it is about."""

    def cased(found: re.Match[str]) -> str:
        return launched.capitalize() if found[0][0].isupper() else launched

    return re.sub(rf"\b({'|'.join(names)})\b", cased, message, flags=re.IGNORECASE)
