"""What a description that came over the network may not name.

A description may name files, addresses, code and secrets of the machine that it runs on. Whoever sends one has no
business there: files are named by their ids, and everything else of the kind is refused. What is not known here is
refused too: a key that leads somewhere (it is left out of fingerprints, because where something lies is not what it is)
may hold nothing but the place of a file whose id was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from pydantic import BaseModel

from pipeline.service.api.errors import Refusal
from schemas.base import NotFingerprinted, Reference
from schemas.evaluate import MetricSpec
from schemas.run import HarnessTask, RunSpec

Located = Callable[[str, str], str]
"""From a file's id and the key that names it to where its rows lie; raises a Refusal where there is none."""

FILES: Final = (
    "data.test_path",
    "preflight.benchmarks",
    "evaluate.retention.data.path",
    "evaluate.retention.data.validation_path",
    "evaluate.retention.data.test_path",
    "evaluate.bias.path",
    "evaluate.bias.harmful",
    "evaluate.bias.harmless",
    "evaluate.bias.prompts",
)
"""Keys that hold ids of files."""

ADDRESSES: Final = ("base_url", "api_key_secret")
"""Names of keys that lead to other machines, or give away a secret there."""

NO_PLACES: Final = ("promote",)
"""Names of keys that are left out of fingerprints and say no place, but one of a few words."""

HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def locate_files(values: dict[str, Any], located: Located) -> dict[str, Any]:
    """Return the sections of a description with the places of files instead of their ids."""
    for key in FILES:
        values = _replaced(values, key.split("."), lambda name, key=key: located(str(name), f"spec.{key}"))  # type: ignore[misc]
    return values


def _replaced(value: Any, path: list[str], place: Callable[[Any], str]) -> Any:
    """Return ``value`` with what lies at ``path`` replaced, in every item of a list on the way."""
    if isinstance(value, list):
        return [_replaced(item, path, place) for item in value]
    if not path:
        return value if value is None else place(value)
    if not isinstance(value, dict) or path[0] not in value:
        return value  # the description's own validation says what is wrong with it
    return {**value, path[0]: _replaced(value[path[0]], path[1:], place)}


def check_confined(spec: RunSpec, places: Collection[str]) -> None:
    """Refuse a description that names anything else than files at ``places``.

    Raises:
        Refusal: it names code, addresses, secrets or places of the machine.
    """
    for key, what in _outside(spec, "", places):
        raise Refusal(400, f"spec.{key}: {what} may not be named here", param=f"spec.{key}")


def _outside(value: Any, key: str, places: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield every key that leads out, with what it leads to."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _outside(item, key, places)
    if not isinstance(value, BaseModel):
        return
    if isinstance(value, Reference):
        yield key, "a place of the machine"
    elif isinstance(value, MetricSpec):
        yield from _of_metric(value, key)
    elif isinstance(value, HarnessTask):
        if value.allow_code or not _PLAIN.fullmatch(value.task):
            yield f"{key}.task", "a file"
    else:
        for name, field in type(value).model_fields.items():
            inner, path = getattr(value, name), f"{key}.{name}".removeprefix(".")
            leads = any(isinstance(mark, NotFingerprinted) for mark in field.metadata)
            if name in ADDRESSES and inner is not None:
                yield path, "an address"
            elif leads and name not in NO_PLACES and any(text not in places for text in _texts(inner)):
                yield path, "a place of the machine"
            yield from _outside(inner, path, places)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, (list, tuple)) else []


def _of_metric(metric: MetricSpec, key: str) -> Iterator[tuple[str, str]]:
    """Yield what a metric leads to: code of the user's own, or a model that lies on the machine."""
    if ":" in metric.name or "/" in metric.name:
        yield key, "code"
    for name in MetricSpec.model_fields:
        if isinstance(getattr(metric, name), Reference):
            yield f"{key}.{name}", "a place of the machine"
    for name, value in metric.params.items():
        if not _is_plain(value):
            yield f"{key}.params.{name}", "a place of the machine"


def _is_plain(value: Any) -> bool:
    """Tell whether a parameter holds words and models of the Hub, and no path."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or HUB_ID.fullmatch(value) is not None or not re.search(r"[/\\~]|^\.", value)
