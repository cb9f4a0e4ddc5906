"""HELM's run folders, as ``helm.benchmark.runner`` (0.5.16) writes them: run_spec.json, scenario.json, stats.json.

The ``count`` of an aggregated stat counts trials, not instances (each trial adds its mean): how many instances a split
has is the stat ``num_instances`` of the same split.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError, SourceError
from pipeline.core.json_text import read_json
from schemas.helm import HelmFigure, HelmRun

_FILES = ("run_spec.json", "scenario.json", "stats.json")
_SPLITS = ("valid", "test")
"""``helm.benchmark.scenarios.scenario.EVAL_SPLITS``."""

_BOOKKEEPING = re.compile(
    r"num_.*|max_num_.*|estimated_num_tokens_cost|prompt_truncated|finish_reason_.*|predicted_index|max_prob"
    r"|logprob|training_.*|inference_.*|batch_size|platt_coef|platt_intercept"
)
"""Stats of HELM's groups general_information and efficiency, and what is no quality by itself."""


def run_folders(folder: Path) -> list[Path]:
    """Return the run folders in ``folder``, which may be one itself, sorted.

    Raises:
        SourceError: it is no folder.
        DataError: there is none.
    """
    if not folder.is_dir():
        raise SourceError("this is no folder", where=str(folder), fix="name a run folder of HELM, or a suite of them")
    found = sorted({path.parent for name in _FILES[::2] for path in folder.rglob(name)})
    if not found:
        raise DataError(
            "there is no run of HELM in here: no run_spec.json",
            where=str(folder),
            fix="name benchmark_output/runs/SUITE, or one run in it",
        )
    return found


def read_run(folder: Path, *, helm_version: str | None, time: str) -> HelmRun:
    """Read one run folder.

    Raises:
        SourceError: a file is missing or cannot be read.
        DataError: a file is not what HELM writes; the message names file and key.
    """
    contents = {name: _bytes(folder / name) for name in _FILES}
    spec, scenario, stats = (_json(folder / name, content) for name, content in contents.items())
    spec_file, stats_file = folder / "run_spec.json", folder / "stats.json"
    adapter = _key(spec_file, spec, "adapter_spec", dict)
    trials = _key(spec_file, adapter, "num_train_trials", int, "adapter_spec.")
    if trials < 1:
        raise _wrong(spec_file, "adapter_spec.num_train_trials", "is less than 1")
    if not isinstance(stats, list):
        raise _wrong(stats_file, "the file", "is no list of stats")
    return HelmRun(
        name=_key(spec_file, spec, "name", str),
        scenario=_key(folder / "scenario.json", scenario, "name", str),
        model=_key(spec_file, adapter, "model", str, "adapter_spec."),
        trials=trials,
        figures=_figures(stats_file, stats),
        stats_digest=hashlib.sha256(contents["stats.json"]).hexdigest(),
        helm_version=helm_version,
        time=time,
    )


def _figures(path: Path, stats: list[Any]) -> tuple[HelmFigure, ...]:
    values: dict[tuple[str, str], float] = {}
    for name, split, value, where in _means(path, stats):
        if values.setdefault((name, split), value) != value:
            raise _wrong(path, f"{where}mean", f"is another value of {name} on {split} than before")
    figures = []
    for (name, split), value in sorted(values.items()):
        if _BOOKKEEPING.fullmatch(name):
            continue
        n = values.get(("num_instances", split))
        if n is None or n < 1 or n != int(n):
            raise _wrong(path, "num_instances", f"does not say how many instances split {split} has")
        figures.append(HelmFigure(metric=name, split=split, value=value, n=int(n)))
    if not figures:
        raise _wrong(path, "the file", "holds no metric of the unperturbed test or valid split (a dry run?)")
    return tuple(figures)


def _means(path: Path, stats: list[Any]) -> Iterator[tuple[str, str, float, str]]:
    """Yield metric, split, mean and place of what was measured on whole evaluation splits without perturbation."""
    for place, stat in enumerate(stats):
        where = f"[{place}]."
        name = _key(path, stat, "name", dict, where)
        metric = _key(path, name, "name", str, f"{where}name.")
        count = _key(path, stat, "count", int, where)
        if name.get("split") not in _SPLITS or "perturbation" in name or "sub_split" in name or count == 0:
            continue
        mean = _key(path, stat, "mean", (int, float), where)
        if not abs(mean) <= sys.float_info.max:  # of an integer, too, which may be larger than any float
            raise _wrong(path, f"{where}mean", "is no finite number")
        yield metric, name["split"], float(mean), where


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"the file cannot be read: {error.strerror or error}",
            where=str(path),
            fix="let helm-run finish; a run without it is not whole",
        ) from error


def _json(path: Path, content: bytes) -> Any:
    try:
        return read_json(content.decode("utf-8"))
    except ValueError as error:
        raise DataError(f"this is not JSON: {error}", where=str(path), fix="run helm-run on it again") from error


def _key(path: Path, value: Any, key: str, kind: Any, prefix: str = "") -> Any:
    """Return ``value[key]``, which must be of ``kind``; booleans are no numbers."""
    if not isinstance(value, dict) or key not in value:
        raise _wrong(path, f"{prefix}{key}", "is missing")
    found = value[key]
    if isinstance(found, bool) or not isinstance(found, kind) or found == "":
        raise _wrong(path, f"{prefix}{key}", f"has the wrong type, {type(found).__name__}, or is empty")
    return found


def _wrong(path: Path, key: str, problem: str) -> DataError:
    return DataError(f"{key} {problem}", where=str(path), fix="import a run folder as helm-run left it")
