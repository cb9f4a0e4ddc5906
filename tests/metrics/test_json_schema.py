"""Validity by a JSON schema."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.metrics import get_metric

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"urgency": {"enum": ["low", "high"]}, "count": {"$ref": "#/$defs/natural"}},
    "required": ["urgency"],
    "additionalProperties": False,
    "$defs": {"natural": {"type": "integer", "minimum": 0}},
}


@pytest.mark.parametrize(
    ("said", "valid"),
    [
        ('{"urgency": "low"}', 1.0),
        (' {"urgency": "high", "count": 3}\n', 1.0),
        ('{"urgency": "medium"}', 0.0),
        ('{"urgency": "low", "count": -1}', 0.0),
        ('{"urgency": "low", "more": 1}', 0.0),
        ("[]", 0.0),
        ('{"urgency": "low"', 0.0),
        ('```json\n{"urgency": "low"}\n```', 0.0),
    ],
)
def test_what_the_schema_allows(said: str, valid: float) -> None:
    assert get_metric("json_schema", schema=SCHEMA).item(said, "") == valid


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="this is no JSON schema"):
        get_metric("json_schema", schema={"type": "objekt"})
    with pytest.raises(ConfigError, match="it takes schema"):
        get_metric("json_schema")


def test_a_schema_that_never_ends_is_told_and_a_number_too_large_is_wrong() -> None:
    with pytest.raises(ConfigError, match="refers to itself"):
        get_metric("json_schema", schema={"$ref": "#"}).item("{}", "")
    assert get_metric("json_schema", schema={"multipleOf": 0.5}).item("1" + "0" * 400, "") == 0.0


def test_no_other_document_is_fetched() -> None:
    metric = get_metric("json_schema", schema={"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(ConfigError, match="which it does not hold"):
        metric.item("{}", "")
