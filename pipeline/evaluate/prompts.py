"""Prompts: an instruction, the same few examples for every item, and the item; fitted into the model's context."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, RenderError
from pipeline.evaluate.items import Item, listed_rows
from pipeline.render import Tokenizer, render_conversation, render_prompt, split_answer
from schemas.data import Message
from schemas.render import RenderOptions

_PROBE = "hone probes the system turn"


@dataclass(frozen=True)
class Task:
    """What comes before each item: an instruction, and answered examples (first to last)."""

    instruction: str | None = None
    shots: tuple[Item, ...] = ()


def draw_shots(train: Sequence[Item], count: int, seed: int) -> tuple[Item, ...]:
    """Draw ``count`` training rows, as many per label as can be, in an order that does not group labels.

    Rows without a label count as one label. Prompts that are equal are drawn once.

    Raises:
        DataError: fewer different rows than asked for.
    """
    by_label: dict[str | None, list[Item]] = defaultdict(list)
    for item in {item.text: item for item in reversed(train)}.values():
        by_label[item.label].append(item)
    available = sum(len(rows) for rows in by_label.values())
    if available < count:
        raise DataError(
            f"{count} examples are asked for and the training split has {available} different prompts",
            where="evaluate.baselines.few_shot",
            fix=f"set it to {available} or less",
        )
    generator = random.Random(seed)  # noqa: S311 - a draw of examples, no secret
    labels = sorted(by_label, key=lambda label: (label is not None, label or ""))
    generator.shuffle(labels)
    for label in labels:
        by_label[label].sort(key=lambda item: item.id)
        generator.shuffle(by_label[label])
    drawn: list[Item] = []
    while len(drawn) < count:
        drawn += [by_label[label].pop() for label in labels if by_label[label]][: count - len(drawn)]
    return tuple(drawn)


def conversation(item: Item, task: Task) -> tuple[Message, ...]:
    """Return the turns that ask ``item``: system (the item's own and the instruction), examples, the item."""
    own = [message.content for message in item.prompt if message.role == "system"]
    parts = [*own, *([task.instruction] if task.instruction else [])]
    # An empty system turn of the item's own stays: some templates put words of their own where there is none.
    turns = [Message(role="system", content="\n\n".join(part for part in parts if part))] if parts else []
    for shot in task.shots:
        turns += _without_system(shot.prompt)
        turns.append(Message(role="assistant", content=shot.reference))
    return (*turns, *_without_system(item.prompt))


def fold_system(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Return the turns with the system turn put before the first user turn's text."""
    if not turns or turns[0].role != "system":
        return tuple(turns)
    rest = list(turns[1:])
    for place, turn in enumerate(rest):
        if turn.role == "user":
            rest[place] = turn.model_copy(update={"content": f"{turns[0].content}\n\n{turn.content}"})
            break
    return tuple(rest)


def shows_system(tokenizer: Tokenizer, options: RenderOptions) -> bool:
    """Tell whether the chat template shows a system turn: some drop it, some refuse it."""
    probe = [Message(role="system", content=_PROBE), Message(role="user", content="question")]
    try:
        return _PROBE in tokenizer.decode(render_prompt(probe, tokenizer, options))
    except RenderError:
        return False


def render_items(
    items: Sequence[Item],
    task: Task,
    tokenizer: Tokenizer,
    options: RenderOptions,
    *,
    context_length: int | None,
    max_new_tokens: int,
    context: CallContext,
) -> list[list[int]]:
    """Return the token ids that ask each item.

    Where prompt and answer would exceed the context, the last examples are left out for that item, and counted in
    a warning; without examples the answer is what is left of the context, also counted.

    Raises:
        RenderError: the chat template refuses an item (the row is named).
        DataError: an item fills the context on its own (the rows are named).
    """
    folded = bool(task.instruction) and not shows_system(tokenizer, options)
    prompts: list[list[int]] = []
    fewer, short, full = 0, 0, []
    for item in context.track(items, "render prompts", len(items)):
        shots = task.shots
        while True:
            turns = conversation(item, replace(task, shots=shots))
            ids = _render(item, fold_system(turns) if folded else turns, tokenizer, options)
            exceeds = context_length is not None and len(ids) + max_new_tokens > context_length
            if not (exceeds and shots):
                break
            shots = shots[:-1]
        fewer += len(shots) < len(task.shots)
        short += exceeds
        if context_length is not None and len(ids) >= context_length:
            full.append(item.row)
        prompts.append(ids)
    if full:
        raise DataError(
            f"{len(full)} prompts fill the model's context of {context_length} tokens",
            where=f"source {listed_rows(full)}",
            fix="shorten these rows, or take a base model with a longer context",
        )
    _tell(context, len(items), fewer, short, context_length)
    return prompts


def render_references(
    items: Sequence[Item], task: Task, tokenizer: Tokenizer, options: RenderOptions, *, context_length: int | None
) -> list[tuple[list[int], list[int]]]:
    """Return question and expected answer of each item as token ids, split where training begins to train.

    The answer goes through its end of turn. Where both exceed the context, the last examples are left out.

    Raises:
        RenderError: the chat template refuses an item (the row is named).
        DataError: an item and its answer exceed the context on their own (the rows are named).
    """
    folded = bool(task.instruction) and not shows_system(tokenizer, options)
    trained = options.model_copy(update={"completion_only_loss": True, "assistant_only_loss": False})
    found, long = [], []
    for item in items:
        shots = task.shots
        while True:
            turns = conversation(item, replace(task, shots=shots))
            asked = fold_system(turns) if folded else turns
            prompt, answer = _with_answer(item, asked, tokenizer, trained)
            if context_length is None or len(prompt) + len(answer) <= context_length or not shots:
                break
            shots = shots[:-1]
        if context_length is not None and len(prompt) + len(answer) > context_length:
            long.append(item.row)
        found.append((prompt, answer))
    if long:
        raise DataError(
            f"{len(long)} questions with their expected answers exceed the model's context of {context_length} tokens",
            where=f"source {listed_rows(long)}",
            fix="shorten these rows, or take what needs their likelihood out of evaluate.measures",
        )
    return found


def _with_answer(
    item: Item, turns: Sequence[Message], tokenizer: Tokenizer, options: RenderOptions
) -> tuple[list[int], list[int]]:
    told = (*turns, Message(role="assistant", content=item.reference))
    try:
        row = render_conversation(told, tokenizer, options, tools=item.tools)
    except RenderError as error:
        raise RenderError(error.message, where=f"source row {item.row}", fix=error.fix) from error
    return split_answer(row)


def _tell(context: CallContext, items: int, fewer: int, short: int, context_length: int | None) -> None:
    if fewer:
        context.warn(
            f"{fewer} of {items} prompts exceed the model's context of {context_length} tokens and are asked with "
            "fewer examples",
            items=fewer,
        )
    if short:
        context.warn(
            f"{short} of {items} prompts leave less than max_new_tokens of the model's context of {context_length} "
            "tokens; their answers may be cut",
            items=short,
        )


def _render(item: Item, turns: Sequence[Message], tokenizer: Tokenizer, options: RenderOptions) -> list[int]:
    try:
        return render_prompt(turns, tokenizer, options, tools=item.tools)
    except RenderError as error:
        raise RenderError(error.message, where=f"source row {item.row}", fix=error.fix) from error


def _without_system(turns: Sequence[Message]) -> list[Message]:
    return [turn for turn in turns if turn.role != "system"]
