"""The retraining webhook: what a sender asks for, and what it is answered."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from schemas.base import Schema, Slug
from schemas.plan import Constraints
from schemas.run import Promote

UPLOADS = "uploads"
"""The folder of the workspace below which a delivery may name data."""

OVERRIDABLE = ("train", "variants", "serve", "hardware")
"""Sections that a delivery may change.

The others say what is compared and what decides (base, data, evaluation, gate), or lead to files of the machine.
"""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w-]*(\.[\w-]+)*/[A-Za-z0-9][\w-]*(\.[\w-]+)*", re.ASCII)


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _finite(value: JsonValue) -> JsonValue:
    if not _is_finite(value):
        raise ValueError("a number is too large")
    return value


FiniteJson = Annotated[JsonValue, AfterValidator(_finite)]
"""A JSON value; a number like 1e999, which would be read as infinity, is none."""


def _has_columns(row: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if not row:
        raise ValueError("a row without columns")
    return row


Row = Annotated[dict[str, FiniteJson], AfterValidator(_has_columns)]
"""A row as it would stand in a file: column names and values."""


class NamedData(Schema):
    """Rows that lie elsewhere: a path below ``uploads/`` of the workspace, or the id of a Hub data set."""

    path: Annotated[str, Field(max_length=1024)]

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if path.startswith(f"{UPLOADS}/"):
            if "\\" in path or not path.isprintable() or any(part in ("", ".", "..") for part in path.split("/")):
                raise ValueError("not a plain path below uploads/")
        elif _HUB_ID.fullmatch(path) is None:
            raise ValueError("neither a path below uploads/ nor the id of a Hub data set (org/name)")
        return path

    @property
    def is_upload(self) -> bool:
        """Whether the rows lie in the workspace."""
        return self.path.startswith(f"{UPLOADS}/")


class RetrainRequest(Schema):
    """The body of a delivery.

    ``version`` is ``name@champion``, ``name@candidate``, ``name@3`` or ``name`` (the champion). The rows are named
    (``data``) or carried (``rows``), in the form of the rows that the version was trained on. ``combine`` says whether
    they follow the version's own training rows or replace them; the share ``hold_out`` of them joins the version's test
    rows instead, so that the gate sees what is new as well. ``promote``: what a version becomes that passes.
    ``start_from`` ``base`` trains the version's base anew, ``version`` trains the version on. ``overrides`` are keys of
    the run description as ``--set`` takes them; ``constraints`` take the place of the run's own where they are given.
    """

    type: Literal["retrain"]
    version: Annotated[
        str, Field(pattern=r"^[a-z0-9](\.?[a-z0-9_-])*(@(champion|candidate|[0-9]{1,9}))?$", max_length=80)
    ]
    data: NamedData | None = None
    rows: tuple[Row, ...] | None = None
    combine: Literal["append", "replace"] = "append"
    hold_out: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    promote: Promote = "champion"
    start_from: Literal["base", "version"] = "base"
    overrides: dict[str, FiniteJson] = {}
    constraints: Constraints = Constraints()

    @field_validator("rows")
    @classmethod
    def _has_rows(cls, rows: tuple[Row, ...] | None) -> tuple[Row, ...] | None:
        if rows is not None and not rows:
            raise ValueError("there are no rows")
        return rows

    @field_validator("overrides")
    @classmethod
    def _may_be_changed(cls, overrides: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for key in overrides:
            section, *rest = key.split(".")
            if section not in OVERRIDABLE or "" in rest:
                raise ValueError(f"{key!r} cannot be changed here; what can lies in {', '.join(OVERRIDABLE)}")
        return overrides

    @model_validator(mode="after")
    def _rows_are_named_or_carried(self) -> RetrainRequest:
        if (self.data is None) == (self.rows is None):
            raise ValueError("give either data (a path) or rows")
        return self


class RetrainAnswer(Schema):
    """The answer to a delivery that was accepted: the run that it started."""

    run: str
    status: Literal["started"] = "started"


class NewRows(Schema):
    """The body of a delivery of rows that are to be trained on some day.

    They are of the form that the champion of ``name`` was trained on, and wait until there are enough of them.
    """

    type: Literal["data"]
    name: Slug
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]


class NewRowsAnswer(Schema):
    """The answer to a delivery of rows: how many wait now, and how many are needed for a run."""

    name: str
    rows: int
    needed: int
    status: Literal["waiting"] = "waiting"


WebhookErrorCode = Literal[
    "malformed", "stale", "unsigned", "not_found", "method", "repeated", "too_large", "invalid", "too_soon",
    "over_budget", "unavailable",
]  # fmt: skip


class WebhookError(Schema):
    """Why a delivery was refused. ``where`` names the header or the key, ``fix`` what the sender can do."""

    code: WebhookErrorCode
    message: str
    where: str | None = None
    fix: str | None = None


class WebhookErrorAnswer(Schema):
    """The body of every answer that is no success."""

    error: WebhookError
