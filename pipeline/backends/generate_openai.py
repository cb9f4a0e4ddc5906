"""Answers from any OpenAI-compatible endpoint: chat completions, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx

from pipeline.backends.generation import Advance, Completion, Question
from pipeline.backends.openai_http import OpenAIAddress, error_of
from pipeline.core.context import CallContext
from schemas.evaluate import GenerationConfig

PATH = "chat/completions"

_RENAMED = {"max_tokens": "max_completion_tokens", "temperature": None, "top_p": None, "seed": None}
"""Parameters that some models refuse, and what is sent in their place."""


class ChatEndpoint:
    """A chat model behind ``<base_url>/chat/completions``; the arguments are those of `OpenAIAddress`."""

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
        self._at = OpenAIAddress(base_url, model, api_key, key_name, key, timeout_seconds)
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

        A sampling parameter that the model refuses is left out from then on, with a warning.

        Raises:
            ConfigError, EngineError: see `OpenAIAddress.post_all`.
        """
        if advance is None:
            with context.progress("ask the endpoint", len(questions)) as shown:
                return self.answer(questions, config, context, shown)
        return self._at.post_all(
            PATH,
            [partial(self._payload, question, config) for question in questions],
            self._completion,
            workers=config.batch_size,
            advance=advance,
            adapts=lambda payload, response: self._adapts(payload, response, context),
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
        payload["model"] = self._at.model
        payload["messages"] = [message.for_template() for message in question.messages]
        if question.tools:
            payload["tools"] = [dict(tool) for tool in question.tools]
        return payload

    def _adapts(self, payload: Mapping[str, Any], response: httpx.Response, context: CallContext) -> bool:
        """Leave out, or rename, the parameter that the endpoint refuses; False where it refuses something else."""
        name = error_of(response).get("param")
        if name not in _RENAMED or name not in payload:
            return False
        with self._lock:
            first = name not in self._refused
            self._refused.add(name)
        if first:
            instead = f"{_RENAMED[name]} is sent" if _RENAMED[name] else "it is left to the endpoint"
            context.warn(f"{self._at.model} does not take {name}; {instead}", parameter=name)
        return True

    def _completion(self, response: httpx.Response) -> Completion:
        try:
            body = response.json()
            choice = body["choices"][0]
            text = choice["message"].get("content") or ""
            # Half of a surrogate pair can be escaped in JSON, and is no text that can be kept.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            usage = body.get("usage") or {}
            return Completion(
                text=text,
                token_ids=[],
                finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
                prompt_tokens=int(usage.get("prompt_tokens") or 0),
                completion_tokens=int(usage.get("completion_tokens") or 0),
            )
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise self._at.unreadable(PATH, "chat completion", response) from error
