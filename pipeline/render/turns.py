"""Does the template keep what a conversation says, and are the right turns trained?

Each shape of conversation is rendered once with marked contents to see, so that no answer that repeats its prompt, and
no text that looks like markup, misleads.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from pipeline.core.errors import RenderError
from pipeline.render.conversation import Layout, lay_out
from pipeline.render.ending import end_pattern
from pipeline.render.tokenizer import Tokenizer
from schemas.data import Example, Message
from schemas.faults import FaultCode
from schemas.render import RenderOptions

ShapeFaults = Mapping[FaultCode, str]
"""What is wrong with a shape of conversation: a detail by code, empty where the code says it all."""

_CONTROL = re.compile(r"<\|[^<>|\s]+\|>|<\uff5c[^<>\uff5c]+\uff5c>|<(?:start|end)_of_turn>|<[be]os>|</?s>")
"""What chat templates write where they mean a control token: ChatML and Llama 3, DeepSeek, Gemma, Llama 2."""


def shape_faults(
    example: Example, tokenizer: Tokenizer, options: RenderOptions, seen: dict[object, ShapeFaults]
) -> ShapeFaults:
    """Return the faults of rows of this example's shape. ``seen`` holds the answers by shape, from call to call."""
    shape = _shape(example)
    if shape not in seen:
        seen[shape] = dict(_faults(example, tokenizer, options))
    return seen[shape]


def _turns(example: Example) -> tuple[Message, ...]:
    return (*example.messages, *example.chosen)


def _shape(example: Example) -> Hashable:
    turns = tuple(
        (turn.role, turn.weight, bool(turn.content), bool(turn.tool_calls), bool(turn.reasoning_content))
        for turn in _turns(example)
    )
    return turns, bool(example.tools), bool(example.chosen)


def _faults(example: Example, tokenizer: Tokenizer, options: RenderOptions) -> Iterator[tuple[FaultCode, str]]:
    turns = _turns(example)
    marked = [_marked(index, turn) for index, turn in enumerate(turns)]
    tools = [_renamed(tool, _tool(index)) for index, tool in enumerate(example.tools or ())] or None
    try:
        layout = lay_out(marked, tokenizer, options, end_pattern(tokenizer), tools=tools)
    except RenderError:  # a template that reads contents may refuse the marks; the row itself was accepted
        return
    if not example.chosen and _trains_wrong(turns, layout, options):
        yield "wrong_turns_trained", ""
    for code in dict.fromkeys(_dropped(turns, len(tools or ()), layout.text)):
        yield code, ""
    unknown = sorted({found[0] for found in _CONTROL.finditer(layout.text) if not _is_token(found[0], tokenizer)})
    if unknown:
        yield "template_of_another_model", ", ".join(unknown)


def _trains_wrong(turns: tuple[Message, ...], layout: Layout, options: RenderOptions) -> bool:
    """Say whether a turn is trained that the options exclude, or one is missed that they name."""
    if not (options.completion_only_loss or options.assistant_only_loss):
        return False
    trained = "".join(layout.text[start:end] for start, end in layout.spans)
    assistants = [index for index, turn in enumerate(turns) if turn.role == "assistant"]
    named = assistants[-1:] if options.completion_only_loss else assistants
    wanted = {index for index in named if turns[index].weight != 0.0}
    return any(turn.content and (_mark(index) in trained) != (index in wanted) for index, turn in enumerate(turns))


def _dropped(turns: tuple[Message, ...], tools: int, text: str) -> Iterator[FaultCode]:
    """Yield what of the marked conversation is not in its rendering.

    Of reasoning only that of the last answer must be there: templates leave out earlier reasoning on purpose.
    """
    dropped_by_role: dict[str, FaultCode] = {"system": "system_dropped", "tool": "tools_dropped"}
    for index, turn in enumerate(turns):
        if turn.content and _mark(index) not in text:
            yield dropped_by_role.get(turn.role, "turn_dropped")
        if turn.tool_calls and _call(index) not in text:
            yield "tools_dropped"
    if any(_tool(index) not in text for index in range(tools)):
        yield "tools_dropped"
    if turns and turns[-1].reasoning_content and _reason(len(turns) - 1) not in text:
        yield "reasoning_dropped"


def _is_token(text: str, tokenizer: Tokenizer) -> bool:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1


def _mark(index: int) -> str:
    return f"turn{index}marked"


def _reason(index: int) -> str:
    return f"reason{index}marked"


def _call(index: int) -> str:
    return f"call{index}marked"


def _tool(index: int) -> str:
    return f"tool{index}marked"


def _marked(index: int, turn: Message) -> Message:
    update: dict[str, Any] = {}
    if turn.content:
        update["content"] = _mark(index)
    if turn.reasoning_content:
        update["reasoning_content"] = _reason(index)
    if turn.tool_calls:
        update["tool_calls"] = tuple(_renamed(call, _call(index)) for call in turn.tool_calls)
    return turn.model_copy(update=update)


def _renamed(tool: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a tool or a call of one, called ``name``; both are ``{"function": {"name"}}`` or ``{"name"}`` alone."""
    function = tool.get("function")
    if isinstance(function, Mapping):
        return {**tool, "function": {**function, "name": name}}
    return {**tool, "name": name}
