"""The ledger as people and programs read it: one line, and a table by call."""

from __future__ import annotations

from pydantic import JsonValue

from pipeline.control.allowance import Amount, dollars
from pipeline.control.ledger import Ledger
from pipeline.plan.prices import PRICES_DATED


def summary(ledger: Ledger) -> str:
    """Return one line: ``$0.42 of $5.00, 0.31 GPU-hours; serving $0.10``."""
    spent = ledger.spent()
    hours = f"{spent.total.gpu_hours:.2f}"
    if ledger.caps.max_gpu_hours is not None:
        hours += f" of {ledger.caps.max_gpu_hours:g}"
    serving = spent.by_kind.get("serving")
    tail = "" if serving is None else f"; serving {dollars(serving.dollars)}"
    return f"{dollars(spent.total.dollars)} of {dollars(ledger.caps.max_cost)}, {hours} GPU-hours{tail}"


def table(ledger: Ledger) -> dict[str, JsonValue]:
    """Return the ledger as ``--json`` shows it: caps, totals, and a row per call in the order in which they started.

    Dollars and GPU-hours have six digits after the point, seconds three.
    """
    spent, reserved = ledger.spent(), ledger.reserved()
    names = dict.fromkeys((*(attempt.call_id for attempt in ledger.attempts()), *reserved))
    return {
        "prices_dated": PRICES_DATED,
        "max_cost": ledger.caps.max_cost,
        "max_gpu_hours": ledger.caps.max_gpu_hours,
        "spent": _json(spent.total),
        "reserved": _json(sum(reserved.values(), Amount())),
        "left": {key.removeprefix("constraints."): round(value, 6) for key, value in ledger.left().items()},
        "kinds": {kind: _json(amount) for kind, amount in sorted(spent.by_kind.items())},
        "calls": [_row(ledger, name, spent.by_call.get(name, Amount()), reserved.get(name)) for name in names],
    }


def _row(ledger: Ledger, call_id: str, spent: Amount, reserved: Amount | None) -> dict[str, JsonValue]:
    attempts, held = ledger.attempts(call_id), ledger.allowance(call_id)
    resources = held.resources if held is not None else attempts[-1]
    return {
        "call": call_id,
        "kind": held.kind if held is not None else attempts[-1].kind,
        "gpu": resources.gpu,
        "gpus": resources.gpus,
        "attempts": len(attempts),
        "seconds": round(sum(attempt.seconds for attempt in attempts), 3),
        "spent": _json(spent),
        "reserved": None if reserved is None else _json(reserved),
    }


def _json(amount: Amount) -> dict[str, JsonValue]:
    return {"dollars": round(amount.dollars, 6), "gpu_hours": round(amount.gpu_hours, 6)}
