"""What the render needs of a tokenizer: the part of transformers' fast tokenizers that it calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Tokenizer(Protocol):
    """A transformers tokenizer, as far as the render and its users know it."""

    chat_template: Any
    is_fast: bool
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None

    @property
    def all_special_tokens(self) -> list[str]:
        """The named special tokens."""
        ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]:
        """Added tokens by id; each has ``content`` and ``special``."""
        ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """Return the rendered text, or with ``tokenize=True`` an encoding."""
        ...

    def __call__(self, text: Any, **options: Any) -> Any:
        """Return an encoding with ``input_ids`` and, on request, ``offset_mapping``."""
        ...

    def decode(self, token_ids: Sequence[int], **options: Any) -> str:
        """Return the text of token ids."""
        ...

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or the ids of a list of tokens."""
        ...

    def save_pretrained(self, save_directory: Any, **options: Any) -> Any:
        """Write the tokenizer's files into a folder."""
        ...

    def __len__(self) -> int: ...


def special_tokens(tokenizer: Tokenizer) -> list[str]:
    """Return every special token's text: the named ones and the added ones that are marked special."""
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    return sorted({*tokenizer.all_special_tokens, *added})
