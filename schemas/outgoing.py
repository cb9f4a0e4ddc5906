"""Webhooks that the service sends: the events that happen here, and deliveries of them to addresses."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, JsonValue

from schemas.base import Schema

JobEventType = Literal["fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"]
"""As OpenAI names them."""

RolloutEventType = Literal[
    "rollout.started", "rollout.step", "rollout.promoted", "rollout.rolled_back", "rollout.cancelled"
]

EventType = JobEventType | RolloutEventType

EVENT_TYPES: tuple[str, ...] = (*get_args(JobEventType), *get_args(RolloutEventType))

DeliveryState = Literal["pending", "delivered", "dead"]
"""``pending`` is sent, or sent again; ``delivered`` was taken; ``dead`` is sent no more unless somebody says so."""

_SCHEMES = ("https://", "http://")


def _is_address(url: str) -> str:
    if not url.startswith(_SCHEMES) or "@" in url.split("/", 3)[2] or not url.split("/", 3)[2]:
        raise ValueError("an address is http:// or https://, a host without a user or password, and a path")
    return url


Address = Annotated[str, Field(max_length=1024, pattern=r"^[!-~]+$"), AfterValidator(_is_address)]
"""Where deliveries go."""


class OutgoingEvent(Schema):
    """The body of a delivery, as OpenAI's events have it: ids and how things stand, and nothing of what is in them."""

    id: str
    object: Literal["event"] = "event"
    created_at: int
    type: EventType
    data: dict[str, JsonValue]


class OutgoingDelivery(Schema):
    """An event on its way to one address. Times are Unix seconds.

    ``id`` is the header ``webhook-id`` of every attempt; ``next_at`` is when a pending one is tried next;
    ``http_status`` and ``problem`` are of the last attempt that failed.
    """

    id: str
    event: str
    type: EventType
    url: str
    created_at: int
    state: DeliveryState
    attempts: int
    next_at: float | None
    ended_at: int | None
    http_status: int | None
    problem: str | None
    body: OutgoingEvent
