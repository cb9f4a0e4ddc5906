"""Running the data stage on rows given in a test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.context import CallContext
from pipeline.core.examples import read_examples
from pipeline.data.stage import run
from schemas.artifacts import Stored
from schemas.base import ArtifactRef, Reference, canonical_digest
from schemas.data import DataArtifact, DataConfig, DataFiles, DataInputs, DataOptions, Example, Split
from schemas.events import Event
from schemas.preflight import PreflightConfig
from schemas.render import RenderConfig
from tests.support.stored import workspace


@dataclass
class Outcome:
    """What one run of the stage left and said."""

    artifact: DataArtifact
    folder: Path
    events: list[Event] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if event.kind == "warning"]

    @property
    def dropped(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "dropped.jsonl").read_text("utf-8").splitlines()]

    @property
    def card(self) -> str:
        return (self.folder / "card.md").read_text("utf-8")

    def examples(self, split: Split) -> list[Example]:
        return read_examples(self.folder / self.artifact.files[split])

    def stored(self) -> Stored[DataArtifact]:
        """Return what was left as another call receives it."""
        ref = ArtifactRef(stage="data", fingerprint=canonical_digest(self.artifact))
        return Stored[DataArtifact](ref=ref, content_digest=ref.fingerprint, path=self.folder, artifact=self.artifact)

    def all_examples(self) -> list[Example]:
        return [example for split in self.artifact.files for example in self.examples(split)]


def write_rows(path: Path, rows: Iterable[object]) -> Path:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def run_stage(
    folder: Path,
    train: Path | Sequence[object],
    *,
    validation: Path | Sequence[object] | None = None,
    test: Path | Sequence[object] | None = None,
    render: RenderConfig | None = None,
    preflight: PreflightConfig | None = None,
    digest: str | None = None,
    trained: Mapping[str, Outcome] | None = None,
    **options: Any,
) -> Outcome:
    """Run the stage on files, or on rows that are written as JSONL first."""

    def reference(source: Path | Sequence[object] | None, name: str) -> Reference | None:
        if source is None:
            return None
        path = source if isinstance(source, Path) else write_rows(folder / f"{name}.jsonl", source)
        return Reference(location=str(path), digest=digest)

    files = DataFiles.model_validate(
        {
            "train": reference(train, "train"),
            "validation": reference(validation, "validation"),
            "test": reference(test, "test"),
        }
    )
    config = DataConfig(files=files, options=DataOptions.model_validate(options), render=render, preflight=preflight)
    events: list[Event] = []
    space = workspace(folder / f"work{len(list(folder.iterdir()))}")
    inputs = DataInputs(trained={name: one.stored() for name, one in (trained or {}).items()})
    artifact = run(config, inputs, CallContext(sink=events.append), space)
    return Outcome(artifact, space.output, events)


_VOCABULARY = """
amber basil cedar delta ember flint grove hazel ivory jade karma lemon maple nylon ocean pearl quartz river saddle
timber umber velvet willow xenon yarrow zephyr
"""
WORDS = tuple(_VOCABULARY.split())


def sentence(index: int, length: int = 6) -> str:
    """Return a sentence of unlike words (up to 26); two of different index share none."""
    return " ".join(WORDS[(index * 7 + step) % len(WORDS)] + str(index) for step in range(length))


def pairs(count: int, answers: int = 0) -> list[dict[str, str]]:
    """Return rows of unlike prompts; answers differ too, or are one of ``answers``."""
    return [
        {"prompt": sentence(index), "completion": f"label {index % answers}" if answers else f"answer {index}"}
        for index in range(count)
    ]
