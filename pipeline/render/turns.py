"""Are the right turns trained? Each shape of conversation is rendered once with marked contents to see."""

from __future__ import annotations

from collections.abc import Hashable

from pipeline.core.errors import RenderError
from pipeline.render.conversation import lay_out
from pipeline.render.ending import end_pattern
from pipeline.render.tokenizer import Tokenizer
from schemas.data import Example, Message
from schemas.render import RenderOptions


def trains_wrong_turns(
    example: Example, tokenizer: Tokenizer, options: RenderOptions, seen: dict[object, bool]
) -> bool:
    """Say whether rows of this example's shape train a turn that the options exclude, or miss one that they name.

    The contents are replaced by one unmistakable word per turn, so that no answer that repeats its prompt misleads.
    ``seen`` holds the answers by shape, from call to call.
    """
    if not (options.completion_only_loss or options.assistant_only_loss):
        return False
    shape = _shape(example)
    if shape not in seen:
        seen[shape] = _shape_trains_wrong(example, tokenizer, options)
    return seen[shape]


def _shape(example: Example) -> Hashable:
    turns = tuple(
        (turn.role, turn.weight, bool(turn.content), bool(turn.tool_calls), bool(turn.reasoning_content))
        for turn in example.messages
    )
    return turns, bool(example.tools)


def _shape_trains_wrong(example: Example, tokenizer: Tokenizer, options: RenderOptions) -> bool:
    marked = [_marked(index, turn) for index, turn in enumerate(example.messages)]
    try:
        layout = lay_out(marked, tokenizer, options, end_pattern(tokenizer), tools=example.tools)
    except RenderError:  # a template that reads contents may refuse the marks; the row itself was accepted
        return False
    trained = "".join(layout.text[start:end] for start, end in layout.spans)
    assistants = [index for index, turn in enumerate(example.messages) if turn.role == "assistant"]
    wanted = {
        index
        for index in (assistants[-1:] if options.completion_only_loss else assistants)
        if example.messages[index].weight != 0.0
    }
    for index, turn in enumerate(example.messages):
        if turn.content and (_mark(index) in trained) != (index in wanted):
            return True
    return False


def _mark(index: int) -> str:
    return f"turn{index}marked"


def _marked(index: int, turn: Message) -> Message:
    return turn.model_copy(update={"content": _mark(index)}) if turn.content else turn
