"""Run hone's own stages on a real GPU and write what only a GPU can show as one page.

    python -m benchmarks.gpu_check --figures gpu.jsonl --page gpu.md [--work FOLDER] [--only agreement ...]

``benchmarks/gpu/figures.jsonl`` holds the figures of docs/gpu.md: with ``--only-page`` the page is made of them again.
Each part is a process of its own; what it measures is written to the file of figures line by line, so that a part that
fails takes no other with it. ``--device cpu`` tries the script itself out with models that a CPU can train; its figures
mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.gpu import agreement, recovery, sizes
from benchmarks.gpu.page import page
from benchmarks.gpu.shapes import SHAPES
from benchmarks.gpu.work import Record, versions
from pipeline.core.version import CODE_VERSION
from pipeline.core.workspace import write_atomic
from schemas.base import Device

Part = Callable[[Path, Device], Iterator[Record]]

PARTS: dict[str, Part] = {
    "agreement": agreement.run,
    **{f"sizes-{model.split('/')[1]}": partial(sizes.run, model=model) for model in SHAPES},
    "recovery": recovery.run,
}


def machine() -> Record:
    """Return the card, the day and the versions."""
    import torch

    has = torch.cuda.is_available()
    card = torch.cuda.get_device_properties(0) if has else None
    return {
        "part": "machine",
        "card": card.name if card is not None else "no GPU",
        "memory": card.total_memory if card is not None else 0,
        "cuda": torch.version.cuda,
        "cores": os.cpu_count(),
        "day": datetime.now(UTC).date().isoformat(),
        "hone": CODE_VERSION,
        "versions": dict(versions()),
    }


def measure(part: str, work: Path, device: Device, seconds: float) -> Iterator[Record]:
    """Run one part in a process of its own and yield its records; it is killed after ``seconds``."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--part", part, "--work", str(work), "--device", device]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    started = time.monotonic()
    with (work / f"{part}.log").open("w+") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True
        )
        timer = threading.Timer(seconds, _kill, (process.pid,))
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
        process.wait()
        timer.cancel()
        log.seek(0)
        told = log.read()[-2000:]
    ended: Record = {"part": "ended", "what": part, "seconds": round(time.monotonic() - started, 1)}
    if process.returncode:
        ended["error"] = f"exit code {process.returncode}: {told}"
    yield ended


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def serve_part(part: str, work: Path, device: Device) -> None:
    """Carry out one part here; only its records leave on standard output."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    for record in PARTS[part](work, device):
        lines.write(json.dumps(record) + "\n")


def run(arguments: argparse.Namespace, work: Path) -> None:
    """Run the parts that were asked for while there is time, and append what they find to the file of figures."""
    deadline = time.monotonic() + arguments.seconds
    with arguments.figures.open("a", encoding="utf-8") as figures:

        def keep(record: Record) -> None:
            record |= {"note": arguments.note} if arguments.note else {}
            figures.write(json.dumps(record) + "\n")
            figures.flush()
            print(json.dumps(record), flush=True)

        keep(machine())
        for part in arguments.only or PARTS:
            left = deadline - time.monotonic()
            if left < 15.0:
                keep({"part": "ended", "what": part, "error": "not begun: no time was left"})
                continue
            for record in measure(part, work, arguments.device, left):
                keep(record)


def main() -> int:
    """Measure, or make the page; the exit status is 1 where a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, help="file of figures (JSON lines), which is added to")
    parser.add_argument("--page", type=Path, help="write the page of the figures to this file")
    parser.add_argument("--only-page", action="store_true", help="measure nothing")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="the parts to run, in this order")
    parser.add_argument("--seconds", type=float, default=3600.0, help="time for all parts together")
    parser.add_argument("--note", help="what the page is to say of everything that is measured now")
    parser.add_argument("--work", type=Path, help="keep models and workspaces here; about 30 GB")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        serve_part(arguments.part, arguments.work, arguments.device)
        return 0
    if arguments.figures is None:
        parser.error("--figures is needed")
    if not arguments.only_page:
        with tempfile.TemporaryDirectory() as name:
            work = (arguments.work or Path(name)).absolute()
            work.mkdir(parents=True, exist_ok=True)
            run(arguments, work)
    records = [json.loads(line) for line in arguments.figures.read_text(encoding="utf-8").splitlines()]
    if arguments.page is not None:
        write_atomic(arguments.page, page(records))
    return int(any("error" in record or record.get("met") is False for record in records))


if __name__ == "__main__":
    sys.exit(main())
