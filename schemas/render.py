"""Rendering: how a conversation becomes token ids and a loss mask, and what the preflight counted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Reference, Schema

LongRows = Literal["drop", "truncate", "stop"]


class RenderOptions(Schema):
    """The options of the one render, under TRL's names.

    ``completion_only_loss`` trains the last assistant turn, ``assistant_only_loss`` every assistant turn, neither all
    tokens. ``long_rows`` says what happens to a row of more than ``max_length`` tokens; truncation cuts the end.
    ``chat_template`` replaces the tokenizer's own.
    """

    completion_only_loss: bool = True
    assistant_only_loss: bool = False
    long_rows: LongRows = "drop"
    chat_template: str | None = None


class RenderConfig(Schema):
    """What the preflight needs: the tokenizer (a model folder or Hub id), the options and the length in tokens."""

    tokenizer: Reference
    options: RenderOptions = RenderOptions()
    max_length: Annotated[int, Field(gt=0)] = 1024


class RenderReport(Schema):
    """What rendering did to a set of rows; every row is in exactly one of ``kept``, ``dropped_long``.

    ``truncated`` are kept rows that were cut, ``ended`` kept rows with a trained end-of-turn token (of a pair:
    the chosen side's). ``turns_left_out`` are the assistant turns of all rows that ``completion_only_loss`` leaves out
    although their weight is not 0. Tokens count kept rows only.
    """

    rows: int
    kept: int
    dropped_long: int
    truncated: int
    ended: int = 0
    turns_left_out: int = 0
    tokens: int
    trained_tokens: int
    longest: int
    median_length: float
    p95_length: float
    template_digest: str
