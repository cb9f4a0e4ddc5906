"""A version to retrain: the data stage is the real one, everything else of its run is written by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.control.retraining import Retraining, write_retraining
from pipeline.control.runs import RunList
from pipeline.core.context import CallContext
from pipeline.core.examples import read_examples
from pipeline.core.spec import read_spec
from pipeline.core.workspace import Store
from pipeline.embedded import EMBEDDED
from pipeline.execute import execute, load
from pipeline.resolve import Resolver, data_options
from schemas.artifacts import StageCall
from schemas.data import DataConfig, Example, Split
from schemas.register import RegisterArtifact
from schemas.resolved import ResolvedRun
from schemas.run import RunSpec
from schemas.webhook import RetrainRequest
from tests.support.memory_registry import MemoryRegistry
from tests.support.run_fixture import RunFixture, write_base

INTENTS = ("refund", "login", "setup")
NEW = [{"text": f"entirely new complaint number {number} on clocks", "intent": INTENTS[number]} for number in range(3)]
TEMPLATE = "Name the intent of this message: {{ text }}"


def messages(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows of unlike words, one of them given twice, and a column that few rows have."""
    draw = random.Random(seed)
    rows = [
        {
            "text": " ".join(f"w{draw.randrange(10_000)}" for _ in range(8)),
            "intent": INTENTS[number % 3],
            **({"note": "seen"} if number == 0 else {}),
        }
        for number in range(count)
    ]
    return [*rows, rows[1]]


class Trained(RunFixture):
    """A finished run on ``data`` of a description, whose version is the champion of ``registry``."""

    def __init__(self, folder: Path, rows: Sequence[Mapping[str, Any]], **spec: Any) -> None:
        super().__init__(folder / "workspace")
        self.folder = folder
        self.source = self._write("messages.jsonl", rows)
        self.asked = spec
        self.registry = MemoryRegistry()

    def _write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def resolver(self, folder: Path) -> Resolver:
        return Resolver(folder, Store(self.root), lambda: self.registry, RunList(self.root), EMBEDDED)

    def resolved(self) -> ResolvedRun:
        data = {
            "path": self.source.name,
            "columns": {"text": "text", "label": "intent"},
            "prompt_template": TEMPLATE,
            "system": "You sort messages.",
            **self.asked.get("data", {}),
        }
        spec = {"name": "triage", "task": "classification", "base_model": str(self.base_folder), **self.asked}
        return self.resolver(self.folder).resolve(RunSpec.model_validate({**spec, "data": data}))

    def _data(self, call_id: str) -> None:
        if call_id == "data":
            run = self.resolved()
            stored = data_stage(self, run)
            self.refs[call_id], self.contents[stored.ref.fingerprint] = stored.ref, stored.content_digest
        else:
            super()._data(call_id)

    def _data_retention_commands(self, call_id: str) -> None:
        super()._data(call_id)

    def finish_run(self) -> Trained:
        write_base(self.base_folder)
        self.build()
        record = load(Store(self.root), self.refs["register"])
        assert isinstance(record.artifact, RegisterArtifact)
        number = self.registry.register_version("triage", record.artifact, record.ref, record.content_digest, "")
        self.registry.set_alias("triage", "champion", number, None)
        return self

    def retrain(self, **asked: Any) -> Retraining:
        given = {"type": "retrain", "version": "triage@champion", **asked}
        if "data" not in given:
            given.setdefault("rows", NEW)
        request = RetrainRequest.model_validate_json(json.dumps(given), strict=True)
        return write_retraining(request, self.root, self.registry, self.root / "uploads" / "retraining")


def data_stage(trained: Trained, run: ResolvedRun) -> Any:
    """Carry the data stage of a run out and return its artifact."""
    config = DataConfig(files=run.data, options=data_options(run.spec.data))
    call = StageCall(id="data", stage="data", config=config.model_dump(mode="json"), inputs={})
    result = execute(call, trained.root, CallContext())
    assert result.ref is not None, result.error
    return load(Store(trained.root), result.ref)


def examples(stored: Any, split: Split) -> list[Example]:
    return read_examples(stored.file(stored.artifact.files[split])) if split in stored.artifact.files else []


def again(trained: Trained, made: Retraining) -> tuple[ResolvedRun, Any]:
    """Resolve a retraining's file as `Session.resolve` does, and carry its data stage out."""
    run = trained.resolver(made.description.parent).resolve(read_spec(made.description))
    made.check(run)
    return run, data_stage(trained, run)


def before(trained: Trained) -> Any:
    return load(Store(trained.root), trained.refs["data"])


def trained_texts(stored: Any) -> list[str]:
    return [example.messages[1].content for example in examples(stored, "train")]


def asked(row: Mapping[str, Any]) -> str:
    return TEMPLATE.replace("{{ text }}", row["text"])
