"""Ablations: what each of some keys does to the score when it alone is changed, over several seeds.

Every setting is a run of its own up to its evaluations, so that what runs share (data, baselines, seeds) is done once
and an interrupted ablation goes on where it was. All answer the same items, and a seed is compared with the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.control.ablation_settings import SEEDS, Setting, check_settings
from pipeline.control.options import RunOptions
from pipeline.control.session import Prepared, Session
from pipeline.core.errors import ConfigError, from_record
from pipeline.execute import load
from pipeline.registry.items import Items, check_same_scores, read_items
from schemas.base import ArtifactRef, canonical_digest
from schemas.errors import ErrorRecord
from schemas.events import Event

BARE = ("variants=[]", "serve=false")
"""Overrides of every run: what comes after the evaluations shows nothing here."""


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

    @property
    def id(self) -> str:
        """The run as described, and a digest of all that it is compared with."""
        return f"{self.run}-{canonical_digest([effect.run for effect in self.effects])[:6]}"

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        effects = [{**asdict(effect), "verdict": effect.verdict(self.alpha)} for effect in self.effects]
        return {**asdict(self), "seeds": list(self.seeds), "effects": effects}


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
            HoneError: the description itself is wrong or fails, somebody asked to stop, or a setting changes nothing,
                the metric, or which items are evaluated.
        """
        from pipeline.statistics import seeds_effect

        fixed = (*BARE, f"{SEEDS}={list(seeds)}")
        runs = [(setting, (*self.overrides, setting.override, *fixed)) for setting in varied]
        described = self.session.resolve(self.spec, (*self.overrides, *fixed))
        # Whatever is wrong with one is told before anything is trained.
        check_settings(described, [(setting, self.session.resolve(self.spec, each)) for setting, each in runs])
        base, error = self._run("as described", (*self.overrides, *fixed))
        if error is not None:
            raise from_record(error)
        metric, alpha = base.run.metrics[0].name, base.run.spec.gate.alpha
        reference = self._items(base, metric, seeds)
        effects = [self._effect(setting, each, base, metric, reference) for setting, each in runs]
        first = reference[seeds[0]]
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
        self, setting: Setting, overrides: Sequence[str], base: Prepared, metric: str, reference: Mapping[int, Items]
    ) -> Effect:
        from pipeline.statistics import seeds_effect

        prepared, error = self._run(str(setting), overrides)
        run = prepared.directory.run
        if error is not None:
            return Effect(str(setting), run, error=str(from_record(error)))
        if all(_evaluation(prepared, seed) == _evaluation(base, seed) for seed in reference):
            return Effect(str(setting), run, error="neither training nor evaluation depends on it here")
        items = self._items(prepared, metric, tuple(reference))
        _check_same_items(setting, items, reference)
        for seed in reference:
            check_same_scores(items[seed], reference[seed], metric)
        differences = [
            [ours - theirs for ours, theirs in zip(items[seed].scores, reference[seed].scores, strict=True)]
            for seed in reference
        ]
        clusters = next(iter(reference.values())).clusters
        zeros = [0.0] * len(differences[0])
        found = seeds_effect(differences, zeros, clusters=clusters, alpha=base.run.spec.gate.alpha)
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
        return {
            seed: read_items(f"seed-{seed}", load(self.session.store, _evaluation(prepared, seed)), metric)
            for seed in seeds
        }


def _evaluation(prepared: Prepared, seed: int) -> ArtifactRef:
    call = prepared.directory.calls()[f"evaluate.seed-{seed}"]
    return ArtifactRef(stage="evaluate", fingerprint=call["fingerprint"])


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
