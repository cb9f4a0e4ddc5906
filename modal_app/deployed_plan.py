"""The plan that a deployed app is sized by, drawn up where it is deployed: without a workspace, a registry or a GPU.

Data of the Hub that cannot be looked at there (no network, or an installation that only starts runs) do not stop it:
`ASSUMED_TOKENS` in each row are then assumed. A run's own plan, drawn up where all is to be had, sizes its calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from pipeline.control.runs import RunList
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, EnvironmentMissing, SourceError, from_record
from pipeline.core.paths import expand
from pipeline.core.secrets import visible_secrets
from pipeline.core.spec import read_spec, set_keys, validate_spec
from pipeline.core.workspace import Store
from pipeline.embedded import EMBEDDED
from pipeline.execute import execute, load
from pipeline.flow import next_calls
from pipeline.resolve import Resolver, is_hub_id
from schemas.methods import METHODS
from schemas.plan import PlanArtifact
from schemas.run import RunSpec

ASSUMED_TOKENS = 512
"""Of each row that cannot be looked at, unless the description says how many are trained."""

_ASSUMED_ROWS = 200
"""Lengths decide about memory; how many rows have them does not."""

_CHARACTERS = 4
"""For each token, as the plan itself estimates it of a large vocabulary."""


def plan_description(path: Path, tell: Callable[[str], None]) -> tuple[RunSpec, PlanArtifact]:
    """Return a run description and its plan.

    Args:
        path: the YAML file; relative paths in it start at its folder.
        tell: told in a sentence what had to be assumed.

    Raises:
        HoneError: whatever is wrong with the description or what it names.
    """
    spec, home = read_spec(path), path.absolute().parent
    with TemporaryDirectory(prefix="hone-deploy-") as name:
        folder = Path(name)
        try:
            return spec, _plan(spec, home, folder)
        except (SourceError, EnvironmentMissing) as error:
            unseen = list(_on_the_hub(spec, home))
            if not unseen:
                raise
            length = spec.train.max_length or ASSUMED_TOKENS
            plan = _plan(_with_rows(spec, unseen, _write_rows(spec, folder, length)), home, folder)
            tell(f"{error.message} ({error.where}); sizes are those for rows of about {length} tokens")
            return spec, plan


def _plan(spec: RunSpec, home: Path, folder: Path) -> PlanArtifact:
    """Resolve as far as a plan needs, and carry out the plan stage with ``folder`` as its workspace."""
    secrets = visible_secrets()
    resolver = Resolver(
        folder=home,
        store=Store(folder),
        registry=_no_registry,
        runs=RunList(folder),
        embedded=EMBEDDED,
        token=secrets.get("HF_TOKEN"),
        for_plan=True,
    )
    (call,) = next_calls(resolver.resolve(spec), {})
    result = execute(call, folder, CallContext(call_id=call.id, secrets=secrets))
    if result.error is not None:
        raise from_record(result.error)
    assert result.ref is not None
    plan = load(Store(folder), result.ref).artifact
    assert isinstance(plan, PlanArtifact)
    return plan


def _no_registry() -> NoReturn:
    raise ConfigError(
        "versions are in the app's Volume and are not looked up while it is deployed",
        where="base_model",
        fix="deploy by a description that names the version's base on the Hub",
    )


def _on_the_hub(spec: RunSpec, home: Path) -> Iterator[str]:
    """Yield the keys of data that are not on this machine and are named as the Hub names them."""
    sections = {"data": spec.data}
    for number, task in enumerate(spec.evaluate.retention or ()):
        sections[f"evaluate.retention.{number}.data"] = task.data
    for key, data in sections.items():
        for name in ("path", "validation_path", "test_path"):
            text = getattr(data, name)
            if text is not None and is_hub_id(text) and not (home / expand(text)).exists():
                yield f"{key}.{name}"


def _with_rows(spec: RunSpec, keys: list[str], rows: Path) -> RunSpec:
    """Return the description with ``rows`` in place of the data at ``keys``, which have no revision then."""
    changes = {key: str(rows) for key in keys}
    revisions = {f"{key.rpartition('.')[0]}.revision": None for key in keys}
    return validate_spec(set_keys(spec.model_dump(mode="json"), changes | revisions), source="the description")


def _write_rows(spec: RunSpec, folder: Path, length: int) -> Path:
    """Write rows of about ``length`` tokens each, in the columns that the description's method wants."""
    columns = spec.data.columns
    pair = (columns.chosen or "chosen", columns.rejected or "rejected")
    sides = dict.fromkeys(pair, "") if METHODS[spec.train.method].compares else {}
    row = {**sides, columns.prompt or "prompt": "word " * (length * _CHARACTERS // len("word "))}
    path = folder / "assumed.jsonl"
    path.write_text(_ASSUMED_ROWS * (json.dumps(row) + "\n"), encoding="utf-8")
    return path
