"""What a detector can read of one answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One request and its answer; what is not known is None.

    Attributes:
        id: names the answer.
        at: when it was asked, Unix seconds.
        unit: who asked, or in which conversation; rows of one unit are not independent.
        input: the last turn of a user. output: the answer.
        input_length, output_length: characters of both, known also where the texts are not.
        confidence: the geometric mean of the answer's token probabilities.
        failed, refused: the engine failed; the answer refuses.
        score: the mean of the scores that people gave, in [0, 1].
        messages: the request's turns. correction: what somebody said that the answer should have been.
    """

    id: str
    at: float | None = None
    unit: str | None = None
    input: str | None = None
    output: str | None = None
    input_length: int | None = None
    output_length: int | None = None
    confidence: float | None = None
    failed: bool | None = None
    refused: bool | None = None
    score: float | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    correction: str | None = None


def last_input(request: Mapping[str, Any]) -> str | None:
    """Return the text of a request's last user turn, or its prompt; None where it holds no text."""
    messages = request.get("messages")
    if isinstance(messages, list):
        turns = [turn for turn in messages if isinstance(turn, dict) and turn.get("role") == "user"]
        return text_of(turns[-1].get("content")) if turns else None
    return text_of(request.get("prompt", request.get("input")))


def text_of(content: Any) -> str | None:
    """Return the text of a turn's content: a string, or the text parts of a list as OpenAI has it."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n".join(texts) if texts else None


def label_parts(output: str) -> frozenset[str]:
    """Return what an answer says as labels: ``key=value`` of each plain value of a JSON object, or the whole text."""
    text = " ".join(output.split())
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict) and found:
            return frozenset(f"{key}={json.dumps(value)}" for key, value in found.items() if not _is_nested(value))
    return frozenset({text})


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))
