"""The text of a first run description: every line commented, at most 25 of them."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any, Final

import yaml

from local_runner.init import Proposal
from pipeline.core.errors import ConfigError, ModelError
from pipeline.core.paths import expand
from pipeline.core.spec import validate_spec
from pipeline.core.workspace import write_atomic
from pipeline.core.yaml_text import load_yaml
from pipeline.embedded import EMBEDDED

MOST_LINES: Final = 25

_HUB_OR_VERSION: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*|[a-z0-9][a-z0-9._-]*@[a-z0-9]+")

_EMPTY_NAMES = frozenset({"data", "dataset", "examples", "rows", "train", "training", "tmp"})
"""File names that say nothing about the task."""


def default_description(proposal: Proposal) -> str:
    """Return what the model is to do, as far as the columns tell; baselines are told the labels apart."""
    columns = proposal.reading.layout.columns
    answer = columns.get("label") or columns.get("completion")
    match proposal.task:
        case "classification":
            return f"Name the {answer}." if answer else "Classify the message."
        case "extraction":
            return f"Answer with the {answer} as one JSON object." if answer else "Answer with one JSON object."
        case "generation":
            return f"Answer with the {answer}." if answer else ""


def default_name(source: str) -> str:
    """Return a run name made of the file's name, or its folder's: lower-case letters, digits and hyphens."""
    path = expand(source).absolute()
    stems = [path.stem, path.parent.name]
    slugs = [re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40].strip("-") for stem in stems]
    return next((slug for slug in slugs if slug and slug not in _EMPTY_NAMES), "my-task")


def check_base(name: str) -> None:
    """Refuse a base model that leads nowhere, as far as this machine can tell without the network.

    Raises:
        ModelError: it is no folder with a model, no embedded base, and cannot be a Hub id, run or version.
    """
    path, where = expand(name), f"--base-model {name}"
    if name in EMBEDDED or name.startswith("run:"):
        return
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError("the folder holds no config.json", where=where, fix="name a model's folder")
    elif not _HUB_OR_VERSION.fullmatch(name):
        raise ModelError(
            "no such model folder, and no Hub id (org/name), run (run:NAME) or version (name@champion)",
            where=where,
            fix=f"check the name; embedded: {', '.join(EMBEDDED)}",
        )


def spec_text(proposal: Proposal, *, name: str, base_model: str, folder: Path, description: str | None = None) -> str:
    """Return the commented description; paths in it start at ``folder``, where it will lie.

    ``description`` says what the model is to do; `default_description` where it is None.

    Raises:
        ConfigError: a name given by the user may not stand in a description.
    """
    description = default_description(proposal) if description is None else description
    lines = [
        "# Check it with `hone data check`, see what it takes with `hone plan`, carry it out with `hone run`.",
        f"name: {_inline(name)}",
        f"task: {proposal.task}  # {_task_reason(proposal)}",
        f"description: {_inline(description)}  # what the model is to do: asked of the untuned base, too",
        f"base_model: {_inline(_base_from(folder, base_model))}  # or a folder, a Hub id, a version (name@champion)",
        "data:",
        f"  path: {_inline(_path_from(folder, proposal.source))}  # {_rows_read(proposal)}",
        *_column_lines(proposal),
        "  split: {validation: 0.1, test: 0.2, by: cluster}  # near-duplicates stay on one side; or stratified, group",
        "train:",
        *_method_lines(proposal),
        "  adapter: lora  # or qlora, full; rank, learning rate and batch as in `hone plan`, or written here",
        "evaluate:",
        f"  metrics: {_inline(list(proposal.metrics))}  # {_metric_note(proposal)}",
        f"  # target: {{{proposal.metrics[0]}: 0.9}}  # the gate refuses what does not reach it",
        "  # Nothing is promoted until you say what the base must not lose: name its data, or waive it in your words.",
        "  # retention: [{name: chat, data: {path: chat.jsonl}, margin: 0.03}]",
        "  # retention_waived: why nothing that the base can do has to be kept",
        "variants: [merged]  # also: fp8_dynamic, w4a16, w8a8",
        "# constraints: {max_hours: 2, max_cost: 20}",
    ]
    text = "\n".join(lines) + "\n"
    assert len(lines) <= MOST_LINES
    validate_spec(load_yaml(text), source="the description")
    return text


def write_spec(path: Path, text: str, *, force: bool) -> None:
    """Write a description.

    Raises:
        ConfigError: something is there already and ``force`` is not set.
    """
    check_free(path, force=force)
    write_atomic(path, text)


def check_free(path: Path, *, force: bool) -> None:
    """Refuse to write over a file.

    Raises:
        ConfigError: something is there already and ``force`` is not set, it is no file, or its folder is missing.
    """
    if path.is_dir():
        raise ConfigError("this is a folder", where=f"--out {path}", fix="name a file: --out hone.yaml")
    if path.exists() and not path.is_file():
        raise ConfigError("this is a pipe or device", where=f"--out {path}", fix="name a file: --out hone.yaml")
    if not path.parent.is_dir():
        raise ConfigError("there is no such folder", where=f"--out {path}", fix=f"make it: mkdir -p {path.parent}")
    if path.exists() and not force:
        raise ConfigError(
            "the file exists and is left as it is",
            where=f"--out {path}",
            fix="name another with --out, or give --force",
        )


def _task_reason(proposal: Proposal) -> str:
    others = ", ".join(sorted({"classification", "extraction", "generation"} - {proposal.task}))
    return f"{_seen(proposal)}; or {others}"


def _seen(proposal: Proposal) -> str:
    match proposal.task:
        case "classification":
            return f"{len(proposal.labels or ())} different answers"
        case "extraction":
            return "answers are JSON objects"
        case "generation":
            return "answers are free text"


def _rows_read(proposal: Proposal) -> str:
    looked = f", the first {proposal.sampled:,} looked at" if proposal.sampled < proposal.total else ""
    return f"{proposal.total:,} rows, read as {proposal.reading.layout.format}{looked}"


def _metric_note(proposal: Proposal) -> str:
    if proposal.reading.layout.format == "preference":
        return "the chosen answer, word for word; what people prefer is for a metric of yours, ./my_metric.py:score"
    return "the first decides"


def _column_lines(proposal: Proposal) -> list[str]:
    layout = proposal.reading.layout
    named = any(column is not None for _, column in proposal.reading.options.columns)
    unused = ", ".join(layout.unused)
    note = f"  # not read: {unused}" if unused and unused.isprintable() and len(unused) < 200 else ""
    columns = dict(layout.columns) if layout.format != "alpaca" else {}
    lines = [f"  format: {layout.format}{note}"]
    if named or layout.format in ("label", "prompt_completion", "text"):
        lines.append(f"  columns: {_inline({str(slot): name for slot, name in columns.items()})}")
    if proposal.bad:
        first = proposal.bad[0].number
        lines.append(f"  # bad_rows: {{action: drop}}  # {len(proposal.bad)} rows cannot be used, the first is {first}")
    return lines


def _method_lines(proposal: Proposal) -> list[str]:
    return ["  method: dpo"] if proposal.reading.layout.format == "preference" else []


def _path_from(folder: Path, source: str) -> str:
    """Return the source as the description names it: from its own folder where it can be, else absolute."""
    path = expand(source)
    if not path.exists():
        return source
    if Path(source).is_absolute() and not path.resolve().is_relative_to(folder.resolve()):
        return str(path)
    return os.path.relpath(path.resolve(), folder.resolve())


def _base_from(folder: Path, base_model: str) -> str:
    return base_model if base_model in EMBEDDED else _path_from(folder, base_model)


def _inline(value: Any) -> str:
    """Return a value as YAML on one line, quoted only where it has to be."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    text = str(value)
    return (
        text if _survives(text) else yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()
    )


def _survives(text: str) -> bool:
    """Tell whether YAML reads the bare word as this very text, wherever it stands, and not as something else."""
    try:
        return bool(load_yaml(f"key: {text}  # note\nlist: [{text}, end]") == {"key": text, "list": [text, "end"]})
    except yaml.YAMLError:
        return False
