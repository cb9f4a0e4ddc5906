"""Ablations: what each of some keys does to the score when it alone is changed, over several seeds.

Every setting is a run of its own up to its evaluations, so that what runs share (data, baselines, seeds) is done once
and an interrupted ablation goes on where it was. All answer the same items, and a seed is compared with the same seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.control.options import RunOptions
from pipeline.control.session import Prepared, Session
from pipeline.core.errors import ConfigError, from_record
from pipeline.execute import load
from pipeline.registry.comparisons import Items, read_items
from schemas.base import ArtifactRef
from schemas.errors import ErrorRecord
from schemas.events import Event

BARE = ("variants=[]", "serve=false")
"""Overrides of every run: what comes after the evaluations shows nothing here."""

LEAST_SEEDS = 2
DEFAULT_SEEDS = 3

_SEEDS = "train.seeds"


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


@dataclass(frozen=True)
class Effect:
    """What a setting does: mean score over seeds, and the paired difference from the description as it is.

    ``low`` and ``high`` bound the difference with confidence 1 - alpha, for other seeds and other items alike;
    ``p_value`` is corrected by Holm's method over all settings. ``error`` says why a setting has no score.
    """

    setting: str
    run: str
    score: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    between_seeds: float | None = None
    error: str | None = None

    def verdict(self, alpha: float) -> str:
        """Return what is shown, in words."""
        if self.difference is None or self.p_value is None:
            return "failed"
        if self.p_value > alpha:
            return "no difference shown"
        return "better" if self.difference > 0 else "worse"


@dataclass(frozen=True)
class Ablation:
    """The description as it is, by its run and mean score, and the effect of every setting.

    ``low`` and ``high`` bound the score with confidence 1 - ``alpha``, for other seeds and other items alike.
    """

    name: str
    metric: str
    run: str
    score: float
    low: float
    high: float
    seeds: tuple[int, ...]
    items: int
    alpha: float
    effects: tuple[Effect, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        effects = [{**asdict(effect), "verdict": effect.verdict(self.alpha)} for effect in self.effects]
        return {**asdict(self), "seeds": list(self.seeds), "effects": effects}


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
            parsed = yaml.safe_load(f"[{values}]") if equals and key.strip() and values.strip() else None
        except yaml.YAMLError as error:
            raise ConfigError(
                f"{values!r} are not YAML values", where=where, fix="separate values by commas"
            ) from error
        if not isinstance(parsed, list) or not parsed:
            raise ConfigError("this is not key=value,value", where=where, fix="write --vary train.lora.r=4,16")
        if key.strip() == _SEEDS:
            raise ConfigError("seeds are what settings are compared over", where=where, fix="use --seeds")
        for value in parsed:
            setting = Setting(key.strip(), _number(value))
            if found.setdefault(setting.override, setting) is not setting:
                raise ConfigError(f"{setting} is there twice", where=where, fix="keep one of the two")
    if not found:
        raise ConfigError("nothing is varied", where="--vary", fix="write --vary train.lora.r=4,16")
    return tuple(found.values())


def _number(value: Any) -> Any:
    """Return 1e-4 as the number that it is meant to be: YAML 1.1 takes it for text."""
    try:
        return float(value) if isinstance(value, str) and value[:1].isdigit() else value
    except ValueError:
        return value


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


@dataclass(frozen=True)
class Ablate:
    """Carries an ablation out in a workspace.

    Args:
        session: the workspace.
        spec: the description's path.
        overrides: hold for every run, the description as it is included.
        sink: told of every event.
        cancelled: answers whether somebody asked to stop.
        announce: told in a sentence which run begins.
    """

    session: Session
    spec: Path
    overrides: tuple[str, ...]
    sink: Callable[[Event], None]
    cancelled: Callable[[], bool]
    announce: Callable[[str], None]

    def carry_out(self, varied: Sequence[Setting], seeds: Sequence[int]) -> Ablation:
        """Carry out every run and compare. A setting whose run fails is reported with its error; the others go on.

        Raises:
            HoneError: the description itself is wrong or fails, somebody asked to stop, or a setting changes which
                items are evaluated.
        """
        from pipeline.statistics import seeds_effect

        common = (*self.overrides, *BARE, f"{_SEEDS}={list(seeds)}")
        for setting in varied:  # whatever is wrong with one is told before anything is trained
            self.session.resolve(self.spec, (*common, setting.override))
        base, error = self._run("as described", common)
        if error is not None:
            raise from_record(error)
        metric = base.run.metrics[0].name
        reference = self._items(base, metric, seeds)
        effects = [self._effect(setting, common, metric, reference, seeds) for setting in varied]
        alpha, first = base.run.spec.gate.alpha, reference[seeds[0]]
        scores = [reference[seed].scores for seed in seeds]
        spread = seeds_effect(scores, [0.0] * len(first.ids), clusters=first.clusters, alpha=alpha)
        return Ablation(
            name=base.run.spec.name,
            metric=_named(metric, reference),
            run=base.directory.run,
            score=_mean(reference),
            low=max(0.0, spread.low),
            high=min(1.0, spread.high),
            seeds=tuple(seeds),
            items=len(first.ids),
            alpha=alpha,
            effects=_corrected(effects),
        )

    def _run(self, what: str, overrides: Sequence[str]) -> tuple[Prepared, ErrorRecord | None]:
        prepared = self.session.prepare(self.session.resolve(self.spec, overrides))
        self.announce(f"{what}: run {prepared.directory.run}")
        options = RunOptions(last="evaluate")
        outcome = self.session.carry_out(prepared, options, self.sink, self.cancelled)
        if outcome.error is not None and (self.cancelled() or outcome.error.code in ("cancelled", "budget")):
            raise from_record(outcome.error)
        return prepared, outcome.error

    def _effect(
        self, setting: Setting, common: Sequence[str], metric: str, reference: Mapping[int, Items], seeds: Sequence[int]
    ) -> Effect:
        from pipeline.statistics import seeds_effect

        prepared, error = self._run(str(setting), (*common, setting.override))
        run = prepared.directory.run
        if error is not None:
            return Effect(str(setting), run, error=str(from_record(error)))
        items = self._items(prepared, metric, seeds)
        _check_same_items(setting, items, reference)
        first = reference[seeds[0]]
        differences = [
            [ours - theirs for ours, theirs in zip(items[seed].scores, reference[seed].scores, strict=True)]
            for seed in seeds
        ]
        alpha = prepared.run.spec.gate.alpha
        found = seeds_effect(differences, [0.0] * len(first.ids), clusters=first.clusters, alpha=alpha)
        return Effect(
            setting=str(setting),
            run=run,
            score=_mean(items),
            difference=found.difference,
            low=max(-1.0, found.low),
            high=min(1.0, found.high),
            p_value=found.p_value,
            between_seeds=found.between_seeds,
        )

    def _items(self, prepared: Prepared, metric: str, seeds: Sequence[int]) -> dict[int, Items]:
        calls, found = prepared.directory.calls(), {}
        for seed in seeds:
            ref = ArtifactRef(stage="evaluate", fingerprint=calls[f"evaluate.seed-{seed}"]["fingerprint"])
            found[seed] = read_items(f"seed-{seed}", load(self.session.store, ref), metric)
        return found


def _check_same_items(setting: Setting, items: Mapping[int, Items], reference: Mapping[int, Items]) -> None:
    if any(items[seed].ids != reference[seed].ids for seed in reference):
        raise ConfigError(
            f"{setting} changes which items are evaluated, so no item can be compared with itself",
            where=f"--vary {setting}",
            fix="give data.test_path, so that the test rows stay the same, or vary another key",
        )


def _named(metric: str, items: Mapping[int, Items]) -> str:
    """Return what is compared: the metric, or the mean of its item scores where the metric is another number."""
    return metric if all(one.is_mean for one in items.values()) else f"mean item score of {metric}"


def _mean(items: Mapping[int, Items]) -> float:
    """Return the mean over seeds of the mean over items, which is what the differences are differences of."""
    return sum(sum(one.scores) / len(one.scores) for one in items.values()) / len(items)


def _corrected(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    from dataclasses import replace

    from pipeline.statistics import holm

    adjusted = iter(holm([effect.p_value for effect in effects if effect.p_value is not None]))
    return tuple(effect if effect.p_value is None else replace(effect, p_value=next(adjusted)) for effect in effects)
