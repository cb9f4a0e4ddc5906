"""Chat requests to an OpenAI-compatible server, as far as the checks need them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import EngineError

ANSWER_SECONDS = 300.0
_SHOWN = 300


@dataclass(frozen=True)
class Answer:
    """One answer. ``prompt_token_ids`` is None where the server does not tell them."""

    text: str
    prompt_token_ids: list[int] | None
    finish_reason: str


class Client:
    """Requests to one server.

    Args:
        base_url: ends in ``/v1``.
        api_key: sent as a bearer token, if given.
    """

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        import httpx

        self.base_url = base_url
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(headers=headers, timeout=ANSWER_SECONDS, trust_env=False)
        self._address = (self._http.build_request("GET", base_url).url.host, httpx.URL(base_url).port or 80)

    def listens(self) -> bool:
        """Return whether the port accepts connections."""
        try:
            with socket.create_connection(self._address, timeout=1.0):
                return True
        except OSError:
            return False

    def chat(self, request: Mapping[str, Any]) -> Answer:
        """Send a chat request and return its answer.

        Raises:
            EngineError: no connection, an HTTP error, or an answer of another form.
        """
        import httpx

        try:
            response = self._http.post(f"{self.base_url}/chat/completions", json=dict(request))
        except httpx.HTTPError as error:
            raise EngineError(f"{type(error).__name__}: {error}", where=self.base_url) from error
        if response.status_code != httpx.codes.OK:
            raise EngineError(f"status {response.status_code}: {response.text[:_SHOWN]}", where=self.base_url)
        try:
            body = response.json()
            choice = body["choices"][0]
            text = choice["message"].get("content") or ""
            return Answer(str(text), body.get("prompt_token_ids"), str(choice.get("finish_reason")))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise EngineError(f"an answer of another form: {response.text[:_SHOWN]}", where=self.base_url) from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
