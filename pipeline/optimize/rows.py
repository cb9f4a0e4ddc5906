"""Rows of the data as token ids, by the one render: what calibrates a quantizer, what models are compared on."""

from __future__ import annotations

import random

from pipeline.core.errors import DataError
from pipeline.core.examples import read_examples
from pipeline.render import Tokenizer, render_conversation, render_prompt, render_text
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Split
from schemas.render import RenderOptions

PROBES = 8
"""Prompts on which logits are compared."""


def calibration_rows(
    data: Stored[DataArtifact],
    tokenizer: Tokenizer,
    options: RenderOptions,
    *,
    count: int,
    max_length: int,
    seed: int,
) -> list[list[int]]:
    """Return ``count`` training rows (all, where there are fewer), drawn with ``seed`` and rendered as for training.

    Raises:
        DataError: there are no training rows.
    """
    examples = read_examples(data.file(data.artifact.files["train"]))
    if not examples:
        raise DataError(
            "there are no training rows to calibrate on", where="data", fix="keep at least one training row"
        )
    drawn = random.Random(seed).sample(examples, min(count, len(examples)))  # noqa: S311 - a draw, not a secret
    return [_row_ids(example, tokenizer, options)[:max_length] for example in drawn]


def probe_prompts(
    data: Stored[DataArtifact], tokenizer: Tokenizer, options: RenderOptions, *, max_length: int
) -> list[list[int]]:
    """Return the first prompts of the test split (of a smaller split where there is none) as token ids.

    Raises:
        DataError: no split has a row.
    """
    order: tuple[Split, ...] = ("test", "validation", "train")
    for split in order:
        if data.artifact.rows.get(split, 0) > 0:
            examples = read_examples(data.file(data.artifact.files[split]), PROBES)
            return [_prompt_ids(example, tokenizer, options)[:max_length] for example in examples]
    raise DataError("no split has a row to compare models on", where="data", fix="keep at least one row")


def _row_ids(example: Example, tokenizer: Tokenizer, options: RenderOptions) -> list[int]:
    if example.text is not None:
        return render_text(example.text, tokenizer).ids
    turns = (*example.messages, *example.chosen)
    return render_conversation(turns, tokenizer, options, tools=example.tools).ids


def _prompt_ids(example: Example, tokenizer: Tokenizer, options: RenderOptions) -> list[int]:
    if example.text is not None:
        return render_text(example.text, tokenizer).ids
    return render_prompt(example.prompt, tokenizer, options, tools=example.tools)
