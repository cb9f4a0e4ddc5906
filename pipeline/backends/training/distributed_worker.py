"""One of the processes that torchrun starts, with two folders as arguments.

The training lies in the first; checkpoints are below the second. Standard output carries JSON lines: the events of the
first process and how it ended, and from any process why it failed. A line on the first process's standard input asks
all to stop at the end of their step.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backends.training.quiet import quiet_libraries
from pipeline.core.context import CallContext
from pipeline.core.errors import Cancelled, HoneError, InternalError
from pipeline.core.seeding import seed_everything
from schemas.events import Event

if TYPE_CHECKING:
    from pipeline.backends.training.job import TrainJob
    from pipeline.backends.training.settings import AttemptSettings

Tell = Callable[[dict[str, Any]], None]

_MOST = 1_500
"""Characters of an error's evidence: a line this short is written in one piece, whatever others write."""

_GONE = ("closed by peer", "reset by peer", "broken pipe", "remote process exited", "socket closed", "nccl")
"""What libraries say in a process when another one has died."""


def main(folder: Path, scratch: Path) -> int:
    """Take part in the training; the status is 0 where all did what they were asked to."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        lines.write(json.dumps(message) + "\n")

    try:
        ended = _train(folder, scratch, tell)
    except BaseException as error:  # noqa: BLE001 - whatever ends this process must be told before the others hang
        tell({"failed": describe_failure(error)})
        traceback.print_exc()
        lines.flush()
        os._exit(1)  # a process group that others still wait in cannot be left in order
    if ended is not None:
        tell({"ended": ended})
    return 0


def _train(folder: Path, scratch: Path, tell: Tell) -> str | None:
    """Train; return how it ended in the first process, nothing in the others."""
    quiet_libraries()
    from pipeline.backends.training.distributed_job import read_job, read_told
    from pipeline.backends.training.distributed_ranks import joined

    told = read_told(folder)
    seed_everything(told.config.seed)
    stop = threading.Event()
    with joined(stop.is_set) as ranks:
        if ranks.first:
            threading.Thread(target=_listen, args=(stop,), daemon=True).start()

        def sink(event: Event) -> None:
            if ranks.first:
                tell({"event": event.model_dump(mode="json")})

        context = CallContext(call_id=told.call_id, sink=sink, cancelled=lambda: ranks.stopping)
        try:
            take_part(read_job(folder, told, scratch, context, ranks), told.settings, told.step)
        except Cancelled:
            return "stopped" if ranks.first else None
        return "finished" if ranks.first else None


def take_part(job: TrainJob, settings: AttemptSettings, step: int | None) -> None:
    """Train to the end, or to the step at which all agree to stop.

    Raises:
        Cancelled: they did.
        NotFinite, NoMemory: the training cannot go on with these settings.
    """
    from pipeline.backends.training.adapters import train_in_float32
    from pipeline.backends.training.checkpoints import Checkpoint, CheckpointStore
    from pipeline.backends.training.loop import memory_errors, train_steps
    from pipeline.backends.training.methods import load_builder
    from pipeline.backends.training.scoring import trained_positions_only

    store = CheckpointStore(job.scratch / "checkpoints", job.context)
    checkpoint = None if step is None else Checkpoint(step, store.path(step))
    with trained_positions_only(), memory_errors(step or 0) as progress:
        trainer = load_builder(job.config.method)(job, settings)
        progress.append(trainer)
        if job.shared is not None and job.shared.strategy != "zero3":  # which has taken weights apart, in float32
            train_in_float32(trainer.model)
        train_steps(job, trainer, store, settings, checkpoint)


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Return why this process ends, for the one that started it."""
    from pipeline.backends.training.guarded import NotFinite
    from pipeline.backends.training.loop import NoMemory

    if isinstance(error, NotFinite):
        return {"kind": "not_finite", "step": error.step, "what": error.what}
    if isinstance(error, NoMemory):
        return {"kind": "no_memory", "step": error.step}
    if isinstance(error, HoneError):
        record = error.record()
        return {"kind": "error", "record": record.model_copy(update={"detail": _end(record.detail)}).model_dump()}
    gone = any(text in str(error).lower() for text in _GONE)
    message = f"{type(error).__name__}: {str(error)[:_MOST]}"
    detail = _end("".join(traceback.format_exception(error)))
    record = InternalError(message, where="train.distributed", detail=detail).record()
    return {"kind": "lost" if gone else "error", "record": record.model_dump()}


def _end(text: str | None) -> str | None:
    return None if text is None else text[-_MOST:]


def _listen(stop: threading.Event) -> None:
    """Note that the process that started this one wants it to stop; any line says so."""
    for _ in sys.stdin:
        stop.set()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
