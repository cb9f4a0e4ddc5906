"""The settings of an ablation: one key with another value each, and the seeds that they are compared over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.core.errors import ConfigError
from pipeline.core.spec import number_meant
from pipeline.core.yaml_text import load_yaml
from schemas.resolved import ResolvedRun

SEEDS = "train.seeds"
LEAST_SEEDS = 2
DEFAULT_SEEDS = 3


@dataclass(frozen=True)
class Setting:
    """One key with another value than the description's."""

    key: str
    value: Any

    @property
    def override(self) -> str:
        """The setting as ``--set`` takes it."""
        return f"{self.key}={json.dumps(self.value)}"

    def __str__(self) -> str:
        shown = self.value if isinstance(self.value, str) else json.dumps(self.value)
        return f"{self.key}={shown}"


def settings(vary: Sequence[str]) -> tuple[Setting, ...]:
    """Return the settings of ``key=value,value`` texts; each value is YAML, and a list has brackets.

    Raises:
        ConfigError: a text is no such thing, names seeds, or says the same twice.
    """
    found: dict[str, Setting] = {}
    for text in vary:
        key, equals, values = text.partition("=")
        where = f"--vary {text}"
        try:
            parsed = load_yaml(f"[{values}]") if equals and key.strip() and values.strip() else None
        except (yaml.YAMLError, RecursionError) as error:
            told = f"{values!r} are not YAML values: {getattr(error, 'problem', None) or 'nested too deeply'}"
            raise ConfigError(told, where=where, fix="separate values by commas, quote texts") from error
        if not isinstance(parsed, list) or not parsed:
            raise ConfigError("this is not key=value,value", where=where, fix="write --vary train.lora.r=4,16")
        if key.strip() == SEEDS:
            raise ConfigError("seeds are what settings are compared over", where=where, fix="use --seeds")
        for value in parsed:
            setting = Setting(key.strip(), _plain(value, where))
            if found.setdefault(setting.override, setting) is not setting:
                raise ConfigError(f"{setting} is there twice", where=where, fix="keep one of the two")
    if not found:
        raise ConfigError("nothing is varied", where="--vary", fix="write --vary train.lora.r=4,16")
    return tuple(found.values())


def _plain(value: Any, where: str) -> Any:
    try:
        json.dumps(value)
    except TypeError as error:  # YAML's dates, sets and bytes
        raise ConfigError(f"{value} is no text, number, list or mapping", where=where, fix="quote it") from error
    return number_meant(value)


def chosen_seeds(described: Sequence[int], asked: int | None) -> tuple[int, ...]:
    """Return the seeds of every run: as many as asked for, else the description's, at least two.

    Raises:
        ConfigError: fewer than two are asked for.
    """
    if asked is not None and asked < LEAST_SEEDS:
        raise ConfigError(f"{asked} seed shows no spread", where="--seeds", fix=f"ask for {LEAST_SEEDS} seeds at least")
    if asked is None and len(described) >= LEAST_SEEDS:
        return tuple(described)
    return tuple(range(asked or DEFAULT_SEEDS))


def check_settings(described: ResolvedRun, settings: Sequence[tuple[Setting, ResolvedRun]]) -> None:
    """Refuse settings that could be compared with nothing.

    Raises:
        ConfigError: one leaves everything up to the evaluations as it is, is another one in other words, or changes
            the metric that all are compared by.
    """
    runs: dict[str, str] = {described.run_id(): "the description as it is"}
    for setting, run in settings:
        where, other = f"--vary {setting}", runs.setdefault(run.run_id(), str(setting))
        if other != str(setting):
            raise ConfigError(
                f"{setting} asks for the same trainings and evaluations as {other}", where=where, fix="leave it out"
            )
        if run.metrics[0] != described.metrics[0]:
            raise ConfigError(
                f"{setting} changes the metric that settings are compared by, {described.metrics[0].name}",
                where=where,
                fix="keep the first of evaluate.metrics as it is, or vary another key",
            )
