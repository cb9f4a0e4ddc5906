"""Deliveries that leave here, signed by Standard Webhooks: the headers of an attempt, and what a secret has to be.

The specification (https://github.com/standard-webhooks/standard-webhooks, version 1.0.0) signs
``{id}.{timestamp}.{body}`` by HMAC-SHA256. An attempt has its own time; the id stays the same however often it is sent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pipeline.core.errors import ConfigError

MIN_SECRET_BYTES: Final = 24
_MIN_DISTINCT_BYTES: Final = 8
_PREFIX: Final = "whsec_"

_NEW_SECRET: Final = "make one with: echo whsec_$(openssl rand -base64 32)"  # noqa: S105 - how to make one


@dataclass(frozen=True)
class Delivery:
    """A message to be sent: its id, which stays the same however often it is sent, and its body."""

    id: str
    body: str


def signed_headers(delivery: Delivery, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of one attempt, signed now with every secret: a receiver may have any of them."""
    from standardwebhooks import Webhook

    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(delivery.id, now, delivery.body) for secret in secrets),
    }


def secret_key(secret: str, where: str) -> bytes:
    """Return the key that a secret stands for; no message holds any of it.

    Raises:
        ConfigError: it is not written as ``whsec_`` and base64, or weak; ``where`` names what holds it.
    """
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True) if encoded != secret else b""
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigError("not whsec_ followed by base64", where=where, fix=_NEW_SECRET)
    if len(key) < MIN_SECRET_BYTES or len(set(key)) < _MIN_DISTINCT_BYTES:
        raise ConfigError(
            f"too weak: at least {MIN_SECRET_BYTES} random bytes are needed", where=where, fix=_NEW_SECRET
        )
    return key
