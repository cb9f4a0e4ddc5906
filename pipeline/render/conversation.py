"""The render itself: messages to token ids and loss mask."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.errors import RenderError
from pipeline.render.ending import end_pattern, is_doubled
from pipeline.render.layout import Tools, find_turns, render_text_of
from pipeline.render.tokenizer import Tokenizer
from schemas.data import Message
from schemas.render import RenderOptions

_BATCH = 512
"""Texts handed to the tokenizer at once."""


@dataclass(frozen=True)
class Rendered:
    """One row as tokens. ``trained[i]`` says that token i is a label; both lists have the row's length.

    ``ends`` are the places of the trained end-of-turn tokens. ``joined`` says that a token covers both the end of a
    prompt and the beginning of a trained answer, so that no prompt at inference ends where this row's does; ``doubled``
    that the end of a turn is trained twice.
    """

    ids: list[int]
    trained: list[bool]
    text: str
    ends: tuple[int, ...] = ()
    joined: bool = False
    doubled: bool = False

    @property
    def labels(self) -> list[int]:
        """The ids where they are trained, -100 elsewhere."""
        return [token if kept else -100 for token, kept in zip(self.ids, self.trained, strict=True)]

    def truncated(self, max_length: int) -> Rendered:
        """Return the row without the tokens after ``max_length``; the text stays whole."""
        ends = tuple(end for end in self.ends if end < max_length)
        return Rendered(self.ids[:max_length], self.trained[:max_length], self.text, ends, self.joined, self.doubled)


@dataclass(frozen=True)
class Layout:
    """A conversation's text and the character spans that are trained.

    ``ends``: where the trained end-of-turn tokens end, in characters. ``unended``: how many spans no special token
    closes. ``left_out``: how many assistant turns whose weight is not 0 the loss leaves out. ``doubled``: a trained
    turn ends with the same special token twice.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    ends: tuple[int, ...]
    unended: int
    left_out: int = 0
    doubled: bool = False


def render_conversation(
    messages: Sequence[Message], tokenizer: Tokenizer, options: RenderOptions, *, tools: Tools = None
) -> Rendered:
    """Return the tokens of a conversation and which of them are trained.

    A trained turn is trained from the first token after the generation prompt through its end-of-turn token; what the
    template writes after that is not. The text is tokenized once and no special token is added to it.

    Raises:
        RenderError: the template is missing, refuses the conversation, or does not tell where its turns are.
    """
    return render_conversations([(messages, tools)], tokenizer, options)[0]


def render_conversations(
    rows: Sequence[tuple[Sequence[Message], Tools]], tokenizer: Tokenizer, options: RenderOptions
) -> list[Rendered]:
    """Return `render_conversation` of many ``(messages, tools)``, tokenized together."""
    pattern = end_pattern(tokenizer)
    layouts = [lay_out(messages, tokenizer, options, pattern, tools=tools) for messages, tools in rows]
    return tokenize_layouts(layouts, tokenizer)


def render_prompt(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    options: RenderOptions | None = None,
    *,
    tools: Tools = None,
) -> list[int]:
    """Return the token ids of a conversation that the model is to continue, generation prompt included.

    Raises:
        RenderError: the template is missing or refuses the conversation.
    """
    text = render_text_of(messages, tokenizer, options, tools=tools, generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def render_text(text: str, tokenizer: Tokenizer) -> Rendered:
    """Return plain text as tokens, all trained, closed by the end token; BOS as the tokenizer adds it, never twice.

    Raises:
        RenderError: the tokenizer has no end token.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise RenderError(
            "the tokenizer has no end token, so the end of a text could not be learned",
            where="base_model",
            fix="use a tokenizer with an eos_token",
        )
    ids = list(tokenizer(text)["input_ids"])
    if len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id:
        del ids[0]
    if not ids or ids[-1] != end:
        ids.append(end)
    return Rendered(ids, [True] * len(ids), text, ends=(len(ids) - 1,), doubled=ids[-2:] == [end, end])


def lay_out(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    options: RenderOptions,
    pattern: re.Pattern[str] | None,
    *,
    tools: Tools = None,
) -> Layout:
    """Return the text of a conversation and the spans that the options train."""
    text = render_text_of(messages, tokenizer, options, tools=tools)
    assistants = [index for index, message in enumerate(messages) if message.role == "assistant"]
    silent = [index for index in assistants if _weight(messages[index]) == 0.0]
    if not (options.completion_only_loss or options.assistant_only_loss):
        turns = find_turns(messages, silent, text, tokenizer, options, tools=tools) if silent else []
        ended = pattern.search(text) if pattern is not None else None
        spans = _outside([(turn.start, turn.end) for turn in turns], len(text))
        twice = ended is not None and is_doubled(text, 0, len(text), pattern)
        return Layout(text, spans, (ended.end("token"),) if ended else (), int(ended is None), doubled=twice)
    wanted = assistants[-1:] if options.completion_only_loss else assistants
    wanted = [index for index in wanted if index not in silent]
    found, ends, doubled = [], [], False
    for turn in find_turns(messages, wanted, text, tokenizer, options, tools=tools):
        end, closed = _close(text, turn.start, turn.end, pattern, tokenizer)
        found.append((turn.start, end))
        if closed:
            ends.append(end)
            doubled = doubled or is_doubled(text, turn.start, end, pattern)
    left_out = len(set(assistants) - set(silent) - set(wanted))
    return Layout(text, tuple(found), tuple(ends), len(found) - len(ends), left_out, doubled)


def tokenize_layouts(layouts: Sequence[Layout], tokenizer: Tokenizer) -> list[Rendered]:
    """Tokenize texts, each once, and mark the tokens that overlap a trained span."""
    if not tokenizer.is_fast:
        raise RenderError(
            "the tokenizer reports no character offsets, so the loss mask cannot be built",
            where="base_model",
            fix="use a model with a fast tokenizer (tokenizer.json)",
        )
    rendered = []
    for first in range(0, len(layouts), _BATCH):
        batch = layouts[first : first + _BATCH]
        encoding = tokenizer(
            [layout.text for layout in batch],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        for layout, ids, offsets in zip(batch, encoding["input_ids"], encoding["offset_mapping"], strict=True):
            starts, stops = [start for start, _ in offsets], [stop for _, stop in offsets]
            trained = _mask(starts, stops, layout.spans)
            rendered.append(
                Rendered(
                    ids=list(ids),
                    trained=trained,
                    text=layout.text,
                    ends=_trained_ends(starts, stops, trained, layout.ends),
                    joined=_joined(starts, stops, layout.spans),
                    doubled=layout.doubled,
                )
            )
    return rendered


def _mask(starts: Sequence[int], stops: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Say for each token whether it covers a character of a span; tokens are sorted."""
    mask = [False] * len(starts)
    for low, high in spans:
        first, last = bisect_right(stops, low), bisect_left(starts, high)
        mask[first:last] = [True] * (last - first)
    return mask


def _trained_ends(
    starts: Sequence[int], stops: Sequence[int], trained: Sequence[bool], ends: Sequence[int]
) -> tuple[int, ...]:
    """Return the places of the trained tokens that cover the last character of an end-of-turn token."""
    places = {
        place
        for end in ends
        for place in range(bisect_left(stops, end), bisect_left(starts, end))
        if trained[place] and starts[place] < stops[place]
    }
    return tuple(sorted(places))


def _joined(starts: Sequence[int], stops: Sequence[int], spans: Sequence[tuple[int, int]]) -> bool:
    """Say whether a span begins inside a token."""
    begins = (low for low, _ in spans if low and stops and low < stops[-1])
    return any(bisect_left(starts, low) == bisect_right(starts, low) for low in begins)


def _close(text: str, start: int, end: int, pattern: re.Pattern[str] | None, tokenizer: Tokenizer) -> tuple[int, bool]:
    """Return where the training of a turn ends (after its end-of-turn token), and whether it has one."""
    found = pattern.search(text, start, end) if pattern is not None else None
    if found is not None:
        return found.end("token"), True
    if tokenizer.eos_token and text.startswith(tokenizer.eos_token, end):
        return end + len(tokenizer.eos_token), True  # markers that leave the end of turn outside
    return end, False


def _outside(spans: Sequence[tuple[int, int]], length: int) -> tuple[tuple[int, int], ...]:
    edges = [0, *(edge for span in spans for edge in span), length]
    return tuple((low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if high > low)


def _weight(message: Message) -> float:
    weight = 1.0 if message.weight is None else message.weight
    if weight not in (0.0, 1.0):
        raise RenderError(
            f"the weight of a turn is {weight}; a turn is trained (1) or not (0)",
            fix="set the weight to 0 or 1",
        )
    return weight
