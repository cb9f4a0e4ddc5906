"""Measures: what a local model's own probabilities say, of the answers that it gave and of those expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError
from pipeline.evaluate.answers import Respondent
from pipeline.evaluate.backends import Completion, Likelihood
from pipeline.evaluate.items import Item
from pipeline.evaluate.respondents import LocalRespondent
from pipeline.evaluate.scoring import item_clusters
from pipeline.metrics import CalibrationError, Measure, Probabilities, get_measure
from pipeline.statistics import absolute_sum_interval, bootstrap_interval
from schemas.evaluate import EvaluateConfig, MetricSpec, Reliability, Score


@dataclass(frozen=True)
class Measured:
    """The figures by measure, and the bins of the calibration error where it is one of them."""

    figures: dict[str, Score]
    reliability: tuple[Reliability, ...] = ()


def load_measures(specs: Sequence[MetricSpec]) -> dict[str, Measure]:
    """Return the measures of a config by name.

    Raises:
        ConfigError: two have the same name, or one cannot be built.
    """
    measures: dict[str, Measure] = {}
    for spec in specs:
        if spec.name in measures:
            raise ConfigError(f"{spec.name} is there twice", where="evaluate.measures", fix="keep one of the two")
        measures[spec.name] = get_measure(spec.name, **spec.params)
    return measures


def measure_all(
    config: EvaluateConfig,
    respondent: Respondent,
    items: Sequence[Item],
    completions: Sequence[Completion],
    scores: Sequence[float],
    context: CallContext,
) -> Measured:
    """Ask a local model for the probabilities that the measures need, and return the figures.

    Of a subject that tells no probabilities there are none. ``scores`` are those of the metric that decides.

    Raises:
        ConfigError: a measure cannot be built.
        DataError, EngineError, OutOfMemory: the model cannot score an answer.
    """
    measures = load_measures(config.measures)
    if not measures or not isinstance(respondent, LocalRespondent):
        return Measured({})
    found = _probabilities(measures, respondent, completions, scores, context)
    reliability: list[Reliability] = []
    figures = {}
    for name, measure in measures.items():
        figure = _figure(measure, found, items, config.seed)
        if figure is not None:
            figures[name] = figure
        if isinstance(measure, CalibrationError):
            reliability += [
                Reliability(n=part.n, confidence=part.confidence, score=part.score)
                for part in measure.reliability(found)
            ]
    return Measured(figures, tuple(reliability))


def _probabilities(
    measures: dict[str, Measure],
    respondent: LocalRespondent,
    completions: Sequence[Completion],
    scores: Sequence[float],
    context: CallContext,
) -> Probabilities:
    import numpy as np

    needed = {measure.needs for measure in measures.values()}
    answers = nats = tokens = None
    if "answers" in needed:
        told = respondent.score(respondent.prompts, [one.token_ids for one in completions], context, "answers")
        answers = np.array([math.exp(one.log_probability) for one in told])
    if "references" in needed:
        expected = respondent.score(*_columns(respondent.references), context, "expected answers")
        nats, tokens = _nats(expected), np.array([float(one.tokens) for one in expected])
    return Probabilities(np.array(scores, dtype=float), answers, nats, tokens)


def _columns(pairs: Sequence[tuple[list[int], list[int]]]) -> tuple[list[list[int]], list[list[int]]]:
    return [prompt for prompt, _ in pairs], [more for _, more in pairs]


def _nats(told: Sequence[Likelihood]) -> Any:
    import numpy as np

    return np.array([-one.log_probability for one in told])


def _figure(measure: Measure, found: Probabilities, items: Sequence[Item], seed: int) -> Score | None:
    """Return the figure with its interval; None where there is one independent item, which has none."""
    clusters = item_clusters(items)
    if len(items) == 1 or (clusters is not None and len(set(clusters)) == 1):
        return None
    if isinstance(measure, CalibrationError):
        interval = absolute_sum_interval(*measure.gaps(found), expected=found.answers, clusters=clusters, seed=seed)
    else:
        interval = bootstrap_interval(measure.statistic(found), len(items), clusters=clusters, seed=seed)
    return Score(value=interval.estimate, low=interval.low, high=interval.high, n=interval.n, method=interval.method)
