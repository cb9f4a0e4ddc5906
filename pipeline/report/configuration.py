"""The configuration of a run, value by value, with who chose each and why."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any, Literal

from pipeline.report.record import RunRecord
from pipeline.report.types import ConfigRow
from schemas.base import Schema
from schemas.plan import Reasoned
from schemas.run import RunSpec

_TEXTS = frozenset(
    ("description", "system", "instruction", "prompt_template", "completion_template", "criteria", "retention_waived")
)
"""Keys whose values are words for people or models, and no paths: ``/no_think Answer yes/no.``"""


def configuration_rows(record: RunRecord) -> tuple[ConfigRow, ...]:
    """Return the resolved description, one row per value; what the plan chose replaces what was left open.

    The plan names its choices as the train stage does: ``lora_r`` for ``train.lora.r``.
    """
    reasons = dict(record.plan.artifact.reasons) if record.plan is not None else {}
    rows = []
    for row in _flatten(record.spec, ""):
        reasoned = reasons.pop(row.key.removeprefix("train.").replace(".", "_"), None)
        rows.append(_reasoned(row.key, reasoned) if reasoned is not None else row)
    return (*rows, *(_reasoned(key, reasoned) for key, reasoned in reasons.items()))


def _reasoned(key: str, reasoned: Reasoned) -> ConfigRow:
    return ConfigRow(key=key, value=shown(reasoned.value), chosen_by=reasoned.chosen_by, reason=reasoned.reason)


def _flatten(schema: Schema, prefix: str) -> list[ConfigRow]:
    rows: list[ConfigRow] = []
    for name, field in type(schema).model_fields.items():
        value = getattr(schema, name)
        key = f"{prefix}{name}"
        if isinstance(value, Schema):
            rows += _flatten(value, f"{key}.")
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
        chosen_by: Literal["spec", "default"] = "default" if not field.is_required() and value == default else "spec"
        told = value if name in _TEXTS and isinstance(value, str) else shown(value)
        rows.append(ConfigRow(key=key, value=told, chosen_by=chosen_by))
    return rows


def shown(value: Any) -> str:
    """Return ``value`` for reading: JSON for lists and objects, and no folders of this machine in paths."""
    if isinstance(value, str):
        return PurePath(value).name if value.startswith("/") else value
    if isinstance(value, (tuple, list)) and any(isinstance(item, Schema) for item in value):
        value = [item.model_dump(mode="json") for item in value]
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def asked_model(spec: RunSpec) -> str:
    """Return the base as asked for: its name without this machine's folders, or the architecture to initialize."""
    if spec.base_model.init is not None:
        return f"a new {spec.base_model.init.model_type} model, trained from nothing"
    return shown(spec.base_model.name)
