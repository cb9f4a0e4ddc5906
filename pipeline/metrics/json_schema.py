"""JSON schema: the output is JSON of the shape that a program expects, right or wrong."""

from __future__ import annotations

from typing import Any

from pipeline.core.errors import ConfigError, EnvironmentMissing
from pipeline.metrics.base import ItemMean
from pipeline.metrics.json_text import read_json


class JsonSchema(ItemMean):
    """1 where the prediction is one JSON value that ``schema`` (JSON Schema, draft 2020-12) allows.

    The reference is not looked at; references to other documents (``$ref`` with an address) are not followed.

    Raises:
        ConfigError: ``schema`` is no JSON schema.
        EnvironmentMissing: jsonschema is not installed.
    """

    name = "json_schema"
    binary = True

    def __init__(self, schema: dict[str, Any]) -> None:
        try:
            from jsonschema import Draft202012Validator
            from jsonschema.exceptions import SchemaError
        except ImportError as error:
            raise EnvironmentMissing(
                "this environment has no jsonschema", where="evaluate.metrics.json_schema", fix="install it there"
            ) from error
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ConfigError(
                f"this is no JSON schema: {error.message}",
                where="evaluate.metrics.json_schema.schema",
                fix=f"mend {'.'.join(map(str, error.path)) or 'it'}",
            ) from error
        self._validator: Any = Draft202012Validator(schema)

    def item(self, prediction: str, reference: str) -> float:  # noqa: ARG002 - part of the protocol
        """Return 1.0 or 0.0.

        Raises:
            ConfigError: the schema refers to what it does not hold.
        """
        from referencing.exceptions import Unresolvable

        try:
            value = read_json(prediction)
        except ValueError:
            return 0.0
        try:
            return float(self._validator.is_valid(value))
        except Unresolvable as error:
            raise ConfigError(
                f"the schema refers to {error.ref!r}, which it does not hold",
                where="evaluate.metrics.json_schema.schema",
                fix="write it under $defs and refer to it as #/$defs/name",
            ) from error
        except RecursionError as error:
            raise ConfigError(
                "the schema refers to itself without an end",
                where="evaluate.metrics.json_schema.schema",
                fix="let each $ref lead to something that says what is allowed",
            ) from error
        except OverflowError:  # a number so large that the schema cannot be held against it
            return 0.0
