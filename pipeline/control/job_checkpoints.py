"""Checkpoints of a job: what of a training's own checkpoints is weights of the adapter, kept after its end.

A training keeps its last checkpoints to go on from, and none once it is done. These are links to their weights, at most
`KEPT` for a job; they lie beside the workspace's artifacts and are no part of any. A full model's are not kept: each is
as large as the model.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.workspace import Store
from schemas.base import ArtifactRef
from schemas.events import Event
from schemas.job import JobMessage, SavedCheckpoint, StepMetrics

KEPT = 16
"""How many checkpoints of a job are kept, the newest."""

WEIGHTS = "weights.safetensors"
"""The file of a training's checkpoint that holds what is trained (`pipeline.backends.training.guarded`)."""


@dataclass
class CheckpointKeeper:
    """Is told every event of a job's run, and keeps the weights of each checkpoint that is written.

    Args:
        store: the workspace's artifacts.
        folder: where this job's checkpoints go.
        tell: told of each that is kept.
    """

    store: Store
    folder: Path
    tell: Callable[[JobMessage], None]
    _making: dict[str, str] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Note which artifact a call makes, and keep what it saves."""
        if event.kind == "started":
            self._making[event.call_id] = str(event.data.get("fingerprint"))
        elif event.kind == "checkpoint" and event.call_id in self._making:
            self._keep(self._making[event.call_id], int(str(event.data["step"])))

    def _keep(self, fingerprint: str, step: int) -> None:
        work = self.store.work_directory(ArtifactRef(stage="train", fingerprint=fingerprint))
        source = work / "scratch" / "checkpoints" / f"step-{step:08d}"
        target = self.folder / source.name
        target.mkdir(parents=True, exist_ok=True)
        if not (target / WEIGHTS).exists():
            os.link(source / WEIGHTS, target / WEIGHTS)
        dropped = self._drop()
        metrics = _metrics(source / "journal.json", step)
        kept = SavedCheckpoint(metrics=metrics, folder=target.relative_to(self.store.root).as_posix(), dropped=dropped)
        self.tell(JobMessage(checkpoint=kept))

    def _drop(self) -> tuple[int, ...]:
        """Remove the oldest where there are too many; return their steps."""
        old = sorted(self.folder.glob("step-*"))[:-KEPT]
        for path in old:
            shutil.rmtree(path)
        return tuple(int(path.name.removeprefix("step-")) for path in old)


def _metrics(journal: Path, step: int) -> StepMetrics:
    lines = json.loads(journal.read_text(encoding="utf-8"))["lines"]
    losses = [line["loss"] for line in lines if "loss" in line]
    evaluated = [line["eval_loss"] for line in lines if "eval_loss" in line and line["step"] == step]
    return StepMetrics(
        step=step, train_loss=losses[-1] if losses else None, valid_loss=evaluated[-1] if evaluated else None
    )
