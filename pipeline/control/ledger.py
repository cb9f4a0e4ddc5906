"""The ledger of money: what a run has spent, what is set aside for calls under way, and what a call may still take.

It knows no clock: what was spent is in the records of the attempts, which count to when they were last seen, and the
time after that is covered by what is set aside for their calls. So it can be built again from its record at any time,
every step may be repeated, and the order in which records come does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.control.allowance import Amount, Refusal, Request, charge, refuse, share
from pipeline.core.errors import IntegrityError
from schemas.ledger import Allowance, Attempt, AttemptKind, CapKey, LedgerRecord

LEDGER = "ledger.json"
"""The ledger's file in a run's directory."""

_LEAST_CAP = 5.0
_ROOM = 2.0


def default_cap(planned_dollars: float) -> float:
    """Return the cap in US dollars of a run whose description has no ``max_cost``.

    Twice the plan, because its dollars are right to about a factor of two; a tighter cap would stop runs that go as
    planned. Rounded up to two digits, in steps of 5 dollars at least, to be read as what it is, a round figure. At
    least 5 dollars, so that a small run is not stopped by the price of a container that starts slowly.
    """
    wanted = max(_LEAST_CAP, _ROOM * planned_dollars)
    step = max(5.0, 10.0 ** (math.floor(math.log10(wanted)) - 1))
    return step * math.ceil(wanted / step)


@dataclass(frozen=True)
class Caps:
    """The most that a run may take: US dollars, and GPU-hours over all GPUs (None: as many as the dollars buy)."""

    max_cost: float
    max_gpu_hours: float | None = None


@dataclass(frozen=True)
class Spent:
    """What was spent: in all, by call and by kind; kinds without an attempt are absent."""

    total: Amount
    by_call: dict[str, Amount]
    by_kind: dict[AttemptKind, Amount]


class Ledger:
    """The money of one run. Not for several threads at once.

    Args:
        caps: what the run may take.
        price_scale: multiplies the price table: a contract's rate, or a test's.
        attempts: this run's attempts so far; what another run made and this one takes is charged there.
        allowances: what is set aside for calls under way.
    """

    def __init__(
        self,
        caps: Caps,
        *,
        price_scale: float = 1.0,
        attempts: Iterable[Attempt] = (),
        allowances: Iterable[Allowance] = (),
    ) -> None:
        self.caps = caps
        self._price_scale = price_scale
        self._attempts: dict[tuple[str, str], Attempt] = {}
        self._allowances = {allowance.call_id: allowance for allowance in allowances}
        for attempt in attempts:
            self.meter(attempt)

    def reserve(self, request: Request, beside: Sequence[Request] = ()) -> Allowance | Refusal:
        """Set aside what a call may take, so that all that is spent and set aside stays within the caps.

        A call that has an allowance keeps it; settle it first for another. Alone, a call may take all that is left;
        what ``beside`` is about to ask for gets its share, in proportion to the estimates. Calls that live as long as
        the run (the controller) should have a ``limit_seconds``, or they take from the others until they end.

        Args:
            request: the call.
            beside: calls that are ready too and ask next, the most urgent first; those under way do not matter.

        Raises:
            ConfigError: the price table has no such GPU.
        """
        if (held := self._allowances.get(request.call_id)) is not None:
            return held
        rivals = [other for other in beside if other.call_id not in {request.call_id, *self._allowances}]
        given = share(request, rivals, self.left(), self._price_scale)
        if isinstance(given, str):
            return self._refusal(request, given)
        allowance = Allowance(
            call_id=request.call_id,
            kind=request.kind,
            resources=request.resources,
            seconds=given.seconds,
            seconds_before=self._seconds(request.call_id),
            limit=given.limit,
        )
        self._allowances[request.call_id] = allowance
        return allowance

    def meter(self, attempt: Attempt) -> None:
        """Take an attempt's record in place of an earlier one; one that knows less than what is held changes nothing.

        Raises:
            ConfigError: the price table has no such GPU.
        """
        charge(attempt, attempt.seconds, self._price_scale)
        key = (attempt.call_id, attempt.attempt)
        held = self._attempts.get(key)
        if held is None or _known(attempt) >= _known(held):
            self._attempts[key] = attempt

    def settle(self, call_id: str) -> None:
        """Give back what a call did not use. Meter its last attempt first; settling again changes nothing."""
        self._allowances.pop(call_id, None)

    def keep(self, under_way: Collection[str]) -> None:
        """Settle every call that is not under way any more: what a controller does that starts again."""
        self._allowances = {name: held for name, held in self._allowances.items() if name in under_way}

    def allowance(self, call_id: str) -> Allowance | None:
        """Return what is set aside for a call, None where it is not under way."""
        return self._allowances.get(call_id)

    def attempts(self, call_id: str | None = None) -> tuple[Attempt, ...]:
        """Return the attempts at one call, or all of them, in the order in which they started."""
        found = [one for one in self._attempts.values() if call_id in (None, one.call_id)]
        return tuple(sorted(found, key=lambda one: (one.started, one.call_id, one.attempt)))

    def spent(self) -> Spent:
        """Return what all attempts took until they ended or were last seen."""
        by_call: dict[str, Amount] = {}
        by_kind: dict[AttemptKind, Amount] = {}
        for attempt in self.attempts():
            amount = charge(attempt, attempt.seconds, self._price_scale)
            by_call[attempt.call_id] = by_call.get(attempt.call_id, Amount()) + amount
            by_kind[attempt.kind] = by_kind.get(attempt.kind, Amount()) + amount
        return Spent(sum(by_call.values(), Amount()), by_call, by_kind)

    def reserved(self) -> dict[str, Amount]:
        """Return what each call under way may still take."""
        return {
            name: charge(held.resources, held.seconds_left(self._attempts.values()), self._price_scale)
            for name, held in sorted(self._allowances.items())
        }

    def left(self) -> dict[CapKey, float]:
        """Return what is neither spent nor set aside, under each cap that there is; nothing where a cap is exceeded."""
        taken = sum(self.reserved().values(), self.spent().total)
        left: dict[CapKey, float] = {"constraints.max_cost": max(0.0, self.caps.max_cost - taken.dollars)}
        if self.caps.max_gpu_hours is not None:
            left["constraints.max_gpu_hours"] = max(0.0, self.caps.max_gpu_hours - taken.gpu_hours)
        return left

    def record(self) -> LedgerRecord:
        """Return the ledger as data; equal ledgers have equal records."""
        return LedgerRecord(
            max_cost=self.caps.max_cost,
            max_gpu_hours=self.caps.max_gpu_hours,
            price_scale=self._price_scale,
            attempts=self.attempts(),
            allowances=tuple(held for _, held in sorted(self._allowances.items())),
        )

    def to_json(self) -> str:
        """Return the text of ``ledger.json``; equal ledgers have equal texts."""
        return self.record().model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, caps: Caps | None = None) -> Ledger:
        """Return the ledger that a text holds, under other caps where they are given: a run that goes on may take more.

        Raises:
            IntegrityError: the text is no ledger.
            ConfigError: the price table has a GPU no more on which an attempt ran.
        """
        try:
            record = LedgerRecord.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise IntegrityError(
                f"the run's ledger cannot be read: {place}: {first['msg']}",
                where=LEDGER,
                fix=f"remove {LEDGER} from the run's directory; the attempts' own records are read again",
            ) from None
        return cls(
            caps or Caps(record.max_cost, record.max_gpu_hours),
            price_scale=record.price_scale,
            attempts=record.attempts,
            allowances=record.allowances,
        )

    def _seconds(self, call_id: str) -> float:
        return sum(attempt.seconds for attempt in self._attempts.values() if attempt.call_id == call_id)

    def _refusal(self, request: Request, key: CapKey) -> Refusal:
        cap = self.caps.max_cost if key == "constraints.max_cost" else self.caps.max_gpu_hours
        assert cap is not None
        waits = any(held.kind in ("stage", "preflight") for held in self._allowances.values())
        aside = sum(self.reserved().values(), Amount())
        return refuse(request, key, cap, self.spent().total, aside, self._price_scale, waits=waits)


def _known(attempt: Attempt) -> tuple[float, bool]:
    """Order records of one attempt by how much they know: they only ever charge more."""
    return attempt.until, attempt.ended is not None
