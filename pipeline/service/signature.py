"""Who sent a delivery, and when: the headers of Standard Webhooks, symmetric scheme ``v1``.

The signed content is ``{webhook-id}.{webhook-timestamp}.{body}`` (HMAC-SHA256); the specification
(https://github.com/standard-webhooks/standard-webhooks, version 1.0.0) wants an id without full stops, whole seconds,
and a secret of at least 24 bytes. ``standardwebhooks`` signs and compares; what it would take, or stumble over (a
fraction of a second, a signature without a comma, a body that is no JSON), is refused before it sees it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from standardwebhooks import Webhook, WebhookVerificationError

from pipeline.core.signed_delivery import secret_key
from pipeline.service.deliveries import TOLERANCE
from pipeline.service.refusal import Refused

_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
_ID = re.compile(r"[!-\-/-~]{1,256}")  # visible ASCII without the full stop
_TIMESTAMP = re.compile(r"[0-9]{1,11}")
_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")  # 32 bytes in base64


@dataclass(frozen=True)
class Signed:
    """The headers of a delivery: its id, the Unix time of this attempt as text, and its ``v1`` signatures."""

    id: str
    timestamp: str
    signatures: str


def read_signature(headers: Mapping[str, str], now: float) -> Signed:
    """Return what the headers say, before the body is read.

    Raises:
        Refused: a header is missing (``unsigned``) or cannot be read (``malformed``), or the timestamp is more than
            `TOLERANCE` from ``now`` (``stale``).
    """
    values = {name: headers.get(name, "") for name in _HEADERS}
    for name, value in values.items():
        if not value:
            raise Refused("unsigned", f"the header {name} is missing", where=name, fix="sign as Standard Webhooks says")
    if _ID.fullmatch(values["webhook-id"]) is None:
        raise Refused("malformed", "not an id: at most 256 visible characters without full stops", where="webhook-id")
    if _TIMESTAMP.fullmatch(values["webhook-timestamp"]) is None:
        raise Refused("malformed", "not a Unix time in whole seconds", where="webhook-timestamp")
    if abs(now - int(values["webhook-timestamp"])) > TOLERANCE:
        raise Refused(
            "stale",
            f"the timestamp is more than {TOLERANCE // 60} minutes from the time here",
            where="webhook-timestamp",
            fix="sign every attempt with its own time, and set the sender's clock",
        )
    known = [token for token in values["webhook-signature"].split() if _SIGNATURE.fullmatch(token)]
    return Signed(values["webhook-id"], values["webhook-timestamp"], " ".join(known))


class Verifier:
    """Checks signatures against one secret.

    Raises:
        ConfigError: the secret is weak, or not written as ``whsec_`` and base64.
    """

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret_key(secret, "webhook secret"))

    def verify(self, body: bytes, signed: Signed) -> str:
        """Return the body as text if one of its signatures is right.

        Raises:
            Refused: none is (``unsigned``), or the body is not UTF-8 (``malformed``).
        """
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("malformed", "the body is not UTF-8", where="the body") from None
        headers = dict(zip(_HEADERS, (signed.id, signed.timestamp, signed.signatures), strict=True))
        try:
            self._webhook.verify(text, headers, json_parse=False)
        except WebhookVerificationError:
            raise Refused(
                "unsigned",
                "no signature fits this id, timestamp and body",
                where="webhook-signature",
                fix="check the secret, and sign the very bytes that are sent",
            ) from None
        return text
