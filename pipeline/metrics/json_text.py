"""A model's output as JSON, and when two JSON values are equal.

Text around the JSON, such as a code fence, makes it invalid; whitespace around it does not.
"""

from __future__ import annotations

from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.json_text import JsonValue, read_json

__all__ = ["JsonValue", "canonical", "read_json", "read_object", "reference_error"]


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
