"""Rows as a person reads them: turn by turn, or as the tokens of a chat template with what is trained set apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from pipeline.core.paths import expand

if TYPE_CHECKING:
    from rich.text import Text

    from pipeline.render import Rendered, RenderedPair, Tokenizer
    from schemas.data import Message

OPEN, CLOSE = "⟦", "⟧"
"""What encloses trained tokens where there is no color."""


class Row(Protocol):
    """The parts that drafts and examples share."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation, or the prompt of a preference."""

    @property
    def chosen(self) -> tuple[Message, ...]:
        """The better continuation of a preference."""

    @property
    def rejected(self) -> tuple[Message, ...]:
        """The worse one."""

    @property
    def text(self) -> str | None:
        """The text of a plain row."""


def local_tokenizer(base_model: str) -> Tokenizer | None:
    """Return the tokenizer of a base that lies on this machine (an embedded one or a folder); None elsewhere.

    Raises:
        ModelError: the folder is there and holds no tokenizer.
    """
    from pipeline.backends.tokenizer_transformers import load_tokenizer
    from pipeline.embedded import EMBEDDED

    folder = EMBEDDED.get(base_model) or expand(base_model)
    return load_tokenizer(str(folder.resolve())) if folder.is_dir() else None


def row_text(row: Row, tokenizer: Tokenizer | None) -> str:
    """Return a row as text: through the tokenizer's chat template, or with each turn's role before it."""
    if row.text is not None:
        return row.text
    if not row.chosen:
        return _conversation(row.messages, tokenizer)
    return f"{_conversation((*row.messages, *row.chosen), tokenizer).rstrip()}\n-- rejected --\n{_turns(row.rejected)}"


def _conversation(messages: Sequence[Message], tokenizer: Tokenizer | None) -> str:
    if tokenizer is None or tokenizer.chat_template is None:
        return _turns(messages)
    from pipeline.render import render_conversation
    from schemas.render import RenderOptions

    return render_conversation(messages, tokenizer, RenderOptions()).text


def _turns(messages: Sequence[Message]) -> str:
    return "\n".join(f"{message.role}: {_said(message)}" for message in messages)


def _said(message: Message) -> str:
    calls = [str(call.get("function", call)) for call in message.tool_calls or ()]
    return "\n".join(part for part in (message.content, *calls) if part)


def clipped(text: str, most: int = 1200) -> str:
    """Return ``text``, or its beginning and how much is left out, with no control character that a terminal obeys."""
    shown = visible(text[:most])
    return shown if len(text) <= most else f"{shown} … ({len(text) - most:,} more characters)"


def visible(text: str) -> str:
    """Return ``text`` with its line breaks as they are and other control characters as pictures."""
    from pipeline.report.wording import clip

    return "\n".join(clip(line, 8 * len(line) + 8) for line in text.split("\n"))


def masked_text(row: Rendered | RenderedPair, tokenizer: Tokenizer, *, color: bool) -> Text:
    """Return a row's tokens as text, the trained ones in green or, without color, in brackets."""
    from rich.text import Text

    shown = Text()
    for trained, tokens in _pieces(row, tokenizer):
        piece = visible(tokens)
        if not trained:
            shown.append(piece, style="dim" if color else "")
        elif color:
            shown.append(piece, style="black on green")
        else:
            shown.append(f"{OPEN}{piece}{CLOSE}")
    return shown


def _pieces(row: Rendered | RenderedPair, tokenizer: Tokenizer) -> Iterator[tuple[bool, str]]:
    """Yield runs of tokens, decoded: whether they are trained, and their text."""
    from pipeline.render import Rendered

    if isinstance(row, Rendered):
        yield from _runs(row.ids, row.trained, tokenizer)
        return
    yield False, _decoded(row.prompt_ids, tokenizer)
    yield False, "\n-- chosen --\n"
    yield True, _decoded(row.chosen_ids, tokenizer)
    yield False, "\n-- rejected --\n"
    yield True, _decoded(row.rejected_ids, tokenizer)


def _runs(ids: Sequence[int], trained: Sequence[bool], tokenizer: Tokenizer) -> Iterator[tuple[bool, str]]:
    for is_trained, run in groupby(zip(ids, trained, strict=True), key=lambda pair: pair[1]):
        yield is_trained, _decoded([token for token, _ in run], tokenizer)


def _decoded(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
