"""Cooldown and monthly budget: whether a retraining may begin now, by those that began before."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pipeline.service.refusal import Refused

_HOUR: Final = 3600.0


@dataclass(frozen=True)
class Begun:
    """A retraining that began: of which name, when (Unix seconds), and what it may take of the month's budget.

    ``given_up``: it failed or was cancelled, so that another one need not wait for the cooldown; it was paid for.
    """

    name: str
    at: float
    cost: float = 1.0
    given_up: bool = False


@dataclass(frozen=True)
class Limits:
    """What retrainings may take: hours between two of one name, and a month's budget in ``unit``; None for no end."""

    cooldown_hours: float = 0.0
    monthly: float | None = None
    unit: str = "runs"

    def check(self, name: str, cost: float, begun: Iterable[Begun], now: float) -> None:
        """Let a retraining begin.

        Args:
            name: of what.
            cost: what it may take.
            begun: those that began before, at least this month's and those within the cooldown.
            now: Unix seconds.

        Raises:
            Refused: it is too soon after another one (``too_soon``), or the month's budget would not do
                (``over_budget``).
        """
        known = list(begun)
        cooldown = self.cooldown_hours * _HOUR
        last = max((one.at for one in known if one.name == name and not one.given_up), default=-math.inf)
        if cooldown and now < last + cooldown:
            raise Refused(
                "too_soon",
                f"{name} was retrained less than {self.cooldown_hours:g} hours ago",
                where="version",
                fix="send it again later",
                retry_after=math.ceil(last + cooldown - now),
            )
        first, following = month_of(now)
        spent = sum(one.cost for one in known if one.at >= first)
        if self.monthly is not None and spent + cost > self.monthly:
            raise Refused(
                "over_budget",
                f"this month's {self.monthly:g} {self.unit} would not do: {spent:g} are taken, this one takes {cost:g}",
                where="version",
                fix="send it again next month, or raise the budget",
                retry_after=math.ceil(following - now),
            )


def month_of(now: float) -> tuple[float, float]:
    """Return when the calendar month (UTC) of a time began, and when the next one does, in Unix seconds."""
    moment = datetime.fromtimestamp(now, UTC)
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    year, month = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
    return first.timestamp(), datetime(year, month, 1, tzinfo=UTC).timestamp()
