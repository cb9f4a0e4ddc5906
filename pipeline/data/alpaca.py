"""Alpaca's rows: an instruction, its input, and the earlier turns of the conversation (``history``)."""

from __future__ import annotations

from pipeline.data.read_text import json_type
from pipeline.data.text import is_blank
from pipeline.data.turns import from_json
from schemas.data import Message


def joined(instruction: str, more: object, column: str) -> str:
    """Return an instruction followed by its input (the value of ``column``), where there is one.

    Raises:
        ValueError: the input is no string.
    """
    if more is not None and not isinstance(more, str):
        raise ValueError(f"column {column!r} is {json_type(more)}, not a string")
    return f"{instruction}\n\n{more}" if more and more.strip() else instruction


def parse_history(value: object, column: str) -> tuple[Message, ...]:
    """Return the turns of a list of ``[question, answer]`` pairs (or the same as JSON text); none where it is empty.

    Raises:
        ValueError: it is something else, or a text in it is empty.
    """
    if value is None or value == "":
        return ()
    pairs = from_json(value, column)
    if not isinstance(pairs, (list, tuple)):
        raise ValueError(f"column {column!r} is {json_type(pairs)}, not a list of question and answer pairs")
    turns: list[Message] = []
    for index, pair in enumerate(pairs, start=1):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError(f"item {index} of column {column!r} is no pair of question and answer")
        if any(map(is_blank, pair)):
            raise ValueError(f"item {index} of column {column!r} has an empty question or answer")
        turns += [Message(role="user", content=pair[0]), Message(role="assistant", content=pair[1])]
    return tuple(turns)
