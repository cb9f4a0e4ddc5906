"""How long a call may run: what is left under the caps, shared with the calls that are about to run beside it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.errors import BudgetError, ConfigError
from pipeline.core.numbers import amount
from pipeline.plan.prices import GPUS, dollars_per_second
from schemas.ledger import AttemptKind, CapKey, Resources
from schemas.placement import Placement, split_gpu

_USEFUL_SHARE = 0.1
_USEFUL_SECONDS = (5.0, 60.0)
"""A call is begun where it can have this share of its estimate, between these seconds: a container that starts,
loads its model and stops again is money for nothing."""


@dataclass(frozen=True)
class Amount:
    """US dollars and GPU-hours."""

    dollars: float = 0.0
    gpu_hours: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.dollars + other.dollars, self.gpu_hours + other.gpu_hours)

    def under(self, key: CapKey) -> float:
        """Return what counts towards a cap."""
        return self.dollars if key == "constraints.max_cost" else self.gpu_hours


@dataclass(frozen=True)
class Request:
    """A call that asks for an allowance.

    Args:
        call_id: the call.
        resources: what its container holds.
        estimate_seconds: how long it is expected to take.
        limit_seconds: the longest that its runner lets it take, at least 1; nothing more is set aside.
        kind: what the call is.
    """

    call_id: str
    resources: Resources
    estimate_seconds: float
    limit_seconds: float = math.inf
    kind: AttemptKind = "stage"

    @property
    def least(self) -> float:
        """The fewest seconds that are of use."""
        low, high = _USEFUL_SECONDS
        return min(self.limit_seconds, high, max(low, _USEFUL_SHARE * self.estimate_seconds))

    @property
    def weight(self) -> float:
        """Its part in a division, in seconds; an estimate of nothing counts as one."""
        return max(1.0, self.estimate_seconds)

    def within(self, multiple: float) -> float:
        """Return the seconds that it takes of ``multiple`` times its weight."""
        return min(self.limit_seconds, max(self.least, multiple * self.weight))


@dataclass(frozen=True)
class Refusal:
    """Why a call gets no allowance. ``waits``: calls under way may give enough back, so ask again when one is done."""

    call_id: str
    limit: CapKey
    message: str
    fix: str
    waits: bool

    def error(self) -> BudgetError:
        """Return it as the error that ends a run."""
        return BudgetError(self.message, where=self.limit, fix=self.fix)


def refuse(
    request: Request, key: CapKey, cap: float, spent: Amount, aside: Amount, price_scale: float, *, waits: bool
) -> Refusal:
    """Return the refusal of a request by a cap, in words.

    Args:
        request: the call.
        key: the cap that leaves too little.
        cap: what it allows, in dollars or GPU-hours.
        spent: by the run so far.
        aside: set aside for calls under way.
        price_scale: multiplies the price table.
        waits: calls are under way that will give back what they do not use.
    """
    needed, gone = _price(request, key, price_scale) * request.least, spent.under(key)
    return Refusal(
        call_id=request.call_id,
        limit=key,
        message=f"of {shown(key, cap)} that the run may take {shown(key, gone)} is spent and "
        f"{shown(key, aside.under(key))} is set aside for calls under way; {request.call_id} needs "
        f"{shown(key, needed)} to do anything of use",
        fix=f"raise {key} above {cap:g} and run again; what is finished or saved is kept",
        waits=waits and gone + needed <= cap,
    )


def shown(key: CapKey, value: float) -> str:
    """Return dollars or GPU-hours as people read them."""
    return dollars(value) if key == "constraints.max_cost" else f"{amount(value)} GPU-hours"


def dollars(value: float) -> str:
    """0.421 -> ``$0.42``; 0.0042 -> ``$0.0042``, for cents and less are what a small run costs."""
    return f"${amount(value)}"


@dataclass(frozen=True)
class Share:
    """Seconds for a call, and the cap that made them no more (None: its runner's limit did)."""

    seconds: float
    limit: CapKey | None


def charge(resources: Resources, seconds: float, price_scale: float) -> Amount:
    """Return what ``resources`` cost for ``seconds``: GPUs, cores and memory of all nodes at the table's prices.

    Raises:
        ConfigError: the table has no such GPU.
    """
    try:
        price = dollars_per_second(
            resources.gpu, resources.count, resources.cpu, resources.memory_gib, nodes=resources.nodes
        )
    except KeyError:
        name, known = str(resources.gpu), [gpu.name for gpu in GPUS]
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.4)
        fix = f"did you mean {near[0]}?" if near else f"take one of {', '.join(known)}"
        raise ConfigError("the price table has no such GPU", where=name, fix=fix) from None
    return Amount(price_scale * seconds * price, seconds * resources.gpus / 3600)


def resources_of(placement: Placement) -> Resources:
    """Return what a call may be billed for where it is placed: of the GPUs that do, the dearest."""

    def held(gpu: str | None) -> Resources:
        name, count = (None, 0) if gpu is None else split_gpu(gpu)
        return Resources(
            gpu=name, count=count, nodes=placement.nodes, cpu=placement.cpu, memory_gib=placement.memory / 1024
        )

    return max(map(held, placement.gpus or (None,)), key=lambda resources: charge(resources, 1.0, 1.0).dollars)


def share(request: Request, beside: Sequence[Request], left: dict[CapKey, float], price_scale: float) -> Share | CapKey:
    """Return how long a call may run, or the cap that does not leave a useful time.

    Every call may run the same multiple of its estimate, the largest for which all of them together stay within what
    is left; none gets less than is of use, none more than its runner's limit. Of ``beside``, in their order, those that
    cannot have what is of use any more take no part.

    Args:
        request: the call.
        beside: calls that will ask next.
        left: what is left under each cap that there is.
        price_scale: multiplies the price table.
    """
    multiples: dict[CapKey, float] = {}
    for key, budget in left.items():
        price = _price(request, key, price_scale)
        if price == 0.0:
            continue
        if price * request.least > budget:
            return key
        parts, taken = [(price, request)], price * request.least
        for other in beside:
            cost = _price(other, key, price_scale)
            if cost > 0.0 and taken + cost * other.least <= budget:
                parts.append((cost, other))
                taken += cost * other.least
        multiples[key] = _multiple(parts, budget)
    tightest = min(multiples, key=lambda key: multiples[key])
    seconds = request.within(multiples[tightest])
    return Share(math.floor(1000 * seconds) / 1000, None if seconds == request.limit_seconds else tightest)


def _price(request: Request, key: CapKey, price_scale: float) -> float:
    return charge(request.resources, 1.0, price_scale).under(key)


def _multiple(parts: Sequence[tuple[float, Request]], budget: float) -> float:
    """Return the largest multiple of their weights that (price per second, request) can all have within ``budget``.

    What they take together grows with the multiple in straight pieces, between the multiples at which one begins to
    get more than is of use and those at which one reaches its limit; so the piece that meets the budget is looked for.
    """
    corners = {bound / part.weight for _, part in parts for bound in (part.least, part.limit_seconds)}
    before, spent = 0.0, _cost(parts, 0.0)
    for corner in sorted(corners - {math.inf}):
        cost = _cost(parts, corner)
        if cost > budget:
            return before if cost <= spent else before + (corner - before) * (budget - spent) / (cost - spent)
        before, spent = corner, cost
    slope = sum(price * part.weight for price, part in parts if part.limit_seconds == math.inf)
    return before + (budget - spent) / slope if slope > 0.0 else math.inf


def _cost(parts: Sequence[tuple[float, Request]], multiple: float) -> float:
    return sum(price * part.within(multiple) for price, part in parts)
