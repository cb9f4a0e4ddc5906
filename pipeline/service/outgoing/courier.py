"""Sends what is in the outbox: signed, again where it was not taken, until it is taken or dead.

What a receiver answers is judged as Standard Webhooks says: 2xx takes a delivery, 410 wants no more of them, anything
else (a redirect too, which is not followed) is a failure.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx
from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.signed_delivery import Delivery, secret_key, signed_headers
from pipeline.service.outgoing.backoff import TRIES, wait_after
from pipeline.service.store.outbox import Due, Outbox

SECONDS: Final = 15.0
"""For an answer: whoever needs longer takes a delivery first and works afterwards."""

POLL_SECONDS: Final = 1.0
"""How often the database is asked whether something is due."""

SENDERS: Final = 4
"""Deliveries that are sent at once, so that a slow receiver keeps no other waiting."""

_STOP_SECONDS = 2 * SECONDS
_FORGET_SECONDS = 24 * 3600.0
_GONE = 410

_log = logging.getLogger(__name__)


@dataclass
class Courier:
    """The threads that send deliveries.

    Args:
        outbox: what is to be sent.
        secrets: each signs every delivery; a second one while the first is changed.
        where: names what holds the secrets, in errors.
        transport: how receivers are reached, where it is not by their addresses.
        clock: Unix time in seconds.
        draw: a random number on [0, 1).

    Raises:
        ConfigError: a secret is weak.
    """

    outbox: Outbox
    secrets: Sequence[str] = field(repr=False)
    where: str
    transport: httpx.BaseTransport | None = None
    clock: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        for secret in self.secrets or ("",):
            secret_key(secret, self.where)

    def start(self) -> None:
        """Begin to send."""
        for number in range(SENDERS):
            thread = threading.Thread(target=self._work, args=(number == 0,), name=f"webhooks-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Finish what is being sent; the rest stays in the outbox."""
        self._stopping.set()
        end = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self, cleans: bool) -> None:
        clean = 0.0
        with httpx.Client(timeout=SECONDS, transport=self.transport, trust_env=False) as client:
            while not self._stopping.is_set():
                try:
                    if cleans and time.monotonic() >= clean:
                        clean = time.monotonic() + _FORGET_SECONDS
                        self.outbox.forget()
                    if self.send_next(client):
                        continue
                except SQLAlchemyError as error:
                    _log.error("the database does not answer: %s", type(error).__name__)
                self._stopping.wait(POLL_SECONDS)

    def send_next(self, client: httpx.Client) -> bool:
        """Attempt the delivery that has been due longest; return whether there was one.

        Raises:
            SQLAlchemyError: the database is away; what was sent may be sent again.
        """
        due = self.outbox.claim(self.clock())
        if due is None:
            return False
        status, asked, problem = self._attempt(client, due)
        if problem is None:
            self.outbox.end(due.id, "delivered", status)
        elif status == _GONE or due.attempts >= TRIES:
            _log.error("webhook %s is dead after %d attempts: %s", due.id, due.attempts, problem)
            self.outbox.end(due.id, "dead", status, problem)
        else:
            wait = wait_after(due.attempts, self.draw(), asked)
            self.outbox.put_off(due.id, self.clock() + wait, status, problem)
        return True

    def _attempt(self, client: httpx.Client, due: Due) -> tuple[int | None, float, str | None]:
        """Return the status of the answer, the seconds that it asks to wait, and what is wrong, if anything."""
        headers = signed_headers(Delivery(due.id, due.body), self.secrets)
        try:
            with client.stream("POST", due.url, content=due.body.encode(), headers=headers) as answer:
                if answer.is_success:
                    return answer.status_code, 0.0, None
                asked = answer.headers.get("retry-after", "")
                seconds = float(asked) if asked.isdecimal() and len(asked) < 9 else 0.0
                told = " and leads elsewhere, which is not followed" if answer.is_redirect else ""
                return answer.status_code, seconds, f"answered {answer.status_code}{told}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, 0.0, f"cannot be reached: {type(error).__name__}"
