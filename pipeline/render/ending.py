"""The end of a turn: the special token that closes an assistant turn and tells the engine to stop."""

from __future__ import annotations

import re

from pipeline.core.errors import RenderError
from pipeline.render.layout import chat_template_of, render_text_of
from pipeline.render.tokenizer import Tokenizer, special_tokens
from schemas.data import Message
from schemas.render import RenderOptions


def end_pattern(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """Return a pattern that matches a special token followed by white space up to the end of a text."""
    tokens = _alternatives(tokenizer)
    return re.compile(rf"(?P<token>{tokens})\s*$") if tokens else None


def is_doubled(text: str, start: int, end: int, pattern: re.Pattern[str] | None) -> bool:
    """Say whether ``text[start:end]`` ends with the same special token twice; ``pattern`` is `end_pattern`'s."""
    last = pattern.search(text, start, end) if pattern is not None else None
    earlier = pattern.search(text, start, last.start("token")) if pattern is not None and last is not None else None
    return last is not None and earlier is not None and last["token"] == earlier["token"]


def special_pattern(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """Return a pattern that finds any special token in a text."""
    tokens = _alternatives(tokenizer)
    return re.compile(tokens) if tokens else None


def _alternatives(tokenizer: Tokenizer) -> str:
    """Return a pattern for any special token, longer ones first; empty where there is none."""
    tokens = [re.escape(token) for token in special_tokens(tokenizer) if token]
    return "|".join(sorted(tokens, key=len, reverse=True))


def end_of_turn_ids(tokenizer: Tokenizer, options: RenderOptions | None = None) -> list[int]:
    """Return the ids at which generation must stop: the tokenizer's own end, and what closes an assistant turn.

    Raises:
        RenderError: the template cannot render a plain question and answer.
    """
    ids = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if chat_template_of(tokenizer, options) is None:
        return ids
    closing = _closing_token(tokenizer, options)
    if closing is not None:
        token = tokenizer.convert_tokens_to_ids(closing)
        if token not in ids:
            ids.append(token)
    if not ids:
        raise RenderError(
            "the tokenizer has no end token and the chat template closes a turn with none",
            where="train.chat_template",
            fix="give a chat template that ends each assistant turn with a special token",
        )
    return ids


def _closing_token(tokenizer: Tokenizer, options: RenderOptions | None) -> str | None:
    """Return the last of the special tokens right after an answer; more may follow after white space."""
    tokens = _alternatives(tokenizer)
    probe = [Message(role="user", content="question"), Message(role="assistant", content="answer")]
    text = render_text_of(probe, tokenizer, options)
    found = re.compile(rf"\s*(?:{tokens})*(?P<token>{tokens})").match(text, text.rfind("answer") + len("answer"))
    return found["token"] if tokens and found else None
