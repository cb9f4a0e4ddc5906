"""Requests to an OpenAI-compatible address over httpx: several at a time, repeated where that helps."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from pipeline.core.errors import ConfigError, EngineError, HoneError

T = TypeVar("T")

ATTEMPTS = 6
"""Attempts at a request at most."""

FIRST_DELAY = 0.5
"""Seconds before the second attempt; doubled for each further one, up to `LONGEST_DELAY`."""

LONGEST_DELAY = 30.0

_CONNECT_SECONDS = 10.0
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_POLL = 0.2

Payload = dict[str, Any]
Adapts = Callable[[Payload, httpx.Response], bool]
"""Tells whether a request that was refused as bad goes otherwise when it is made again."""


def _never(_payload: Payload, _response: httpx.Response) -> bool:
    return False


@dataclass(frozen=True)
class OpenAIAddress:
    """A model behind an OpenAI-compatible address.

    Args:
        base_url: with its version, such as ``http://127.0.0.1:8000/v1``.
        model: the name that the address knows.
        api_key: sent as a bearer token; None for an address that asks for none.
        key_name: how errors call the secret.
        key: the key of the run description that describes it, for errors.
        timeout_seconds: of one request.
    """

    base_url: str
    model: str
    api_key: str | None = field(repr=False)
    key_name: str | None = None
    key: str = "evaluate.baselines.endpoint"
    timeout_seconds: float = 120.0

    def url(self, path: str) -> str:
        """Return the address of ``path``, such as ``chat/completions``."""
        return f"{self.base_url.rstrip('/')}/{path}"

    def post_all(
        self,
        path: str,
        payloads: Sequence[Callable[[], Payload]],
        read: Callable[[httpx.Response], T],
        *,
        workers: int,
        advance: Callable[[int], None],
        adapts: Adapts = _never,
    ) -> list[T]:
        """Post each payload, made anew for each attempt, and return what ``read`` makes of the answers, in order.

        A request is repeated after a time-out, a broken connection, 429 and 5xx, with growing pauses
        (``Retry-After`` is obeyed), and at once where it was refused as bad and ``adapts``.

        Raises:
            ConfigError: the address, the key or the model is wrong.
            EngineError: no answer comes, or a refusal.
        """
        self._check_key()
        answers: dict[int, T] = {}
        stop = threading.Event()
        headers = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        timeout = httpx.Timeout(self.timeout_seconds, connect=min(_CONNECT_SECONDS, self.timeout_seconds))
        limits = httpx.Limits(max_connections=workers)
        with (
            httpx.Client(timeout=timeout, headers=headers, limits=limits) as client,
            ThreadPoolExecutor(max_workers=workers) as pool,
        ):
            places = {
                pool.submit(self._post, client, path, make, stop, adapts): place for place, make in enumerate(payloads)
            }
            pending = set(places)
            try:
                while pending:
                    done, pending = wait(pending, timeout=_POLL, return_when=FIRST_COMPLETED)
                    for future in done:
                        answers[places[future]] = read(future.result())
                    advance(len(done))
            finally:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        return [answers[place] for place in range(len(payloads))]

    def _post(
        self, client: httpx.Client, path: str, make: Callable[[], Payload], stop: threading.Event, adapts: Adapts
    ) -> httpx.Response:
        url, delay, problem, attempt = self.url(path), FIRST_DELAY, "", 0
        while attempt < ATTEMPTS and not stop.is_set():
            payload = make()
            try:
                response = client.post(url, json=payload)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise self._wrong_address(path, str(error)) from error
            except (httpx.TransportError, httpx.DecodingError) as error:
                problem, pause = f"{type(error).__name__}: {error}", delay
            else:
                if response.status_code == httpx.codes.OK:
                    return response
                if response.status_code == httpx.codes.BAD_REQUEST and adapts(payload, response):
                    continue
                if response.status_code not in _AGAIN:
                    raise self._refusal(path, response)
                problem, pause = self._described(response), _pause(response, delay)
            attempt += 1
            delay = min(2 * delay, LONGEST_DELAY)
            if attempt < ATTEMPTS:
                stop.wait(pause)
        raise EngineError(
            f"the endpoint gave no answer in {attempt} attempts; last: {problem}",
            where=url,
            fix="check that it is up and how many requests it allows; ask fewer at once, and give it more time",
        )

    def _check_key(self) -> None:
        """Refuse a key that no header can hold: what a client says of it would show it."""
        if self.api_key is not None and not re.fullmatch(r"[!-~]+", self.api_key):
            raise ConfigError(
                "the key is empty, or holds a space, a line break or a character that is not ASCII",
                where=self.key_name or f"{self.key}.api_key_secret",
                fix="set it to the key alone, without a line break at its end",
            )

    def unreadable(self, path: str, what: str, response: httpx.Response) -> EngineError:
        """Return the error of an answer that is not ``what``."""
        return EngineError(
            f"the endpoint's answer is no {what}",
            where=self.url(path),
            fix=f"give a base_url that speaks OpenAI's {what}s, with its /v1",
            detail=response.text[:2000],
        )

    def _refusal(self, path: str, response: httpx.Response) -> HoneError:
        described = self._described(response)
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            name = self.key_name
            fix = f"check the value of {name}" if name else f"name its key in {self.key}.api_key_secret"
            return ConfigError(f"the endpoint refuses the key: {described}", where=name or self.url(path), fix=fix)
        if response.status_code == httpx.codes.NOT_FOUND:
            return self._wrong_address(path, described)
        return EngineError(
            f"the endpoint refuses the request: {described}", where=self.url(path), fix="correct what it names"
        )

    def _described(self, response: httpx.Response) -> str:
        """Return status and message in one line, without the key that some endpoints repeat."""
        message = " ".join(str(error_of(response).get("message") or response.text).split())
        if self.api_key:
            message = message.replace(self.api_key, "***")
        return f"{response.status_code} {message[:300]}".strip()

    def _wrong_address(self, path: str, described: str) -> ConfigError:
        return ConfigError(
            f"the endpoint does not know this address or the model {self.model}: {described}",
            where=self.url(path),
            fix=f"correct {self.key}.base_url (with its /v1) and model",
        )


def error_of(response: httpx.Response) -> Mapping[str, Any]:
    """Return the error that a response tells of, empty where it tells none."""
    try:
        error = response.json().get("error")
    except (ValueError, AttributeError, RecursionError):
        return {}
    return error if isinstance(error, Mapping) else {}


def _pause(response: httpx.Response, delay: float) -> float:
    """Return the seconds to wait: as the endpoint asks, within reason, or the usual."""
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), LONGEST_DELAY)
    except (KeyError, ValueError):
        return delay
