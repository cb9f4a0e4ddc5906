"""A sender of deliveries, signing with the real signer, and the webhook behind an in-process transport."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from standardwebhooks import Webhook

from pipeline.service.webhook import PATH
from schemas.webhook import RetrainRequest

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()

BODY: Mapping[str, Any] = {
    "type": "retrain",
    "version": "support-triage@champion",
    "rows": [{"message": "the lamp hums", "triage": "{}"}],
}


def signed(
    body: str,
    *,
    secret: str = SECRET,
    name: str | None = None,
    age: float = 0.0,
) -> dict[str, str]:
    """Return the headers of a delivery that was signed ``age`` seconds ago, with the id ``name`` or one of its own."""
    id_, time = name or f"msg_{uuid.uuid4().hex}", datetime.now(tz=UTC) - timedelta(seconds=age)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(time.timestamp())),
        "webhook-signature": Webhook(secret).sign(id_, time, body),
    }


def post(app: FastAPI, content: str | bytes | AsyncIterator[bytes], headers: Mapping[str, str]) -> httpx.Response:
    """Send one delivery."""
    return asyncio.run(send(app, content, headers))


async def send(
    app: FastAPI, content: str | bytes | AsyncIterator[bytes], headers: Mapping[str, str], path: str = PATH
) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hone") as client:
        return await client.post(path, content=content, headers=dict(headers))


def deliver(app: FastAPI, changes: Mapping[str, Any] | None = None, **how: Any) -> httpx.Response:
    """Sign and send `BODY` with ``changes``."""
    body = json.dumps({**BODY, **(changes or {})})
    return post(app, body, signed(body, **how))


@dataclass
class Starts:
    """What the webhook started; raises ``error`` instead where there is one."""

    asked: list[RetrainRequest] = field(default_factory=list)
    error: Exception | None = None

    def __call__(self, request: RetrainRequest) -> str:
        if self.error is not None:
            raise self.error
        self.asked.append(request)
        return f"support-triage-{len(self.asked):010x}"
