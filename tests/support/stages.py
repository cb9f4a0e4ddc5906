"""Two small stages in the catalog's place: ``data`` writes its config's text, ``train`` copies what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

import pipeline.execute
from pipeline.catalog import StageEntry
from pipeline.core.context import CallContext
from pipeline.core.workspace import Workspace
from schemas.artifacts import Artifact, Inputs, StageCall, Stored
from schemas.base import ArtifactRef, NotFingerprinted, Schema


class TextConfig(Schema):
    text: str = "hello"


class TextArtifact(Artifact):
    note: str = ""
    seconds: Annotated[float, NotFingerprinted()] = 0.0


class NoInputs(Inputs):
    pass


class TextInputs(Inputs):
    data: Stored[TextArtifact]


def _nothing(_context: CallContext, _workspace: Workspace) -> None:
    pass


@dataclass
class Stages:
    """What the stages do: ``note`` and ``seconds`` of the next artifact, ``before`` it is made, how often it was."""

    text: str | None = None
    note: str = ""
    seconds: float = 0.0
    before: Callable[[CallContext, Workspace], None] = _nothing
    made: list[str] = field(default_factory=list)

    def run(self, config: TextConfig, inputs: Any, context: CallContext, workspace: Workspace) -> TextArtifact:
        """Carry out a call of either stage."""
        self.before(context, workspace)
        given = inputs.data.file("text.txt").read_text() if isinstance(inputs, TextInputs) else ""
        workspace.file("text.txt").write_text(given + (self.text or config.text))
        self.made.append(config.text)
        return TextArtifact(note=self.note, seconds=self.seconds)


def install(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Put the two stages in the catalog's place."""
    stages = Stages()

    def entry(name: Any, inputs: type[Inputs]) -> StageEntry:
        return StageEntry(
            name, TextConfig, inputs, TextArtifact, "1", lambda _config: "main", lambda _config: False, stages.run
        )

    catalog = {"data": entry("data", NoInputs), "train": entry("train", TextInputs)}
    monkeypatch.setattr(pipeline.execute, "CATALOG", catalog)
    return stages


def data_call(text: str = "hello") -> StageCall:
    """Return a call that writes ``text``."""
    return StageCall(id="data", stage="data", config={"text": text})


def train_call(data: ArtifactRef, text: str = " world", call_id: str = "train.seed-0") -> StageCall:
    """Return a call that writes what ``data`` holds, and ``text``."""
    return StageCall(id=call_id, stage="train", config={"text": text}, inputs={"data": data})
