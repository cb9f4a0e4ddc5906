"""The identity of a render: equal digests mean equal text for equal conversations."""

from __future__ import annotations

import hashlib
import json

from pipeline.render.layout import chat_template_of
from pipeline.render.tokenizer import Tokenizer, special_tokens
from schemas.render import RenderOptions


def template_digest(tokenizer: Tokenizer, options: RenderOptions | None = None) -> str:
    """Return the sha256 of the chat template in use and of the special tokens that it may name.

    A tokenizer without a template (text rows only) has a digest too.
    """
    template = chat_template_of(tokenizer, options)
    named = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token]
    text = json.dumps([template, named, special_tokens(tokenizer)], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
