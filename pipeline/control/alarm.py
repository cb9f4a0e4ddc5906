"""An alarm leaves the machine: as an event, or as the order of a retraining, signed by Standard Webhooks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import httpx

from pipeline.core.errors import SourceError
from pipeline.core.signed_delivery import Delivery, secret_key, signed_headers
from schemas.monitor import DriftReport
from schemas.webhook import RetrainRequest

ATTEMPTS: Final = 4
"""How often a delivery is tried."""

TIMEOUT: Final = 600.0
"""Seconds for an answer: a retraining is prepared before it is accepted."""

_WAITS: Final = (1.0, 4.0, 16.0)
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_TAKEN: Final = 409
_SHOWN = 300


def drift_event(report: DriftReport) -> Delivery:
    """Return an alarm as an event ``drift.alarm``, with what drifted and how far."""
    drifted = [
        {
            "detector": reading.detector,
            "p_adjusted": reading.p_adjusted,
            "measure": reading.measure,
            "effect": reading.effect,
        }
        for reading in report.readings
        if reading.drifted
    ]
    data = {
        "version": report.version,
        "alpha": report.config.alpha,
        "reference": report.reference.model_dump(mode="json"),
        "current": report.current.model_dump(mode="json"),
        "drifted": drifted,
    }
    at = datetime.fromtimestamp(report.current.last or 0.0, UTC).isoformat()
    body = json.dumps({"type": "drift.alarm", "timestamp": at, "data": data})
    return Delivery(_name("alarm", report), body)


def retrain_order(report: DriftReport, rows: Sequence[dict[str, Any]], hold_out: float) -> Delivery:
    """Return the order to retrain a version on rows; the version that passes its gate becomes candidate."""
    order: dict[str, Any] = {
        "type": "retrain",
        "version": report.version,
        "rows": list(rows),
        "hold_out": hold_out,
        "promote": "candidate",
    }
    body = json.dumps(order)
    RetrainRequest.model_validate_json(body, strict=True)
    return Delivery(_name("retrain", report), body)


def _name(kind: str, report: DriftReport) -> str:
    text = f"{report.version} {report.reference.digest} {report.current.digest}"
    return f"{kind}_{sha256(text.encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Sender:
    """Sends deliveries to an address, again where that may help.

    Args:
        url: the address.
        secret: ``whsec_`` and base64 of at least 24 bytes; the receiver has the same.
        transport: how it is reached, where it is not by its address.
        wait: lets time pass.

    Raises:
        ConfigError: the secret cannot be read, or is weak.
    """

    url: str
    secret: str = field(repr=False)
    transport: httpx.BaseTransport | None = None
    wait: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        secret_key(self.secret, "HONE_WEBHOOK_SECRET")

    def send(self, delivery: Delivery) -> dict[str, Any]:
        """Send a delivery and return the answer; one that the receiver has taken before is as good as new.

        Raises:
            SourceError: the receiver cannot be reached, or refused it.
        """
        with httpx.Client(timeout=TIMEOUT, transport=self.transport) as client:
            for attempt in range(ATTEMPTS):
                if attempt:
                    self.wait(_WAITS[attempt - 1])
                try:
                    answer = client.post(
                        self.url, content=delivery.body.encode(), headers=signed_headers(delivery, (self.secret,))
                    )
                except httpx.HTTPError as error:
                    said = f"cannot be reached: {type(error).__name__}"
                    continue
                if answer.is_success or answer.status_code == _TAKEN:
                    return {"http_status": answer.status_code, **_read(answer)}
                said = f"answered {answer.status_code}: {answer.text[:_SHOWN]}"
                if answer.is_redirect:  # rows of users are sent to nobody but whom the operator named
                    said = f"answered {answer.status_code} and leads to another address, which is not followed"
                if answer.status_code not in _AGAIN:
                    break
        raise SourceError(f"the webhook {said}", where=self.url, fix="send it again with the same command")


def _read(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
