from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import DataError, SourceError
from pipeline.evaluate.helm.reading import read_run, run_folders
from schemas.helm import HelmFigure, HelmRun
from tests.support.helm_runs import MODEL, stat, write_run

TIME = "2026-01-01T00:00:00+00:00"


def read(folder: Path) -> HelmRun:
    return read_run(folder, helm_version="0.5.16", time=TIME)


def test_metrics_of_whole_splits_with_their_instances(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    run = read(folder)
    # Of ten stats: no bookkeeping, no perturbed, train or sub-split ones, none without a value. n is num_instances.
    assert run.figures == (
        HelmFigure(metric="exact_match", split="test", value=0.75, n=8),
        HelmFigure(metric="quasi_exact_match", split="test", value=0.875, n=8),
    )
    assert (run.scenario, run.model, run.trials) == ("mmlu", MODEL, 1)
    assert run.name == folder.name
    assert run.stats_digest == hashlib.sha256((folder / "stats.json").read_bytes()).hexdigest()


def test_runs_are_found_in_a_suite_and_by_themselves(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "runs" / "hone", "b"), write_run(tmp_path / "runs" / "hone", "a")
    assert run_folders(tmp_path) == [second, first]
    assert run_folders(first) == [first]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no run of HELM"):
        run_folders(tmp_path / "empty")
    with pytest.raises(SourceError, match="no folder"):
        run_folders(first / "stats.json")


def _stats(value: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / "stats.json").write_text(json.dumps(value)) and None


def _spec(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "run_spec.json"
        spec = json.loads(path.read_text())
        change(spec)
        path.write_text(json.dumps(spec))

    return edit


@pytest.mark.parametrize(
    ("spoil", "file", "message"),
    [
        (_spec(lambda spec: spec.pop("adapter_spec")), "run_spec.json", "adapter_spec is missing"),
        (_spec(lambda spec: spec["adapter_spec"].pop("model")), "run_spec.json", "adapter_spec.model is missing"),
        (_spec(lambda spec: spec.update(name=3)), "run_spec.json", "name has the wrong type, int"),
        (_spec(lambda spec: spec["adapter_spec"].update(num_train_trials=0)), "run_spec.json", "less than 1"),
        (_stats({}), "stats.json", "no list of stats"),
        (_stats([]), "stats.json", "holds no metric"),
        (_stats([stat("num_instances", 8.0)]), "stats.json", "holds no metric"),
        (_stats([{"count": 1}]), "stats.json", r"\[0\].name is missing"),
        (_stats([{"name": {"name": "f1", "split": "test"}, "count": 1}]), "stats.json", r"\[0\].mean is missing"),
        (_stats([stat("f1", 1.0) | {"mean": 10**400}]), "stats.json", r"\[0\].mean is no finite number"),
        (_stats([stat("f1", 1.0) | {"mean": True}]), "stats.json", r"\[0\].mean has the wrong type, bool"),
        (_stats([stat("f1", 1.0)]), "stats.json", "num_instances does not say"),
        (_stats([stat("f1", 1.0), stat("num_instances", 2.5)]), "stats.json", "num_instances does not say"),
        (_stats([stat("f1", 1.0), stat("f1", 0.5)]), "stats.json", r"\[1\].mean is another value of f1"),
        (lambda folder: (folder / "stats.json").write_text('[{"a": NaN}]') and None, "stats.json", "not JSON"),
        (lambda folder: (folder / "scenario.json").write_bytes(b"\xff") and None, "scenario.json", "not JSON"),
        (lambda folder: (folder / "scenario.json").write_text("[]") and None, "scenario.json", "name is missing"),
    ],
)
def test_a_malformed_folder_is_named_with_file_and_key(
    tmp_path: Path, spoil: Callable[[Path], None], file: str, message: str
) -> None:
    folder = write_run(tmp_path)
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        read(folder)
    assert caught.value.where == str(folder / file)


@pytest.mark.parametrize("file", ["run_spec.json", "scenario.json", "stats.json"])
def test_an_unfinished_run_is_no_run(tmp_path: Path, file: str) -> None:
    folder = write_run(tmp_path)
    (folder / file).unlink()
    with pytest.raises(SourceError, match="No such file") as caught:
        read(folder)
    assert caught.value.where == str(folder / file)


def test_instances_of_a_split_that_is_a_mean_over_trials(tmp_path: Path) -> None:
    """HELM adds one mean for each trial, so ``count`` is 3 trials and ``num_instances`` still 8 instances."""
    folder = write_run(tmp_path)
    _stats([stat("num_instances", 8.0, count=3), stat("f1_score", 0.5, count=3)])(folder)
    assert read(folder).figures == (HelmFigure(metric="f1_score", split="test", value=0.5, n=8),)
