"""JSON as hone reads it, from rows and from answers alike: strictly.

RFC 8259 with what I-JSON (RFC 7493) adds, because a reader that has to guess will guess wrong: no repeated key in an
object, no NaN or Infinity, no number that is larger than any double; and at most 100 levels of nesting, so that what
walks through a value may call itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias

JsonValue: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None
"""A value as ``json.loads`` returns it."""

MAX_DEPTH = 100
"""Levels of lists and objects that a value may have."""


def read_json(text: str) -> JsonValue:
    """Return the value that ``text`` holds; white space around it does not matter.

    Raises:
        json.JSONDecodeError: it is no JSON (a ValueError that knows its place).
        ValueError: a key is repeated, a number is none, or it is nested too deeply.
    """
    try:
        value: JsonValue = json.loads(
            text, parse_float=_finite, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if _is_too_deep(value):
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits if len(digits) <= 40 else digits[:37] + '...'} is too large a number")
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands twice in one object")
    return values


def _is_too_deep(value: JsonValue) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _members(outer) if isinstance(inner, (dict, list))]
    return bool(level)


def _members(value: object) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
