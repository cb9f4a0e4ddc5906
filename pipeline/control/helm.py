"""A version out to Stanford's HELM, and what HELM measured of it back in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.control.versions import VersionFiles
from pipeline.core.errors import ConfigError, DataError, ModelError
from pipeline.core.helm import helm_model, helm_results_file
from pipeline.core.models import ModelFiles
from pipeline.core.workspace import write_atomic
from pipeline.evaluate.helm.files import TOKENIZER, Served, helm_files
from pipeline.evaluate.helm.reading import read_run, run_folders
from pipeline.report.destination import replacing
from pipeline.report.helm import helm_runs
from pipeline.report.package import smoke_request
from pipeline.report.version import VersionRecord
from schemas.helm import HelmResults, HelmRun

_TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)


@dataclass(frozen=True)
class Endpoint:
    """Where a version is served. ``length``, in tokens, overrides what its own files say."""

    base_url: str
    key_variable: str | None
    length: int | None


def export_helm(version: VersionFiles, folder: Path, scenarios: Sequence[str], endpoint: Endpoint) -> tuple[Path, ...]:
    """Write what HELM needs to run scenarios against a served version into a new folder, whole or not at all.

    Returns:
        The files, sorted.

    Raises:
        ConfigError: the folder holds something, an option is malformed, or nothing says how long a sequence may be.
        ModelError: the version's tokenizer is not in a folder, or its files are damaged.
    """
    if folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError("the folder is not empty", where=str(folder), fix="name a new folder with --to")
    files = version.files()
    source = Path(files.tokenizer)
    special = _object(source / "tokenizer_config.json")
    request = smoke_request(VersionRecord.load(version.store, version.record.ref))
    served = Served(
        model=helm_model(version.version.name, version.version.version),
        version=str(version.version),
        served=version.record.artifact.name,
        chat="messages" in request,
        base_url=endpoint.base_url,
        length=endpoint.length or _length(version, files),
        beginning=_token(special.get("bos_token")),
        end=_token(special.get("eos_token")),
        key_variable=endpoint.key_variable,
    )
    texts = helm_files(served, scenarios)
    copied = [source / name for name in _TOKENIZER_FILES if (source / name).is_file()]
    if not copied:
        raise ModelError("there is no tokenizer here", where=str(source), fix="run the version's run again")
    with replacing(folder) as temporary:
        for name, text in texts.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_text(text, encoding="utf-8")
        (temporary / TOKENIZER).mkdir()
        for path in copied:
            shutil.copyfile(path, temporary / TOKENIZER / path.name)
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file()))


def import_helm(
    version: VersionFiles, folder: Path, *, helm_version: str | None, model: str | None
) -> tuple[HelmRun, ...]:
    """Keep what HELM measured of a version; a run of the same name replaces the earlier one. All runs or none.

    ``model`` is what HELM calls the version, where that is not the name that `export_helm` gives it.

    Raises:
        SourceError: a file is missing or cannot be read.
        DataError: a file is not what HELM writes, a run is there twice, or is of another model.
    """
    expected = model or helm_model(version.version.name, version.version.version)
    time = datetime.now(UTC).isoformat(timespec="seconds")
    runs: dict[str, HelmRun] = {}
    for path in run_folders(folder):
        run = read_run(path, helm_version=helm_version, time=time)
        if run.model != expected:
            raise DataError(
                f"adapter_spec.model is {run.model!r}, and {version.version} is {expected!r} in HELM",
                where=str(path / "run_spec.json"),
                fix="name the version that was measured, or what HELM called it with --model",
            )
        if run.name in runs:
            raise DataError(
                f"name {run.name!r} stands in two run folders", where=str(path / "run_spec.json"), fix="name one suite"
            )
        runs[run.name] = run
    root, ref = version.store.root, version.record.ref
    kept = {run.name: run for run in helm_runs(root, ref)} | runs
    results = HelmResults(record=ref, runs=tuple(kept[name] for name in sorted(kept)))
    target = helm_results_file(root, ref)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, results.model_dump_json(indent=1) + "\n")
    return tuple(runs[name] for name in sorted(runs))


def _length(version: VersionFiles, files: ModelFiles) -> int:
    """Return the tokens of a sequence: what the engine is started with, and at most what the model was made for."""
    options = _object(version.serve.path / "config.json").get("options", {}) if version.serve is not None else {}
    config = _object(Path(files.weights) / "config.json")
    text = config.get("text_config", config)
    known = [options.get("max_model_len"), text.get("max_position_embeddings")]
    lengths = [value for value in known if isinstance(value, int)]
    if not lengths:
        raise ConfigError(
            "neither serve.options.max_model_len nor the model's config says how long a sequence may be",
            where=str(version.version),
            fix="give --max-sequence-length",
        )
    return min(lengths)


def _object(path: Path) -> dict[str, Any]:
    """Return a JSON object, an empty one where there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError("the file is damaged", where=str(path), fix="run the version's run again") from error
    return value if isinstance(value, dict) else {}


def _token(value: object) -> str:
    """Return a special token, which a tokenizer's config states as text or as an object with ``content``."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else ""
