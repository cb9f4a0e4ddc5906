"""Reading a model's output as JSON, strictly, and telling when two JSON values are equal.

RFC 8259 with what I-JSON (RFC 7493) adds, because a reader that has to guess will guess wrong: no repeated key in
an object, no NaN or Infinity; and at most 100 levels of nesting. Text around the JSON, such as a code
fence, makes it invalid; whitespace around it does not.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeAlias

from pipeline.core.errors import DataError

JsonValue: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None
"""A value as ``json.loads`` returns it."""

_DEEPEST = 100


def read_json(text: str) -> JsonValue:
    """Return the value that ``text`` holds.

    Raises:
        ValueError: it is not valid JSON in the sense of this module.
    """
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    _check_depth(value)
    return value


def read_object(text: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds.

    Raises:
        ValueError: it is not valid JSON, or another kind of value.
    """
    value = read_json(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def reference_error(error: ValueError, reference: str) -> DataError:
    """Return the error for a reference that is not the JSON that a metric needs."""
    shown = reference if len(reference) <= 60 else f"{reference[:57]}..."
    return DataError(
        f"the reference {shown!r} cannot be scored as JSON: {error}",
        fix="give every reference as one JSON object, or choose another metric",
    )


def canonical(value: JsonValue) -> object:
    """Return a hashable form that is equal for equal JSON values.

    Key order does not matter, 1 and 1.0 are one number, and true is not 1 (as it is in Python).
    """
    if isinstance(value, dict):
        return ("object", frozenset((key, canonical(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(canonical(item) for item in value))
    if isinstance(value, bool):
        return ("boolean", value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _check_depth(value: JsonValue) -> None:
    level: list[Any] = [value]
    for _ in range(_DEEPEST + 1):
        level = [parent for parent in level if isinstance(parent, (dict, list))]
        if not level:
            return
        level = [child for parent in level for child in (parent.values() if isinstance(parent, dict) else parent)]
    raise ValueError("nested too deeply")
