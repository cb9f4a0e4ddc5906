"""Where the turns of a conversation lie in its rendered text.

A turn is found by comparing rendered prefixes: it begins where the conversation before it, with a generation
prompt, ends; it ends where the conversation up to and including it ends. This holds for every template that is
prefix-stable. For others the template's ``{% generation %}`` markers say where the assistant turns are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.core.errors import RenderError
from pipeline.render.tokenizer import Tokenizer
from pipeline.render.tools import served_tool
from schemas.data import Message
from schemas.render import RenderOptions

Tools = Sequence[Mapping[str, Any]] | None


class MarkersMissing(RenderError):
    """A template whose turns cannot be found by their prefixes has no generation markers."""


@dataclass(frozen=True)
class Turn:
    """The characters [start, end) of assistant message ``index``, from the generation prompt on."""

    index: int
    start: int
    end: int


def chat_template_of(tokenizer: Tokenizer, options: RenderOptions | None) -> str | None:
    """Return the template in use: that of the options, or the tokenizer's own (``default`` of several)."""
    if options is not None and options.chat_template is not None:
        return options.chat_template
    own = tokenizer.chat_template
    if isinstance(own, Mapping):
        own = own.get("default")
    return None if own is None else str(own)


def render_text_of(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    options: RenderOptions | None,
    *,
    tools: Tools = None,
    generation_prompt: bool = False,
) -> str:
    """Return the text of a conversation.

    Raises:
        RenderError: there is no template, or it refuses the conversation.
    """
    return str(_apply(messages, tokenizer, options, tools, tokenize=False, add_generation_prompt=generation_prompt))


def find_turns(
    messages: Sequence[Message],
    indices: Sequence[int],
    text: str,
    tokenizer: Tokenizer,
    options: RenderOptions,
    *,
    tools: Tools = None,
) -> list[Turn]:
    """Return the turns of the assistant messages ``indices`` inside ``text``, the whole conversation's rendering.

    Raises:
        RenderError: the template is not prefix-stable and has no generation markers, or they do not fit the messages.
    """
    turns: list[Turn] = []
    marked: dict[int, Turn] | None = None
    for index in indices:
        turn = _turn_by_prefix(messages, index, text, tokenizer, options, tools)
        if turn is None:
            marked = marked if marked is not None else _marked_turns(messages, tokenizer, options, tools)
            turn = _after_prompt(marked[index], messages, text, tokenizer, options, tools)
        turns.append(turn)
    return turns


def _turn_by_prefix(
    messages: Sequence[Message],
    index: int,
    text: str,
    tokenizer: Tokenizer,
    options: RenderOptions,
    tools: Tools,
) -> Turn | None:
    if index == 0:  # nothing stands before it that a template would render
        if not _is_marked(tokenizer, options):
            raise RenderError(
                "the conversation begins with the assistant, and the chat template does not mark its turns",
                where="train.chat_template",
                fix="let the row begin with a user turn, or give a chat template with {% generation %} markers",
            )
        return None
    try:
        before = render_text_of(messages[:index], tokenizer, options, tools=tools, generation_prompt=True)
        last = index == len(messages) - 1
        through = text if last else render_text_of(messages[: index + 1], tokenizer, options, tools=tools)
    except RenderError:  # some templates refuse a part of a conversation that they accept as a whole
        return None
    if not (text.startswith(through) and through.startswith(before) and len(through) > len(before)):
        return None
    return Turn(index=index, start=len(before), end=len(through))


def _after_prompt(
    turn: Turn, messages: Sequence[Message], text: str, tokenizer: Tokenizer, options: RenderOptions, tools: Tools
) -> Turn:
    """Return a marked turn without the generation prompt, which some markers enclose and no model has to write."""
    asked = messages[: turn.index] or [Message(role="user", content="question")]
    try:
        with_prompt = render_text_of(asked, tokenizer, options, tools=tools, generation_prompt=True)
        without = render_text_of(asked, tokenizer, options, tools=tools)
    except RenderError:  # some templates refuse a part of a conversation that they accept as a whole
        return turn
    prompt = with_prompt.removeprefix(without) if with_prompt.startswith(without) else ""
    start = turn.start + len(prompt)
    encloses = text.startswith(prompt, turn.start) and not text.endswith(prompt, 0, turn.start)
    return replace(turn, start=start) if encloses and start < turn.end else turn


def _is_marked(tokenizer: Tokenizer, options: RenderOptions) -> bool:
    return "endgeneration" in (chat_template_of(tokenizer, options) or "")


def _marked_turns(
    messages: Sequence[Message], tokenizer: Tokenizer, options: RenderOptions, tools: Tools
) -> dict[int, Turn]:
    if not _is_marked(tokenizer, options):
        raise MarkersMissing(
            "the chat template renders a turn differently once the conversation goes on, so its place cannot be found",
            where="train.chat_template",
            fix="give a chat template with {% generation %} ... {% endgeneration %} around the assistant's part",
        )
    encoding = _apply(
        messages,
        tokenizer,
        options,
        tools,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        tokenizer_kwargs={"return_offsets_mapping": True},
    )
    spans = _runs(encoding["assistant_masks"], encoding["offset_mapping"])
    assistants = [index for index, message in enumerate(messages) if message.role == "assistant"]
    if len(spans) != len(assistants):
        raise RenderError(
            f"the template's generation markers enclose {len(spans)} parts of a conversation with "
            f"{len(assistants)} assistant turns",
            where="train.chat_template",
            fix="put one pair of markers around the assistant's part, inside the loop over messages",
        )
    return {index: Turn(index, *span) for index, span in zip(assistants, spans, strict=True)}


def _runs(mask: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the character spans of the runs of ones in a token mask."""
    runs: list[tuple[int, int]] = []
    inside = False
    for trained, (start, end) in zip(mask, offsets, strict=True):
        if trained and inside:
            runs[-1] = (runs[-1][0], end)
        elif trained:
            runs.append((start, end))
        inside = bool(trained)
    return runs


def _apply(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    options: RenderOptions | None,
    tools: Tools,
    **arguments: Any,
) -> Any:
    from jinja2 import TemplateError

    template = chat_template_of(tokenizer, options)
    if template is None:
        raise RenderError(
            "the base model's tokenizer has no chat template",
            where="train.chat_template",
            fix="give train.chat_template (hone's ChatML, or the template of the model's family)",
        )
    plain = [plain_message(message) for message in messages]
    offered = [served_tool(tool) for tool in tools] if tools else None
    try:
        return tokenizer.apply_chat_template(plain, chat_template=template, tools=offered, **arguments)
    except (TemplateError, TypeError, KeyError) as error:
        raise RenderError(
            f"the chat template refuses the conversation: {error}",
            where="train.chat_template",
            fix="bring the rows into the order of roles that the template accepts, or give another template",
        ) from error


def plain_message(message: Message) -> dict[str, Any]:
    """Return a message as templates expect it: the arguments of tool calls as objects, not as JSON text.

    Raises:
        RenderError: the arguments of a tool call are not JSON.
    """
    plain = message.for_template()
    if message.tool_calls:
        plain["tool_calls"] = [_parsed_call(call) for call in message.tool_calls]
    return plain


def _parsed_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return dict(call)
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except json.JSONDecodeError as error:
        raise RenderError(
            f"the arguments of tool call {function.get('name')!r} are not JSON: {error}",
            fix="correct the row's tool_calls",
        ) from error
    return {**call, "function": {**function, "arguments": arguments}}
