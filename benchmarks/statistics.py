"""Whether the tests and intervals keep their word: simulated data sets on which the truth is known.

    python -m benchmarks.statistics [--sets 2000] [--json FILE] [--plot docs/images/statistics.png]

Items come in clusters whose differences agree, as near-duplicates' do. Beside hone's methods stands scipy's bootstrap
of the same differences, which takes every item for its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import statistics_extremes
from benchmarks.statistics_checks import (
    COVERED,
    LEAST_REJECTED,
    LEVEL,
    MOST_REJECTED,
    RESAMPLES,
    Check,
    Sample,
    draw,
    generators,
)
from pipeline import statistics


def paired(sets: int, name: str, by_nature: bool, **options: Any) -> Iterator[Check]:
    """Check `statistics.compare` without a gain, and its interval with and without one."""
    rejected = covered = covered_gain = 0
    for rng in generators(sets, name):
        null, gained = draw(rng, **options), draw(rng, gain=0.08, **options)
        for sample in (null, gained):
            found = statistics.compare(
                sample.candidate, sample.baseline, clusters=sample.clusters, alpha=LEVEL, resamples=RESAMPLES
            )
            inside = found.low <= sample.truth <= found.high
            if sample is null:
                rejected += found.p_value <= LEVEL
                covered += inside
                test, interval = found.test, found.interval_method
            else:
                covered_gain += inside
    yield Check(test, name, "rejected", rejected / sets, LEAST_REJECTED if by_nature else 0.0, MOST_REJECTED)
    yield Check(interval, name, "covered", covered / sets, *COVERED)
    yield Check(interval, f"{name}, a gain of 8 points", "covered", covered_gain / sets, *COVERED)


def corpus(sets: int) -> Iterator[Check]:
    """Check `statistics.compare_corpus` on macro-F1."""
    from pipeline.metrics import CorpusMetric, get_metric

    metric = get_metric("macro_f1")
    assert isinstance(metric, CorpusMetric)
    rejected = covered = 0
    name = "macro-F1 in clusters"
    for rng in generators(sets, name):
        sample = draw(rng)
        references = [str(int(label)) for label in rng.integers(0, 3, size=sample.candidate.size)]
        said = [
            [label if right else str((int(label) + 1) % 3) for label, right in zip(references, side, strict=True)]
            for side in (sample.candidate, sample.baseline)
        ]
        statistic = metric.statistic([*said[0], *said[1]], [*references, *references])
        found = statistics.compare_corpus(
            statistic, len(references), clusters=sample.clusters, alpha=LEVEL, resamples=200
        )
        rejected += found.p_value <= LEVEL
        covered += found.low <= 0.0 <= found.high
    yield Check(found.test, name, "rejected", rejected / sets, LEAST_REJECTED, MOST_REJECTED)
    yield Check(found.interval_method, name, "covered", covered / sets, *COVERED)


def scores(sets: int) -> Iterator[Check]:
    """Check the interval of one model's score, whose true value is 1/2."""
    for name, options in (
        ("one score, independent 0/1", {"clustered": False}),
        ("one score, 0/1 in clusters", {}),
        ("one score, graded in clusters", {"graded": True}),
    ):
        covered = 0
        for rng in generators(sets, name):
            sample = draw(rng, **options)
            found = statistics.score_interval(
                sample.candidate, clusters=sample.clusters, alpha=LEVEL, resamples=RESAMPLES
            )
            covered += found.low <= 0.5 <= found.high
        yield Check(found.method, name, "covered", covered / sets, *COVERED)


def margins(sets: int) -> Iterator[Check]:
    """Check non-inferiority and equivalence where the truth lies on the margin, so that both would be wrong."""
    margin = 0.2
    shown = same = 0
    name = f"0/1 in clusters, worse by the margin of {100 * margin:g} points"
    for rng in generators(sets, name):
        sample = draw(rng, gain=-margin)
        sides = (sample.candidate, sample.baseline)
        shown += statistics.non_inferiority(*sides, margin=margin, clusters=sample.clusters, alpha=LEVEL).non_inferior
        same += statistics.equivalence(*sides, margin=margin, clusters=sample.clusters, alpha=LEVEL).equivalent
    yield Check("non-inferiority", name, "shown", shown / sets, 0.0, MOST_REJECTED)
    yield Check("equivalence", name, "shown", same / sets, 0.0, MOST_REJECTED)


def agreement(sets: int) -> Iterator[Check]:
    """Check the coefficients of three raters who are right on 85% of the items each, of two kinds and in clusters.

    Two of them disagree on 2 * 0.85 * 0.15 of the items, and by chance on half.
    """
    import numpy as np

    right = 0.85
    truth = 1 - 2 * right * (1 - right) / 0.5
    covered = {"Cohen's kappa": 0, "Fleiss' kappa": 0, "Krippendorff's alpha": 0}
    name = "3 raters, 80 clusters of 1 to 3 items that they rate alike"
    for rng in generators(sets, name):
        index = np.repeat(np.arange(80), rng.integers(1, 4, size=80))
        kinds = rng.integers(0, 2, size=80)
        rated = np.where(rng.random((3, 80)) < right, kinds, 1 - kinds)[:, index]
        items, clusters = rated.T.tolist(), index.tolist()
        holes = rng.random(rated.T.shape) < 0.2
        missing = [
            [None if hole else value for value, hole in zip(*row, strict=True)]
            for row in zip(items, holes, strict=True)
        ]
        options: dict[str, Any] = {"clusters": clusters, "alpha": LEVEL, "resamples": 400}
        found = {
            "Cohen's kappa": statistics.cohen_kappa(rated[0].tolist(), rated[1].tolist(), **options),
            "Fleiss' kappa": statistics.fleiss_kappa(items, **options),
            "Krippendorff's alpha": statistics.krippendorff_alpha(missing, **options),
        }
        for coefficient, interval in found.items():
            covered[coefficient] += interval is not None and interval.low <= truth <= interval.high
    for coefficient, count in covered.items():
        missed = ", a fifth of the ratings missing" if coefficient.startswith("Kripp") else ""
        yield Check(f"{coefficient}, cluster bootstrap", name + missed, "covered", count / sets, *COVERED)


def seeds(sets: int) -> Iterator[Check]:
    """Check the effect over seeds, where seeds and items have effects of their own."""
    rejected = covered = 0
    name = "4 seeds and 200 items, each with an effect"
    for rng in generators(sets, name):
        noise = rng.normal(0, 0.3, (4, 200)) + rng.normal(0, 0.03, (4, 1)) + rng.normal(0, 0.2, (1, 200))
        found = statistics.seeds_effect(list(noise), [0.0] * 200, alpha=LEVEL)
        rejected += found.p_value <= LEVEL
        covered += found.low <= 0.0 <= found.high
    yield Check("seeds and items as random effects", name, "rejected", rejected / sets, 0.0, MOST_REJECTED)
    yield Check("seeds and items as random effects", name, "covered", covered / sets, *COVERED)


def families(sets: int) -> Iterator[Check]:
    """Check corrections on ten slices of which none, or two, differ."""
    any_wrong = 0
    discoveries = 0.0
    name = "10 slices in clusters"
    for rng in generators(sets, name):
        values = [_p_value(draw(rng)) for _ in range(10)]
        any_wrong += min(statistics.holm(values)) <= LEVEL
        mixed = [*values[:8], *(_p_value(draw(rng, gain=0.25)) for _ in range(2))]
        wrong = [value <= LEVEL for value in statistics.benjamini_hochberg(mixed)]
        discoveries += sum(wrong[:8]) / max(1, sum(wrong))
    yield Check("Holm", name, "any rejected", any_wrong / sets, 0.0, MOST_REJECTED)
    yield Check("Benjamini-Hochberg", f"{name}, 2 differ", "false discoveries", discoveries / sets, 0.0, MOST_REJECTED)


def peeking(sets: int) -> Iterator[Check]:
    """Check what is looked at after every one of 500 observations."""
    ever = missed = 0
    name = "two streams of equal rates, looked at 500 times"
    for rng in generators(sets, name):
        rate = rng.choice([0.02, 0.1, 0.5])
        rates, sequence, out = statistics.TwoRates(LEVEL), statistics.MeanSequence(LEVEL), False
        for first, second in rng.random((500, 2)) < rate:
            rates.add(bool(first), bool(second))
            sequence.add(float(first))
            out |= not sequence.low <= rate <= sequence.high
        ever += rates.different
        missed += out
    yield Check("e-process of two rates", name, "ever rejected", ever / sets, 0.0, MOST_REJECTED)
    yield Check("confidence sequence of a mean", name, "ever missed", missed / sets, 0.0, MOST_REJECTED)


def naive(sets: int) -> float:
    """Return the share of null sets in clusters whose interval by scipy's bootstrap excludes 0."""
    from scipy.stats import bootstrap

    rejected = 0
    for rng in generators(sets, "0/1 in clusters"):
        sample = draw(rng)
        differences = sample.candidate.astype(float) - sample.baseline
        found = bootstrap(
            (differences,),
            lambda values, axis: values.mean(axis=axis),
            n_resamples=RESAMPLES,
            method="percentile",
            rng=rng,
        ).confidence_interval
        rejected += not found.low <= 0.0 <= found.high
    return rejected / sets


def power(sets: int) -> dict[str, list[float]]:
    """Return the share of sets in which a gain is found, by gain: alone and in clusters, and what the plan expects."""
    gains = [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14]
    curves: dict[str, list[float]] = {"gain": gains, "independent": [], "clusters": [], "planned": []}
    for gain in gains:
        for name, clustered in (("independent", False), ("clusters", True)):
            found = 0
            for rng in generators(sets, f"power {name} {gain}"):
                sample = draw(rng, gain=gain, clustered=clustered)
                result = statistics.compare(
                    sample.candidate, sample.baseline, clusters=sample.clusters, alpha=LEVEL, resamples=RESAMPLES
                )
                found += result.better
            curves[name].append(found / sets)
        curves["planned"].append(statistics.mcnemar_power(300, gain, 0.4, alpha=LEVEL) if gain else LEVEL / 2)
    return curves


def plot(curves: Mapping[str, list[float]], path: Path) -> None:
    """Draw the power curves."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.0), dpi=110)
    points = [100 * gain for gain in curves["gain"]]
    for name, label, style in (
        ("planned", "planned: exact power, 300 independent items", "k--"),
        ("independent", "measured: 300 independent items, exact McNemar", "o-"),
        ("clusters", "measured: about 390 items in 60 clusters, cluster sign-flip", "s-"),
    ):
        axes.plot(points, [100 * share for share in curves[name]], style, label=label)
    axes.axhline(80, color="0.7", linewidth=0.8)
    axes.set(xlabel="true gain, percentage points", ylabel="found, % of data sets", ylim=(0, 100))
    axes.legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def checks(sets: int) -> Iterator[Check]:
    """Yield every check, each method with as many sets as it can have in a few minutes."""
    yield from paired(sets, "independent 0/1", by_nature=False, clustered=False)
    yield from paired(sets, "0/1 in clusters", by_nature=True)
    yield from paired(sets, "graded in clusters", by_nature=True, graded=True)
    yield from paired(sets, "independent graded", by_nature=True, graded=True, clustered=False)
    yield from corpus(sets)
    yield from scores(sets)
    yield from margins(sets)
    yield from agreement(sets)
    yield from seeds(sets)
    yield from families(sets)
    yield from peeking(sets)
    yield from statistics_extremes.checks(sets)


def _p_value(sample: Sample) -> float:
    return statistics.compare(
        sample.candidate, sample.baseline, clusters=sample.clusters, alpha=LEVEL, resamples=RESAMPLES
    ).p_value


def main() -> int:
    """Measure, print, and return 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    found = []
    for check in checks(arguments.sets):
        found.append(check)
        print(f"{'ok' if check.met else 'MISSED':7}{check.share:7.2%} {check}", flush=True)
    ignoring = naive(arguments.sets)
    print(f"scipy's bootstrap, which knows no clusters, rejects {ignoring:.1%} of the sets in clusters")
    result: dict[str, Any] = {
        "sets": arguments.sets,
        **{str(check): check.share for check in found},
        "rejected by scipy's bootstrap, which knows no clusters; 0/1 in clusters": ignoring,
    }
    if arguments.plot:
        curves = power(arguments.sets)
        plot(curves, arguments.plot)
        result["power"] = curves
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2))
    return int(not all(check.met for check in found))


if __name__ == "__main__":
    sys.exit(main())
