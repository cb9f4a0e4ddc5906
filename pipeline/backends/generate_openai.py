"""Answers from any OpenAI-compatible endpoint: chat completions over httpx, several at a time, with retries."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import httpx

from pipeline.backends.generation import Advance, Completion, Question
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, EngineError, HoneError
from schemas.evaluate import GenerationConfig

ATTEMPTS = 6
"""Requests per conversation at most."""

FIRST_DELAY = 0.5
"""Seconds before the second attempt; doubled for each further one, up to `LONGEST_DELAY`."""

LONGEST_DELAY = 30.0

_CONNECT_SECONDS = 10.0
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_RENAMED = {"max_tokens": "max_completion_tokens", "temperature": None, "top_p": None, "seed": None}
"""Parameters that some models refuse, and what is sent in their place."""

_POLL = 0.2


class ChatEndpoint:
    """A chat model behind ``<base_url>/chat/completions``.

    Args:
        base_url: with its version, such as ``http://127.0.0.1:8000/v1``.
        model: the name that the endpoint knows.
        api_key: sent as a bearer token; None for an endpoint that asks for none.
        key_name: how errors call the secret.
        key: the key of the run description that describes it, for errors.
        timeout_seconds: of one request.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None,
        key_name: str | None = None,
        key: str = "evaluate.baselines.endpoint",
        timeout_seconds: float = 120.0,
    ) -> None:
        self._key = key
        self._timeout = httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds))
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._model = model
        self._key_name = key_name
        self._api_key = api_key
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._refused: set[str] = set()
        self._lock = threading.Lock()

    def answer(
        self,
        questions: Sequence[Question],
        config: GenerationConfig,
        context: CallContext,
        advance: Advance | None = None,
    ) -> list[Completion]:
        """Return one completion per question, in order, asking ``batch_size`` at a time.

        A request is repeated after a time-out, a broken connection, 429 and 5xx, with growing pauses
        (``Retry-After`` is obeyed). A sampling parameter that the model refuses is left out from then on, with a
        warning.

        Raises:
            ConfigError: the address, the key or the model is wrong.
            EngineError: the endpoint does not answer, or not with a completion.
        """
        if advance is None:
            with context.progress("ask the endpoint", len(questions)) as shown:
                return self.answer(questions, config, context, shown)
        completions: dict[int, Completion] = {}
        stop = threading.Event()
        limits = httpx.Limits(max_connections=config.batch_size)
        with (
            httpx.Client(timeout=self._timeout, headers=self._headers, limits=limits) as client,
            ThreadPoolExecutor(max_workers=config.batch_size) as pool,
        ):
            places = {
                pool.submit(self._ask, client, question, config, stop, context): place
                for place, question in enumerate(questions)
            }
            pending = set(places)
            try:
                while pending:
                    done, pending = wait(pending, timeout=_POLL, return_when=FIRST_COMPLETED)
                    for future in done:
                        completions[places[future]] = future.result()
                    advance(len(done))
            finally:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        return [completions[place] for place in range(len(questions))]

    def _ask(
        self,
        client: httpx.Client,
        question: Question,
        config: GenerationConfig,
        stop: threading.Event,
        context: CallContext,
    ) -> Completion:
        delay = FIRST_DELAY
        problem = ""
        attempt = 0
        while attempt < ATTEMPTS and not stop.is_set():
            payload = self._payload(question, config)
            try:
                response = client.post(self._url, json=payload)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise self._wrong_address(str(error)) from error
            except httpx.TransportError as error:
                problem, pause = f"{type(error).__name__}: {error}", delay
            else:
                if response.status_code == httpx.codes.OK:
                    return self._completion(response)
                if response.status_code == httpx.codes.BAD_REQUEST and self._adapts(payload, response, context):
                    continue
                if response.status_code not in _AGAIN:
                    raise self._refusal(response)
                problem, pause = self._described(response), _pause(response, delay)
            attempt += 1
            delay = min(2 * delay, LONGEST_DELAY)
            if attempt < ATTEMPTS:
                stop.wait(pause)
        raise EngineError(
            f"the endpoint gave no answer in {attempt} attempts; last: {problem}",
            where=self._url,
            fix="check that it is up and how many requests it allows; ask fewer at once, and give it more time",
        )

    def _payload(self, question: Question, config: GenerationConfig) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "max_tokens": config.max_new_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "seed": config.seed,
        }
        with self._lock:
            for name in self._refused:
                value, renamed = payload.pop(name), _RENAMED[name]
                if renamed is not None:
                    payload[renamed] = value
        payload["model"] = self._model
        payload["messages"] = [message.for_template() for message in question.messages]
        if question.tools:
            payload["tools"] = [dict(tool) for tool in question.tools]
        return payload

    def _adapts(self, payload: Mapping[str, Any], response: httpx.Response, context: CallContext) -> bool:
        """Leave out, or rename, the parameter that the endpoint refuses; False where it refuses something else."""
        name = _error_of(response).get("param")
        if name not in _RENAMED or name not in payload:
            return False
        with self._lock:
            first = name not in self._refused
            self._refused.add(name)
        if first:
            instead = f"{_RENAMED[name]} is sent" if _RENAMED[name] else "it is left to the endpoint"
            context.warn(f"{self._model} does not take {name}; {instead}", parameter=name)
        return True

    def _completion(self, response: httpx.Response) -> Completion:
        try:
            body = response.json()
            choice = body["choices"][0]
            text = choice["message"].get("content") or ""
            usage = body.get("usage") or {}
            return Completion(
                text=text,
                token_ids=[],
                finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
                prompt_tokens=int(usage.get("prompt_tokens") or 0),
                completion_tokens=int(usage.get("completion_tokens") or 0),
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise EngineError(
                "the endpoint's answer is no chat completion",
                where=self._url,
                fix="give a base_url that speaks OpenAI's chat completions, with its /v1",
                detail=response.text[:2000],
            ) from error

    def _refusal(self, response: httpx.Response) -> HoneError:
        described = self._described(response)
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            name = self._key_name
            fix = f"check the value of {name}" if name else f"name its key in {self._key}.api_key_secret"
            return ConfigError(f"the endpoint refuses the key: {described}", where=name or self._url, fix=fix)
        if response.status_code == httpx.codes.NOT_FOUND:
            return self._wrong_address(described)
        return EngineError(
            f"the endpoint refuses the request: {described}", where=self._url, fix="correct what it names"
        )

    def _described(self, response: httpx.Response) -> str:
        """Return status and message in one line, without the key that some endpoints repeat."""
        message = " ".join(str(_error_of(response).get("message") or response.text).split())
        if self._api_key:
            message = message.replace(self._api_key, "***")
        return f"{response.status_code} {message[:300]}".strip()

    def _wrong_address(self, described: str) -> ConfigError:
        return ConfigError(
            f"the endpoint does not know this address or the model {self._model}: {described}",
            where=self._url,
            fix=f"correct {self._key}.base_url (with its /v1) and model",
        )


def _error_of(response: httpx.Response) -> Mapping[str, Any]:
    try:
        error = response.json().get("error")
    except (ValueError, AttributeError):
        return {}
    return error if isinstance(error, Mapping) else {}


def _pause(response: httpx.Response, delay: float) -> float:
    """Return the seconds to wait: as the endpoint asks, within reason, or the usual."""
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), LONGEST_DELAY)
    except (KeyError, ValueError):
        return delay
