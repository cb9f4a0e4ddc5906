"""Where a normal approximation fails: small margins, nearly perfect scores, rare classes, sure models, small slices.

Counts are small there, so that no interval covers 95% exactly: what is asked is that none covers less than 93%.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.statistics_checks import COVERED, LEVEL, MOST_REJECTED, Check, generators
from pipeline import statistics

FEW = 400
"""Resamples of what is computed over whole sets."""


def checks(sets: int) -> Iterator[Check]:
    """Yield every check."""
    yield from small_margins(sets)
    yield from nearly_perfect(sets)
    yield from rare_classes(sets)
    yield from sure_models(sets)
    yield from small_slices(sets)


def small_margins(sets: int) -> Iterator[Check]:
    """Check non-inferiority of what only loses, by exactly the margin."""
    import numpy as np

    for margin, units, size in ((0.02, 200, 1), (0.02, 400, 1), (0.1, 400, 1), (0.05, 100, 4), (0.1, 40, 10)):
        name = f"loses {100 * margin:g} points and wins none, {units} {'items' if size == 1 else f'clusters of {size}'}"
        clusters = np.repeat(np.arange(units), size)
        shown = 0
        for rng in generators(sets, name):
            kept = (rng.random(units) >= margin)[clusters].astype(float)
            options: dict[str, Any] = {"margin": margin, "clusters": clusters.tolist(), "alpha": LEVEL}
            shown += statistics.non_inferiority(kept, np.ones_like(kept), **options).non_inferior
        yield Check("non-inferiority", name, "shown", shown / sets, 0.0, MOST_REJECTED)


def nearly_perfect(sets: int) -> Iterator[Check]:
    """Check the intervals of graded scores of which nearly all are 1, and of their difference to all 1."""
    import numpy as np

    for units, size in ((30, 1), (200, 1), (60, 5), (900, 1), (1200, 1)):
        name = f"97% score 1 and the others anything, {units} {'items' if size == 1 else f'clusters of {size}'}"
        clusters = np.repeat(np.arange(units), size)
        held = held_difference = 0
        for rng in generators(sets, name):
            scores = np.where(rng.random(units) < 0.97, 1.0, rng.random(units))[clusters]
            options: dict[str, Any] = {"clusters": clusters.tolist(), "alpha": LEVEL, "resamples": FEW}
            one = statistics.score_interval(scores, **options)
            both = statistics.compare(scores, np.ones_like(scores), **options)
            held += one.low <= 0.985 <= one.high
            held_difference += both.low <= -0.015 <= both.high
        yield _covered("interval of one score", name, held / sets)
        yield _covered("interval of a difference", name, held_difference / sets)


def rare_classes(sets: int) -> Iterator[Check]:
    """Check macro-F1's intervals where classes have few items each and nearly all are right."""
    from pipeline.metrics import CorpusMetric, get_metric

    metric = get_metric("macro_f1")
    assert isinstance(metric, CorpusMetric)
    for classes, items, recall in ((5, 30, 0.97), (20, 60, 0.97), (2, 20, 0.99)):
        name = f"macro-F1 of {classes} classes, {items} items, {100 * recall:g}% of each right"
        held = held_difference = 0
        for rng in generators(sets, name):
            said, references = _labels(rng, classes, items, recall)
            options: dict[str, Any] = {"alpha": LEVEL, "resamples": FEW, "worth": metric.worth(references)}
            one = statistics.bootstrap_interval(
                metric.statistic(said[0], references), items, bounds=(0.0, 1.0), **options
            )
            statistic = metric.statistic([*said[0], *said[1]], [*references, *references])
            both = statistics.compare_corpus(statistic, items, span=1.0, **options)
            held += one.low <= recall <= one.high
            held_difference += both.low <= 0.0 <= both.high
        yield _covered("interval of one score", name, held / sets)
        yield _covered("interval of a difference", name, held_difference / sets)


def _labels(rng: Any, classes: int, items: int, recall: float) -> tuple[list[list[str]], list[str]]:
    """Return what two models say and the references: as many items of each class, errors spread evenly over others."""
    import numpy as np

    truth = np.arange(items) % classes
    said = [
        np.where(rng.random(items) < recall, truth, (truth + rng.integers(1, classes, items)) % classes)
        for _ in range(2)
    ]
    return [[str(label) for label in side] for side in said], [str(label) for label in truth]


def sure_models(sets: int) -> Iterator[Check]:
    """Check the interval of a calibration error where probabilities are near 1, honest or ten times too sure."""
    import numpy as np

    from pipeline.metrics import CalibrationError, Probabilities

    measure = CalibrationError()
    for items in (50, 300):
        for share, surer in (("honest", 1.0), ("ten times too sure", 0.1)):
            name = f"answers right at 90% to 100%, {share}, {items} items"

            def drawn(rng: Any, count: int, factor: float = surer) -> Probabilities:
                chance = rng.uniform(0.9, 1.0, count)
                right = (rng.random(count) < chance).astype(float)
                return Probabilities(right, answers=1 - factor * (1 - chance))

            many = 300_000
            all_once = np.ones((1, many), dtype=np.int64)
            truth = float(measure.statistic(drawn(np.random.default_rng(0), many))(all_once)[0])
            held = 0
            for rng in generators(sets, name):
                found = drawn(rng, items)
                interval = statistics.absolute_sum_interval(
                    *measure.gaps(found), expected=found.answers, alpha=LEVEL, resamples=FEW
                )
                held += interval.low <= truth <= interval.high
            yield _covered("interval of a calibration error", name, held / sets)


def small_slices(sets: int) -> Iterator[Check]:
    """Check that a slice like the rest is called different by chance only."""
    import numpy as np

    for size in (1, 3):
        name = f"a slice of 30 of 600 items, 90% right everywhere{'' if size == 1 else f', in clusters of {size}'}"
        clusters = np.repeat(np.arange(600 // size), size)
        inside = (clusters < 30 // size).tolist()
        rejected = 0
        for rng in generators(sets, name):
            scores = (rng.random(600 // size) < 0.9)[clusters].astype(float)
            rejected += statistics.contrast(scores, inside, clusters=clusters.tolist()).p_value <= LEVEL
        yield Check("slice against the rest, by exchange", name, "rejected", rejected / sets, 0.0, MOST_REJECTED)


def _covered(method: str, name: str, share: float) -> Check:
    return Check(method, name, "covered", share, COVERED[0], 1.0)
