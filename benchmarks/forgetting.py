"""Methods against forgetting on the chain of `benchmarks.real_data`: what each keeps of the base, and what it costs.

    python -m benchmarks.forgetting [DATA] [--folder FOLDER] [--only NAME ...] [--json FILE] [--plot FILE]

The base knows the intents of CLINC150 and SNIPS and is tuned on Banking77, by plain LoRA and with each method of
`train.retention`; both tasks are then measured on all of their test rows. The first method of the table that reaches
what is asked is run once more with a gate that asks for nine tenths of the base's score. FOLDER keeps the workspace, so
that an interrupted round goes on. Methods measured by ``--only`` without plain LoRA are compared with nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from benchmarks.real_data import run
from examples.real_data.prepare import prepare

PLAIN = "plain LoRA"
METHODS: dict[str, list[dict[str, Any]]] = {
    PLAIN: [],
    "replay": [{"method": "replay", "share": 0.4}],
    "lower rate": [{"method": "lower_rate", "factor": 0.1}],
    "L2-SP": [{"method": "l2_sp"}],
    "EWC": [{"method": "ewc"}],
    "orthogonal LoRA": [{"method": "orthogonal"}],
    "interpolation": [{"method": "interpolation"}],
    "TIES": [{"method": "merging"}],
    "DARE": [{"method": "merging", "combination": "dare_linear", "density": 0.9}],
}
EPOCHS = 2
TASK, METRIC = "clinc", "exact_match"
KEPT, LOST = 0.9, 0.03
"""What one method must reach: the share of the base's score that is kept, and the target accuracy it may cost."""


@dataclass(frozen=True)
class Outcome:
    """Accuracy on Banking77 and on the base's own task, by seed."""

    target: tuple[float, ...]
    retention: tuple[float, ...]

    def figures(self) -> dict[str, Any]:
        """Return means and standard deviations over seeds."""
        found: dict[str, Any] = {}
        for name, values in (("target", self.target), ("retention", self.retention)):
            found[name] = mean(values)
            found[f"{name}_sd"] = stdev(values) if len(values) > 1 else None
        return found


def describe(folder: Path, name: str, seed: int, **changes: Any) -> str:
    """Write the description of one method and seed into ``folder`` and return its name."""
    spec = yaml.safe_load((folder / "banking77.yaml").read_text(encoding="utf-8"))
    base = yaml.safe_load((folder / "clinc-base.yaml").read_text(encoding="utf-8"))
    words = "-".join(name.lower().replace("-", "").split())
    spec["name"] = f"forgetting-{words}-{seed}"
    spec["train"] |= {"num_train_epochs": EPOCHS, "seeds": [seed], "retention": METHODS[name]}
    spec["evaluate"]["baselines"] = {"base": False, "tfidf": False}
    spec["evaluate"]["retention"] = [{"name": TASK, "data": base["data"], "metric": METRIC, "margin": 1.0}]
    spec["variants"] = []
    for key, value in changes.items():
        known = spec.get(key)
        spec[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    path = folder / f"{spec['name']}{'-gate' if changes else ''}.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return path.name


def measure(folder: Path, name: str, seeds: Sequence[int]) -> tuple[Outcome, float]:
    """Return what a method reaches with each seed, and the base's score on its own task."""
    target, kept, before = [], [], 0.0
    for seed in seeds:
        report = run(folder, describe(folder, name, seed))
        tuned = next(item for item in report["subjects"] if item["role"] == "tuned")
        retention = report["retention"][0]
        target.append(tuned["scores"][METRIC]["value"])
        kept.append(retention["after"]["value"])
        before = retention["before"]["value"]
        print(f"{name}, seed {seed}: target {target[-1]:.1%}, own task {kept[-1]:.1%} of {before:.1%}", flush=True)
    return Outcome(tuple(target), tuple(kept)), before


def reaches(outcome: Outcome, plain: Outcome, before: float) -> bool:
    """Whether a method keeps enough of the base at a small enough cost."""
    return mean(outcome.retention) >= KEPT * before and mean(outcome.target) >= mean(plain.target) - LOST


def promoted(folder: Path, name: str, seed: int, before: float) -> bool:
    """Return whether the gate promotes what a method makes, where nine tenths of the base's score must be kept."""
    margin = round((1.0 - KEPT) * before, 3)
    spec = yaml.safe_load((folder / describe(folder, name, seed)).read_text(encoding="utf-8"))
    tasks = [{**spec["evaluate"]["retention"][0], "margin": margin}]
    asked = describe(
        folder,
        name,
        seed,
        evaluate={"retention": tasks, "baselines": {"few_shot": 0, "tfidf": False, "champion": False}},
        variants=["merged"],
        serve={"variant": "merged"},
    )
    return bool(run(folder, asked)["answer"] == "ship")


def draw(outcomes: Mapping[str, Outcome], before: float, path: Path) -> None:
    """Draw what is kept of the base against what is reached on the target, a mark for each seed."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 4.4), dpi=110)
    for (name, outcome), marker in zip(outcomes.items(), "osD^vP*Xh", strict=False):
        points = [[100 * value for value in values] for values in (outcome.retention, outcome.target)]
        axes.plot(*points, marker, label=name, alpha=0.8)
    axes.axvline(100 * KEPT * before, color="0.6", linewidth=0.8)
    axes.axhline(100 * (mean(outcomes[PLAIN].target) - LOST), color="0.6", linewidth=0.8)
    axes.set(xlabel="base's own task (CLINC150) after tuning, % exact match", ylabel="Banking77, % exact match")
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def carry_out(
    data: Path, folder: Path, names: Sequence[str], seeds: Sequence[int]
) -> tuple[dict[str, Any], dict[str, Outcome], float]:
    """Carry everything out in ``folder``; return the figures, each method's outcome and the base's score."""
    prepare(data, folder)
    run(folder, "clinc-base.yaml")
    outcomes, before = {}, 0.0
    for name in names:
        outcomes[name], before = measure(folder, name, seeds)
    figures: dict[str, Any] = {"base_own_task": before, "seeds": list(seeds), "epochs": EPOCHS}
    figures["methods"] = {name: outcome.figures() for name, outcome in outcomes.items()}
    if PLAIN in outcomes:
        good = [name for name in names if name != PLAIN and reaches(outcomes[name], outcomes[PLAIN], before)]
        figures["reached_by"] = good
        if good:
            figures["promoted"] = {good[0]: promoted(folder, good[0], seeds[0], before)}
    return figures, outcomes, before


def main() -> int:
    """Measure, and return 1 where no method reaches what is asked or the gate refuses the one that does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path(os.environ.get("HONE_DATA", "../shared/data")))
    parser.add_argument("--folder", type=Path, help="keep the workspace here")
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the outcomes into this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        figures, outcomes, before = carry_out(arguments.data, folder, arguments.only, arguments.seeds)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if arguments.plot and PLAIN in outcomes:
        draw(outcomes, before, arguments.plot)
    return int(PLAIN in outcomes and not all(figures.get("promoted", {"": False}).values()))


if __name__ == "__main__":
    sys.exit(main())
