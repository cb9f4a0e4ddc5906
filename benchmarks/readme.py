"""Put what a finished demo printed into README.md.

    python -m benchmarks.readme hone-demo

The block between the markers is the demo's own summary, with the day and the machine's cores and memory.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil

from local_runner.cli.common import registry
from pipeline.control.conclusion import run_registration
from pipeline.control.runs import RunList
from pipeline.control.session import version_of
from pipeline.core.workspace import write_atomic
from pipeline.report.record import RunRecord
from pipeline.report.summary import plain_text, summarize

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"


def block(folder: Path) -> str:
    """Return what the demo in ``folder`` printed, as a fenced block with its day and machine."""
    root = folder / ".hone"
    directory = RunList(root).find(None)
    known = run_registration(registry(root), directory, version_of(directory))
    report = Path(folder.name) / ".hone" / "runs" / directory.run / "report" / "report.html"
    text = plain_text(summarize(RunRecord.load(root, directory.run), known, report))
    day = datetime.now(UTC).date().isoformat()
    memory = psutil.virtual_memory().total / 2**30
    return f"```\n{text}```\n\nMeasured on {day}, {os.cpu_count()} cores, {memory:.0f} GiB, no GPU.\n"


def insert(text: str, filling: str) -> str:
    """Return ``text`` with everything between the markers replaced."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{filling}{END}{after}"


def main() -> int:
    """Rewrite README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder that hone demo was run in")
    arguments = parser.parse_args()
    write_atomic(README, insert(README.read_text(encoding="utf-8"), block(arguments.folder.absolute())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
