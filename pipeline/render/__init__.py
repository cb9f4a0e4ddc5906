"""The one render: a conversation becomes token ids and a loss mask, for training, evaluation and serving alike."""

from __future__ import annotations

from pipeline.render.chatml import CHATML
from pipeline.render.conversation import (
    Rendered,
    render_conversation,
    render_conversations,
    render_prompt,
    render_text,
)
from pipeline.render.digest import template_digest
from pipeline.render.ending import end_of_turn_ids
from pipeline.render.preference import RenderedPair, RenderedVerdict, render_preference, split_answer
from pipeline.render.preflight import Inspection, RenderedRows, inspect_examples, render_examples
from pipeline.render.prompt import RenderedPrompt, as_prompt
from pipeline.render.tokenizer import Tokenizer

__all__ = [
    "CHATML",
    "Inspection",
    "Rendered",
    "RenderedPair",
    "RenderedPrompt",
    "RenderedRows",
    "RenderedVerdict",
    "Tokenizer",
    "as_prompt",
    "end_of_turn_ids",
    "inspect_examples",
    "render_conversation",
    "render_conversations",
    "render_examples",
    "render_preference",
    "render_prompt",
    "render_text",
    "split_answer",
    "template_digest",
]
