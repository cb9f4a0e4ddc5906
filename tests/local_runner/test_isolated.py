"""Stage calls in another interpreter: lines, cancellation, and what does not leak."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local_runner.isolated import package_folder, run_module
from pipeline.core.errors import Cancelled, InternalError
from schemas.artifacts import CallResult
from schemas.events import Event
from tests.support.processes import wait_until_gone

PREAMBLE = """
import json, os, signal, sys, time
request = json.load(sys.stdin)
def say(**line):
    print(json.dumps(line), flush=True)
def event(message, **data):
    say(event={"time": 1.0, "call_id": "c", "kind": "log", "message": message, "data": data})
def result(status="done"):
    say(result={"call_id": "c", "status": status})
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("venv") / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def _worker(folder: Path, body: str) -> Path:
    (folder / "worker.py").write_text(PREAMBLE + body, encoding="utf-8")
    return folder


def _run(interpreter: Path, packages: Path, **options: object) -> tuple[CallResult, list[Event]]:
    events: list[Event] = []
    result = run_module(interpreter, "worker", json.dumps({"x": 1}), packages, on_event=events.append, **options)  # type: ignore[arg-type]
    return result, events


def test_events_come_in_order_and_live(interpreter: Path, tmp_path: Path) -> None:
    flag = tmp_path / "seen"
    body = f"""
event("first", x=request["x"])
while not os.path.exists({str(flag)!r}):
    time.sleep(0.01)
event("second")
result()
"""
    arrived: list[Event] = []

    def take(event: Event) -> None:
        arrived.append(event)
        flag.touch()

    result = run_module(interpreter, "worker", json.dumps({"x": 7}), _worker(tmp_path, body), on_event=take)
    assert [(event.message, event.data) for event in arrived] == [("first", {"x": 7}), ("second", {})]
    assert result == CallResult(call_id="c", status="done")


def test_only_the_packages_and_named_variables_are_visible(
    interpreter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    body = """
event("seen", path=sys.path, prefix=sys.prefix, variables=sorted(os.environ), threads=os.environ["OMP_NUM_THREADS"])
result()
"""
    _, (event,) = _run(interpreter, _worker(tmp_path, body))
    assert "SOME_API_KEY" not in event.data["variables"]  # type: ignore[operator]
    assert event.data["threads"] == "1"
    assert event.data["prefix"] == str(interpreter.parent.parent)
    assert not [path for path in event.data["path"] if path.startswith(sys.prefix)]  # type: ignore[union-attr]


def test_the_package_folder_holds_exactly_two_packages() -> None:
    with package_folder() as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["pipeline", "schemas"]
        assert (folder / "pipeline" / "execute.py").is_file()
        kept = folder
    assert not kept.exists()


def test_a_process_that_dies_says_how_and_what_it_printed(interpreter: Path, tmp_path: Path) -> None:
    body = """
print("not json", flush=True)
print("last words", file=sys.stderr, flush=True)
os.kill(os.getpid(), signal.SIGILL)
"""
    with pytest.raises(InternalError, match="killed by SIGILL") as caught:
        _run(interpreter, _worker(tmp_path, body))
    assert "last words" in (caught.value.detail or "")
    assert "not json" in (caught.value.detail or "")


def test_a_cancelled_call_may_answer_before_it_ends(interpreter: Path, tmp_path: Path) -> None:
    body = """
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
event("working")
while not asked:
    time.sleep(0.01)
result("failed")
"""
    events: list[Event] = []
    result = run_module(
        interpreter,
        "worker",
        "{}",
        _worker(tmp_path, body),
        on_event=events.append,
        cancelled=lambda: bool(events),
    )
    assert result.status == "failed"


def test_a_call_that_is_cut_short_is_cancelled_with_its_children(interpreter: Path, tmp_path: Path) -> None:
    body = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
event("working", child=child.pid)
time.sleep(60)
"""
    events: list[Event] = []
    with pytest.raises(Cancelled):
        run_module(
            interpreter,
            "worker",
            "{}",
            _worker(tmp_path, body),
            on_event=events.append,
            cancelled=lambda: bool(events),
        )
    child = events[0].data["child"]
    assert isinstance(child, int)
    wait_until_gone([child])


def test_the_process_dies_with_its_parent(interpreter: Path, tmp_path: Path) -> None:
    _worker(tmp_path, 'event("working", pid=os.getpid()); time.sleep(60)')
    parent_code = f"""
from pathlib import Path
from local_runner.isolated import run_module
run_module(
    Path({str(interpreter)!r}), "worker", "{{}}", Path({str(tmp_path)!r}),
    on_event=lambda event: print(event.model_dump_json(), flush=True),
)
"""
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        worker = json.loads(parent.stdout.readline())["data"]["pid"]
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    wait_until_gone([worker])
