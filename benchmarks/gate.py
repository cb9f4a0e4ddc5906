"""How often the gate is wrong: its own decision on simulated models of which the truth is known.

    python -m benchmarks.gate [--trials 2000] [--json FILE]

A model is compared with three baselines on a test split of the size that the plan asks for; a quantized variant is
compared with it, and a task of the base is asked before and after. Items have a difficulty that all models share, so
that they err together, as real ones do; the plan assumes that they do not, and asks for more rows than that takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import statistics
from pipeline.plan.gate_power import SimulatedGate, estimate_gate
from pipeline.registry.comparisons import best_baseline, compare_items, lower_bound
from pipeline.registry.gate import Candidate, Contamination, Evidence, decide
from pipeline.registry.items import Items
from pipeline.registry.losses import Loss
from pipeline.registry.protected import Protected, corrected
from schemas.evaluate import Score
from schemas.register import Decision, GateOptions, SeedSpread
from schemas.serve import ServeArtifact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BASELINES = {"base": 0.05, "few-shot": 0.55, "tfidf": 0.6}
"""True accuracies; the best of them is what the gain is over."""

GAIN = 0.06
"""What is planned for: the size of the test split follows from it."""

TOGETHER = 0.6
"""Correlation of two models' answers through the difficulty of an item, on the normal scale."""

RETENTION_ITEMS, RETENTION_MARGIN = 1000, 0.03
VARIANT_MARGIN = 0.02
WORSE_VARIANT = 0.05
UNSTABLE = 0.01
"""Share of answers that differ between a variant and its parent without making it worse, and before and after."""

MOST_WRONG, LEAST_RIGHT, LEAST_CAUGHT = 0.05, 0.8, 0.95
METRIC = "exact_match"
SEED = 11

SERVED = ServeArtifact(
    engine="vllm",
    engine_version="0",
    prompts=50,
    prompt_mismatches=0,
    answer_mismatches=0,
    smoke_prompt="",
    smoke_answer="",
    ready_seconds=1.0,
)


@dataclass(frozen=True)
class World:
    """One kind of model: its true gain over the best baseline, and what its variant loses."""

    name: str
    gain: float
    variant_loss: float = 0.0


WORLDS = (
    World("no better than the best baseline", 0.0),
    World("better by the planned gain", GAIN),
    World("better by the planned gain, its variant 5 points worse", GAIN, WORSE_VARIANT),
)


@cache
def rows() -> int:
    """Return the test rows that the plan asks for, for the gain and a baseline that is known."""
    asked = SimulatedGate(GateOptions().alpha, 0.0, None, {"w4a16": VARIANT_MARGIN}, None)
    found = estimate_gate(asked, rows=2, baseline=max(BASELINES.values()), gain=GAIN, power=LEAST_RIGHT).rows_for_gain
    assert found is not None
    return found


def trial(world: World, rng: np.random.Generator, gate: GateOptions) -> Decision:
    """Draw a test split and let the gate decide."""
    n = rows()
    ease = rng.normal(size=n)
    references = {name: _items(name, _answers(rng, ease, share)) for name, share in BASELINES.items()}
    right = _answers(rng, ease, max(BASELINES.values()) + world.gain)
    model = _items("seed-0", right)
    variant = _items("w4a16", _changed(rng, right, world.variant_loss))
    compared = [compare_items(model, other, METRIC, gate) for other in references.values()]
    best = best_baseline(compared)
    assert best is not None
    return decide(
        Evidence(
            target={METRIC: max(BASELINES.values()) + GAIN / 2},
            gate=gate,
            baselines=tuple(compared),
            uninstructed=(),
            candidates=(Candidate("seed-0", {METRIC: _score(model)}, best),),
            protected=_halves(model, references[best.reference], gate),
            contamination=Contamination(n, 0, 0),
            retention=(_retention(rng, gate),),
            retention_waived=None,
            variants=(_loss("w4a16", VARIANT_MARGIN, variant, model, gate),),
            serve=SERVED,
            max_answer_mismatches=1,
            seeds=SeedSpread(
                values={"seed-0": model.score}, mean=model.score, standard_deviation=None, low=None, high=None
            ),
        )
    )


def _answers(rng: np.random.Generator, ease: Floats, share: float) -> Floats:
    """Return who is right: with probability ``share``, more likely where an item is easy."""
    from scipy.stats import norm

    own = rng.normal(size=ease.size)
    return (TOGETHER**0.5 * ease + (1 - TOGETHER) ** 0.5 * own < norm.ppf(share)).astype(float)


def _changed(rng: np.random.Generator, right: Floats, loss: float) -> Floats:
    """Return the answers of a variant: some differ either way, and ``loss`` of all are lost beside."""
    import numpy as np

    flips = rng.random(right.size) < UNSTABLE
    lost = rng.random(right.size) < loss / right.mean()
    return np.where(flips, 1.0 - right, np.where(lost, 0.0, right))


def _items(name: str, scores: Floats) -> Items:
    n = scores.size
    said = tuple("yes" if score else "no" for score in scores)
    return Items(
        name, tuple(map(str, range(n))), None, tuple(scores.tolist()), said, said, ("yes",) * n, float(scores.mean())
    )


def _score(items: Items) -> Score:
    found = statistics.score_interval(items.scores)
    return Score(value=found.estimate, low=found.low, high=found.high, n=found.n, method=found.method)


def _loss(
    name: str, margin: float, items: Items, parent: Items, gate: GateOptions, base_low: float | None = None
) -> Loss:
    return Loss(
        name=name,
        margin=margin,
        comparison=compare_items(items, parent, METRIC, gate),
        low=lower_bound(items, parent, METRIC, margin, gate),
        base_low=base_low,
    )


def _retention(rng: np.random.Generator, gate: GateOptions) -> Loss:
    before = (rng.random(RETENTION_ITEMS) < 0.9).astype(float)
    after = _items("seed-0", _changed(rng, before, 0.0))
    old = _items("base", before)
    return _loss("old", RETENTION_MARGIN, after, old, gate, base_low=_score(old).low)


def _halves(model: Items, best: Items, gate: GateOptions) -> tuple[Protected, ...]:
    """Return two slices of the items, each protected."""
    import numpy as np

    half = len(model.scores) // 2
    found = []
    for name, places in (("short", slice(None, half)), ("long", slice(half, None))):
        sides = [_items(side.name, np.array(side.scores[places])) for side in (model, best)]
        found.append(Protected("slice", name, compare_items(*sides, METRIC, gate, part=name)))
    return tuple(corrected(found))


def measure(trials: int) -> dict[str, Any]:
    """Return how often each kind of model was promoted, and the bad variant caught."""
    import numpy as np

    gate = GateOptions(resamples=1000)
    promoted, caught = {}, 0
    for world in WORLDS:
        count = 0
        for number in range(trials):
            decision = trial(world, np.random.default_rng([SEED, number, *world.name.encode()]), gate)
            count += decision.verdict == "promoted"
            passed = {condition.name: condition.passed for condition in decision.all_conditions}
            caught += world.variant_loss > 0 and not passed["variant.w4a16"]
        promoted[world.name] = count / trials
        print(f"{world.name}: promoted {count / trials:.2%} of {trials}", flush=True)
    worst, planned, _ = (promoted[world.name] for world in WORLDS)
    found = {"trials": trials, "test_rows": rows(), "promoted": promoted, "variant_caught": caught / trials}
    found["met"] = {
        f"no better: promoted in at most {MOST_WRONG:.0%}": worst <= MOST_WRONG,
        f"the planned gain: promoted in at least {LEAST_RIGHT:.0%}": planned >= LEAST_RIGHT,
        f"a variant 5 points worse: caught in at least {LEAST_CAUGHT:.0%}": caught / trials >= LEAST_CAUGHT,
    }
    return found


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    found = measure(arguments.trials)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    print(f"a variant 5 points worse: caught in {found['variant_caught']:.2%}; test rows: {found['test_rows']}")
    return int(not all(found["met"].values()))


if __name__ == "__main__":
    sys.exit(main())
