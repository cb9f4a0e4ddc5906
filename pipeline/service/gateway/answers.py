"""What an answer says: its id, its text, whether it refuses; from JSON or from server-sent events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.service.gateway.exchange import Exchange
from pipeline.service.gateway.guardrails import Observation
from schemas.rollout import REFUSALS

_DATA = b"data:"
_BEGINNING = 200
"""Characters of an answer in which a refusal would stand."""


@dataclass
class Answer:
    """What was read. ``is_whole``: the engine said that it was done."""

    id: str | None = None
    text: str = ""
    refused: bool = False
    calls_tools: bool = False
    is_whole: bool = False
    logprobs: list[float] = field(default_factory=list)

    @property
    def confidence(self) -> float | None:
        """The geometric mean of the tokens' probabilities, where whoever asked asked for them."""
        return math.exp(math.fsum(self.logprobs) / len(self.logprobs)) if self.logprobs else None


def read_answer(exchange: Exchange) -> Answer:
    """Read an exchange's answer as far as it goes; what is not as OpenAI has it is left out."""
    content = b"".join(exchange.pieces)
    answer = Answer()
    if not exchange.streamed:
        answer.is_whole = _take(answer, _loaded(content)) and not exchange.truncated
        return answer
    for line in content.splitlines():
        if not line.startswith(_DATA):
            continue
        said = line[len(_DATA) :].strip()
        if said == b"[DONE]":
            answer.is_whole = True
        elif not _take(answer, _loaded(said)):
            exchange.broken = True
    return answer


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _take(answer: Answer, said: Any) -> bool:
    """Add a body or a piece of a stream to what was read; return whether it is an answer and no error."""
    if not isinstance(said, dict) or "error" in said:
        return False
    if answer.id is None and isinstance(said.get("id"), str):
        answer.id = said["id"][:200]
    choices = said.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return True
    message = first.get("message") or first.get("delta")
    if isinstance(message, dict):
        answer.text += message["content"] if isinstance(message.get("content"), str) else ""
        answer.calls_tools = answer.calls_tools or bool(message.get("tool_calls"))
        answer.refused = answer.refused or bool(message.get("refusal"))
    elif isinstance(first.get("text"), str):
        answer.text += first["text"]
    answer.refused = answer.refused or first.get("finish_reason") == "content_filter"
    if isinstance(first.get("logprobs"), dict):
        answer.logprobs += _logprobs(first["logprobs"])
    return True


def _logprobs(said: Mapping[str, Any]) -> Iterator[float]:
    """Yield the tokens' log-probabilities, as chat completions (``content``) or completions have them."""
    tokens = said.get("content")
    found = [token.get("logprob") for token in tokens if isinstance(token, dict)] if isinstance(tokens, list) else None
    listed = said.get("token_logprobs")
    for value in found if found is not None else listed if isinstance(listed, list) else ():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0.0:
            yield float(value)


def refuses(answer: Answer, phrases: tuple[str, ...] = REFUSALS) -> bool:
    """Tell whether an answer refuses: the engine says so, or it begins with one of ``phrases``."""
    beginning = answer.text[:_BEGINNING].lstrip().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()
    return answer.refused or beginning.startswith(phrases)


def observation(exchange: Exchange, answer: Answer, phrases: tuple[str, ...] = REFUSALS) -> Observation | None:
    """Return what an exchange says about its version; None where it says nothing: the request was wrong, or left."""
    breaks_off = exchange.streamed and not (answer.is_whole or exchange.left or exchange.truncated)
    if exchange.failed or breaks_off:
        return Observation(failed=True)
    if exchange.status >= 400 or exchange.left or exchange.first is None or exchange.ended is None:
        return None
    has_text = exchange.path != "embeddings" and not answer.calls_tools and not exchange.truncated
    return Observation(
        first_byte_ms=1000 * (exchange.first - exchange.began),
        answer_ms=1000 * (exchange.ended - exchange.began),
        refused=refuses(answer, phrases) if has_text else None,
        length=len(answer.text) if has_text else None,
    )
