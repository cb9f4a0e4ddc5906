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
    tokens = [re.escape(token) for token in special_tokens(tokenizer) if token]
    if not tokens:
        return None
    return re.compile(f"(?P<token>{'|'.join(sorted(tokens, key=len, reverse=True))})\\s*$")


def end_of_turn_ids(tokenizer: Tokenizer, options: RenderOptions | None = None) -> list[int]:
    """Return the ids at which generation must stop: the tokenizer's own end, and what closes an assistant turn.

    Raises:
        RenderError: the template cannot render a plain question and answer.
    """
    ids = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if chat_template_of(tokenizer, options) is None:
        return ids
    probe = [Message(role="user", content="question"), Message(role="assistant", content="answer")]
    pattern = end_pattern(tokenizer)
    found = pattern.search(render_text_of(probe, tokenizer, options)) if pattern else None
    if found is not None:
        closing = tokenizer.convert_tokens_to_ids(found["token"])
        if closing not in ids:
            ids.append(closing)
    if not ids:
        raise RenderError(
            "the tokenizer has no end token and the chat template closes a turn with none",
            where="train.chat_template",
            fix="give a chat template that ends each assistant turn with a special token",
        )
    return ids
