"""Parity: the served model reads prompts and answers them exactly as training and evaluation did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.examples import read_examples
from pipeline.render import Tokenizer, render_prompt
from pipeline.serve.client import Answer, Client
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example
from schemas.evaluate import EvaluateArtifact, GenerationConfig
from schemas.render import RenderOptions


@dataclass(frozen=True)
class Expected:
    """One item: its chat messages, the token ids that training renders, and what evaluation answered.

    ``evaluated_tokens`` is the prompt's length in tokens when it was evaluated.
    """

    id: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] | None
    prompt_ids: list[int]
    evaluated_tokens: int
    prediction: str


@dataclass(frozen=True)
class Comparison:
    """One item served. ``prompt_equal`` is None where the engine does not tell its prompt token ids."""

    id: str
    prompt_tokens: int
    prompt_equal: bool | None
    first_difference: int | None
    expected: str
    served: str

    @property
    def answer_equal(self) -> bool:
        """Whether the served answer is the evaluation's, to the letter."""
        return self.expected == self.served


def expectations(
    data: Stored[DataArtifact],
    evaluation: Stored[EvaluateArtifact],
    tokenizer: Tokenizer,
    options: RenderOptions,
    count: int,
) -> list[Expected]:
    """Return the first ``count`` evaluated items (all, where there are fewer) as the server must see them.

    Raises:
        IntegrityError: an evaluated item is not in the split that it is said to come from.
        ConfigError: the data has no conversations.
    """
    split = evaluation.artifact.split
    by_id = {example.id: example for example in read_examples(data.file(data.artifact.files[split]))}
    expected = []
    for row in _evaluated(evaluation, count):
        example = by_id.get(row["id"])
        if example is None:
            raise IntegrityError(
                f"the evaluated item {row['id']} is not in the {split} split",
                where=str(evaluation.file(evaluation.artifact.items)),
                fix="run with --fresh evaluate to make the evaluation again",
            )
        if not example.messages:
            raise ConfigError("plain text has no prompts to serve", where="serve", fix="set serve: false")
        expected.append(_expected(example, row, tokenizer, options))
    return expected


def _expected(example: Example, row: Mapping[str, Any], tokenizer: Tokenizer, options: RenderOptions) -> Expected:
    return Expected(
        id=example.id,
        messages=tuple(message.for_template() for message in example.prompt),
        tools=example.tools,
        prompt_ids=render_prompt(example.prompt, tokenizer, options, tools=example.tools),
        evaluated_tokens=row["prompt_tokens"],
        prediction=row["prediction"],
    )


def _evaluated(evaluation: Stored[EvaluateArtifact], count: int) -> list[dict[str, Any]]:
    from pyarrow import parquet

    table = parquet.read_table(
        evaluation.file(evaluation.artifact.items), columns=["id", "prediction", "prompt_tokens"]
    )
    rows: list[dict[str, Any]] = table.slice(0, count).to_pylist()
    return rows


def chat_request(item: Expected, generation: GenerationConfig) -> dict[str, Any]:
    """Return the greedy chat request for an item, without the model's name."""
    request: dict[str, Any] = {
        "messages": [dict(message) for message in item.messages],
        "max_tokens": generation.max_new_tokens,
        "temperature": 0,
    }
    if item.tools:
        request |= {"tools": [dict(tool) for tool in item.tools], "tool_choice": "none"}
    return request


def compare(
    client: Client,
    model: str,
    expected: Sequence[Expected],
    generation: GenerationConfig,
    context: CallContext,
    extra: Mapping[str, Any],
) -> Iterator[Comparison]:
    """Ask the server for every item, one after the other: then an answer depends on its own prompt alone.

    ``extra`` asks the engine for prompt token ids, in its own way.

    Raises:
        EngineError: the server does not answer.
    """
    for item in context.track(expected, "parity", len(expected)):
        request = {**chat_request(item, generation), "model": model, **extra}
        yield _compared(item, client.chat(request))


def _compared(item: Expected, answer: Answer) -> Comparison:
    served = answer.prompt_token_ids
    equal = None if served is None else served == item.prompt_ids and len(served) == item.evaluated_tokens
    return Comparison(
        id=item.id,
        prompt_tokens=len(item.prompt_ids),
        prompt_equal=equal,
        first_difference=None if served is None else first_difference(item.prompt_ids, served),
        expected=item.prediction,
        served=answer.text,
    )


def first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """Return the first position at which two lists differ, None where they are equal.

    >>> first_difference([1, 2, 3], [1, 2])
    2
    """
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return None if len(left) == len(right) else min(len(left), len(right))


def write_comparisons(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Write one JSON line per item."""
    lines = (
        {
            "id": found.id,
            "prompt_tokens": found.prompt_tokens,
            "prompt_equal": found.prompt_equal,
            "first_difference": found.first_difference,
            "answer_equal": found.answer_equal,
            "expected": found.expected,
            "served": found.served,
        }
        for found in comparisons
    )
    text = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
