"""The record of a run: written by several processes at once, and read whatever a killed one left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local_runner.runs import RunDirectory
from schemas.events import Event

ROOT = Path(__file__).parents[2]

RECORD = """
import sys
from pathlib import Path
from local_runner.runs import RunDirectory
from schemas.artifacts import CallResult, StageCall
directory = RunDirectory(Path(sys.argv[1]))
for number in range(40):
    call = StageCall(id=f"evaluate.{sys.argv[2]}-{number}", stage="evaluate", config={}, inputs={})
    directory.record(call, CallResult(call_id=call.id, status="failed"))
"""


def test_two_commands_lose_no_call_of_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RECORD, str(tmp_path / "run")]
    writers = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("a", "b")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert len(RunDirectory(tmp_path / "run").calls()) == 80


def test_events_of_all_attempts_are_merged_by_time(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for times in ((3.0, 4.0), (1.0, 2.5)):
        with directory.event_file("data") as write:
            for time in times:
                write(Event(time=time, call_id="data", kind="log"))
    with directory.event_file("data.retention-x") as write:
        write(Event(time=2.0, call_id="data.retention-x", kind="log"))
    with next((tmp_path / "events").iterdir()).open("a") as stream:
        stream.write('{"time": 9, "call_')  # what a dying process left
    assert [event.time for event in directory.events()] == [1.0, 2.0, 2.5, 3.0, 4.0]
    assert [event.time for event in directory.events("data")] == [1.0, 2.5, 3.0, 4.0]
