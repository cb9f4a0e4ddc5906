"""A training as files: what a process needs to take its part, in JSON, beside the tokenizer's own files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.backends.training.distributed_ranks import Ranks
from pipeline.backends.training.job import Row, TrainJob
from pipeline.backends.training.settings import AttemptSettings
from pipeline.core.context import CallContext
from pipeline.render import Rendered, RenderedPair, Tokenizer
from schemas.base import Schema
from schemas.distributed import DistributedOptions, Processes
from schemas.train import TrainConfig

_JOB, _TRAIN, _VALIDATION, _TOKENIZER = "job.json", "train.jsonl", "validation.jsonl", "tokenizer"


class SharedJob(Schema):
    """What all processes are told. ``step``: the checkpoint to go on from, None to begin."""

    call_id: str
    config: TrainConfig
    processes: Processes
    shared: DistributedOptions
    micro_batch: int
    accumulation: int
    learning_rate: float
    step: int | None

    @property
    def settings(self) -> AttemptSettings:
        """The settings of this attempt, as one process takes them."""
        return AttemptSettings(self.micro_batch, self.accumulation // self.processes.count, self.learning_rate)


def write_job(folder: Path, job: TrainJob, settings: AttemptSettings, step: int | None) -> None:
    """Put a training into ``folder``."""
    assert job.shared is not None
    told = SharedJob(
        call_id=job.context.call_id,
        config=job.config,
        processes=job.processes,
        shared=job.shared,
        micro_batch=settings.micro_batch,
        accumulation=settings.accumulation,
        learning_rate=settings.learning_rate,
        step=step,
    )
    (folder / _JOB).write_text(told.model_dump_json(), encoding="utf-8")
    _write_rows(folder / _TRAIN, job.train)
    _write_rows(folder / _VALIDATION, job.validation)
    tokenizer: Any = job.tokenizer
    tokenizer.save_pretrained(folder / _TOKENIZER)


def read_told(folder: Path) -> SharedJob:
    """Return what `write_job` says of the training."""
    return SharedJob.model_validate_json((folder / _JOB).read_text(encoding="utf-8"))


def read_job(folder: Path, told: SharedJob, scratch: Path, context: CallContext, ranks: Ranks) -> TrainJob:
    """Return the training that `write_job` put into ``folder``, for one of its processes."""
    return TrainJob(
        config=told.config,
        train=list(_read_rows(folder / _TRAIN)),
        validation=list(_read_rows(folder / _VALIDATION)),
        tokenizer=_tokenizer(folder),
        scratch=scratch,
        output=folder / "output",
        context=context,
        processes=told.processes,
        shared=told.shared,
        ranks=ranks,
    )


def _tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(str(folder / _TOKENIZER))


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            kept = {"ids": row.ids, "trained": row.trained} if isinstance(row, Rendered) else asdict(row)
            stream.write(json.dumps(kept, separators=(",", ":")) + "\n")


def _read_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as stream:
        yield from _rows(json.loads(line) for line in stream)


def _rows(values: Iterable[dict[str, Any]]) -> Iterator[Row]:
    for value in values:
        yield RenderedPair(**value) if "prompt_ids" in value else Rendered(**value, text="")
