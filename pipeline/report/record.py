"""A run as it lies in the workspace: its description, its calls, and the finished artifacts behind them.

``<root>/runs/<run>/run.json`` holds the resolved description, ``calls.json`` the state of every call. A run that is
unfinished or failed loads as well: what is missing is None or absent from a mapping.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.core.errors import IntegrityError, SourceError
from pipeline.core.workspace import Store
from pipeline.execute import load
from schemas.artifacts import Artifact, Cost, Manifest
from schemas.base import ArtifactRef, Digest, Schema, StageName
from schemas.bias import BiasArtifact
from schemas.data import DataArtifact
from schemas.errors import ErrorRecord
from schemas.evaluate import EvaluateArtifact
from schemas.judge import JudgeArtifact
from schemas.optimize import OptimizeArtifact
from schemas.plan import PlanArtifact
from schemas.register import RegisterArtifact
from schemas.resolved import RunFile
from schemas.run import RunSpec
from schemas.serve import ServeArtifact
from schemas.train import TrainArtifact

A = TypeVar("A", bound=Artifact)

KINDS: dict[StageName, type[Artifact]] = {
    "plan": PlanArtifact,
    "data": DataArtifact,
    "train": TrainArtifact,
    "evaluate": EvaluateArtifact,
    "optimize": OptimizeArtifact,
    "bias": BiasArtifact,
    "judge": JudgeArtifact,
    "serve": ServeArtifact,
    "register": RegisterArtifact,
}


@dataclass(frozen=True)
class Finished(Generic[A]):
    """A finished artifact: its identity, its folder, its manifest and its typed description."""

    ref: ArtifactRef
    path: Path
    manifest: Manifest
    artifact: A

    def config(self) -> dict[str, Any]:
        """Return the canonical config of the call that made it; empty where the record is missing."""
        return read_object(self.path / "config.json") if (self.path / "config.json").is_file() else {}


def load_finished(store: Store, ref: ArtifactRef, kind: type[A]) -> Finished[A] | None:
    """Return a finished artifact, or None where it does not exist.

    Raises:
        IntegrityError: the manifest is damaged, was changed or was written by another version.
    """
    manifest = store.manifest(ref)
    if manifest is None:
        return None
    found = load(store, ref)
    assert isinstance(found.artifact, kind)
    return Finished(ref, found.path, manifest, found.artifact)


class CallRecord(Schema):
    """One call of ``calls.json``. ``status`` is done, cached or failed, or what the runner says of one under way."""

    stage: StageName
    fingerprint: Digest | None = None
    status: str
    cost: Cost | None = None
    error: ErrorRecord | None = None

    @property
    def ref(self) -> ArtifactRef | None:
        """The artifact of this call, as far as it is known."""
        return ArtifactRef(stage=self.stage, fingerprint=self.fingerprint) if self.fingerprint else None


_CALLS = TypeAdapter(dict[str, CallRecord])


@dataclass(frozen=True)
class RunRecord:
    """One run. Mappings are keyed by what follows the call id's prefix: baselines by ``tfidf``, seeds by ``seed-0``."""

    root: Path
    file: RunFile
    calls: dict[str, CallRecord]

    @classmethod
    def load(cls, root: Path, run: str) -> RunRecord:
        """Read a run.

        Raises:
            SourceError: there is no such run.
            IntegrityError: one of its two files is damaged.
        """
        directory = root / "runs" / run
        if not (directory / "run.json").is_file():
            raise _unknown_run(root, run)
        calls_file = directory / "calls.json"
        try:
            file = RunFile.model_validate(read_object(directory / "run.json"))
            calls = _CALLS.validate_python(read_object(calls_file)) if calls_file.is_file() else {}
        except ValidationError as error:
            raise IntegrityError(
                "the run's record is damaged or of another version",
                where=str(directory),
                fix="remove this folder and run the description again; finished stages are reused",
                detail=str(error),
            ) from error
        return cls(root, file, calls)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.file.run

    @property
    def spec(self) -> RunSpec:
        """The description as it was written."""
        return self.file.spec

    @cached_property
    def store(self) -> Store:
        """The artifacts of the workspace."""
        return Store(self.root)

    @property
    def directory(self) -> Path:
        """The run's own folder."""
        return self.root / "runs" / self.run

    @cached_property
    def plan(self) -> Finished[PlanArtifact] | None:
        """The plan."""
        return self._one("plan", PlanArtifact)

    @cached_property
    def data(self) -> Finished[DataArtifact] | None:
        """The data of the task itself."""
        return self._one("data", DataArtifact)

    @cached_property
    def serve(self) -> Finished[ServeArtifact] | None:
        """The tried launch description."""
        return self._one("serve", ServeArtifact)

    @cached_property
    def register(self) -> Finished[RegisterArtifact] | None:
        """The decision."""
        return self._one("register", RegisterArtifact)

    @cached_property
    def baselines(self) -> dict[str, Finished[EvaluateArtifact]]:
        """Evaluations before training, by baseline."""
        return self._all("evaluate.baseline-", EvaluateArtifact)

    @cached_property
    def models(self) -> dict[str, Finished[TrainArtifact]]:
        """Trained models, by ``seed-<n>``."""
        return self._all("train.", TrainArtifact)

    @cached_property
    def evaluations(self) -> dict[str, Finished[EvaluateArtifact]]:
        """Evaluations of the trained models, by ``seed-<n>``."""
        found = self._all("evaluate.seed-", EvaluateArtifact)
        return {f"seed-{name}": item for name, item in found.items()}

    @cached_property
    def variants(self) -> dict[str, Finished[OptimizeArtifact]]:
        """Variants, by name."""
        return self._all("optimize.", OptimizeArtifact)

    @cached_property
    def variant_evaluations(self) -> dict[str, Finished[EvaluateArtifact]]:
        """Evaluations of the variants, by name."""
        return self._all("evaluate.variant-", EvaluateArtifact)

    @cached_property
    def retention(self) -> dict[str, dict[str, Finished[EvaluateArtifact]]]:
        """Evaluations of the base's own tasks: by task, then ``before`` and ``after``."""
        tasks: dict[str, dict[str, Finished[EvaluateArtifact]]] = {}
        for name, item in self._all("evaluate.retention-", EvaluateArtifact).items():
            task, _, moment = name.rpartition("-")
            tasks.setdefault(task, {})[moment] = item
        return tasks

    @cached_property
    def judgements(self) -> dict[str, Finished[JudgeArtifact]]:
        """What the judge said, by ``best-baseline``, ``champion`` and ``labels``."""
        return self._all("judge.", JudgeArtifact)

    @cached_property
    def bias(self) -> dict[str, Finished[BiasArtifact]]:
        """What probes of bias and safety found, by ``<probe>-before`` and ``<probe>-after``."""
        return self._all("bias.", BiasArtifact)

    @property
    def shipped(self) -> str:
        """The seed whose model goes on: the decision's; before there is one, the first."""
        return self.register.artifact.shipped if self.register is not None else f"seed-{self.spec.train.seeds[0]}"

    def artifacts(self) -> Iterator[tuple[str, CallRecord, Finished[Any] | None]]:
        """Yield every call in the order of ``calls.json`` with what it left."""
        for call_id, call in self.calls.items():
            yield call_id, call, self._one(call_id, KINDS[call.stage])

    def _one(self, call_id: str, kind: type[A]) -> Finished[A] | None:
        call = self.calls.get(call_id)
        if call is None or call.ref is None:
            return None
        return load_finished(self.store, call.ref, kind)

    def _all(self, prefix: str, kind: type[A]) -> dict[str, Finished[A]]:
        found = {}
        for call_id in self.calls:
            item = self._one(call_id, kind) if call_id.startswith(prefix) else None
            if item is not None:
                found[call_id.removeprefix(prefix)] = item
        return found


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        IntegrityError: the file holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            "the file is not JSON", where=str(path), fix="run the description again; finished stages are reused"
        ) from error
    if not isinstance(value, dict):
        raise IntegrityError("the file holds no JSON object", where=str(path), fix="run the description again")
    return value


def _unknown_run(root: Path, run: str) -> SourceError:
    known = sorted(path.parent.name for path in (root / "runs").glob("*/run.json"))
    near = difflib.get_close_matches(run, known, n=1)
    if near:
        fix = f"did you mean {near[0]}?"
    else:
        fix = f"known runs: {', '.join(known)}" if known else "start one with `hone run SPEC`"
    return SourceError("there is no such run", where=run, fix=fix)
