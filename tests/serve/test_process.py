"""Engines that start, refuse, hang, crash and stop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pipeline.core.errors import Cancelled, EngineError
from pipeline.serve.client import Answer
from pipeline.serve.process import RunningEngine, start_engine
from tests.conftest import PROJECT
from tests.serve.support import PYTHON, described, parrot, places, unchecked
from tests.support.driver import build_driver
from tests.support.processes import wait_until_gone


def test_an_engine_is_ready_once_it_has_answered_and_gone_once_stopped(tmp_path: Path) -> None:
    with start_engine(parrot(tmp_path), places(tmp_path), python=PYTHON) as engine:
        engine.wait_until_ready(unchecked)
        assert engine.ready_seconds > 0
        assert engine.client.chat({"messages": [{"content": "abc"}]}) == Answer("ABC", None, "stop")
        child = int(engine.log_tail().split()[1])
        folder = engine.folder
        assert psutil.pid_exists(child)
    assert engine.process.returncode == 0
    assert not folder.exists()
    wait_until_gone([child])


def test_a_request_in_flight_is_finished(tmp_path: Path) -> None:
    answers: list[Answer] = []

    def ask(engine: RunningEngine) -> None:
        answers.append(engine.client.chat({"messages": [{"content": "slow"}]}))

    with start_engine(parrot(tmp_path), places(tmp_path), python=PYTHON) as engine:
        engine.wait_until_ready(unchecked)
        asking = threading.Thread(target=ask, args=(engine,))
        asking.start()
        time.sleep(0.3)
        engine.process.terminate()
        asking.join()
    assert [answer.text for answer in answers] == ["SLOW"]


def test_a_stop_that_takes_too_long_is_cut_short(tmp_path: Path) -> None:
    stubborn = described(
        "timeit",
        ["-s", "import signal,time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)", "time.sleep(60)"],
    )
    with start_engine(stubborn, places(tmp_path), python=PYTHON, grace=0.2) as engine:
        while "deaf" not in engine.log_tail():
            time.sleep(0.02)
        started = time.monotonic()
    assert engine.process.returncode == -9
    assert time.monotonic() - started < 5


def test_an_engine_that_ends_at_once_is_an_error_with_its_log(tmp_path: Path) -> None:
    launch = described("no_module_of_this_name", [])
    with (
        pytest.raises(EngineError, match="ended before it was ready: exit status 1") as caught,
        start_engine(launch, places(tmp_path), python=PYTHON) as engine,
    ):
        engine.wait_until_ready(unchecked)
    assert "No module named no_module_of_this_name" in (caught.value.detail or "")


def test_an_engine_that_never_listens_is_given_up(tmp_path: Path) -> None:
    launch = described("timeit", ["import time; time.sleep(60)"])
    with (
        pytest.raises(EngineError, match="did not listen within 1 s"),
        start_engine(launch, places(tmp_path), python=PYTHON, grace=0.1) as engine,
    ):
        engine.wait_until_ready(unchecked, seconds=1.0)


def test_an_engine_that_listens_but_knows_no_chat_is_not_ready(tmp_path: Path) -> None:
    launch = described("http.server", ["{port}", "--bind", "{host}"])
    with (
        pytest.raises(EngineError, match="does not answer: status 501"),
        start_engine(launch, places(tmp_path), python=PYTHON) as engine,
    ):
        engine.wait_until_ready(unchecked)


def test_an_engine_that_dies_of_its_first_request_is_not_ready(tmp_path: Path) -> None:
    """As bfloat16 does on a CPU without its instructions: health routes are green before that."""
    with (
        pytest.raises(EngineError, match=r"does not answer: RemoteProtocolError.*killed by SIGILL"),
        start_engine(parrot(tmp_path, first="die"), places(tmp_path), python=PYTHON) as engine,
    ):
        engine.wait_until_ready(unchecked)


def test_an_answer_of_another_form_is_an_error(tmp_path: Path) -> None:
    with start_engine(parrot(tmp_path), places(tmp_path), python=PYTHON) as engine:
        engine.wait_until_ready(unchecked)
        with pytest.raises(EngineError, match="an answer of another form"):
            engine.client.chat({"messages": [{"content": "odd"}]})


def test_waiting_ends_when_somebody_asks_to_stop(tmp_path: Path) -> None:
    def check() -> None:
        raise Cancelled("stop")

    launch = described("timeit", ["import time; time.sleep(60)"])
    with pytest.raises(Cancelled), start_engine(launch, places(tmp_path), python=PYTHON, grace=0.1) as engine:
        engine.wait_until_ready(check)
    assert engine.process.returncode is not None


SHOW_ARGUMENTS = """
import sys
from pathlib import Path
from pipeline.core.models import ModelFiles
from pipeline.serve.launch import Places
from pipeline.serve.process import start_engine
from tests.conftest import PROJECT
from tests.serve.support import described

model, launch = sys.argv[1], described("json.tool", ["--help"])
places = Places(ModelFiles(model, None, None, model, False), Path(model), "127.0.0.1", 8000)
with start_engine(launch, places, python=sys.executable) as engine:
    print(*engine.process.args[-2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("visible", "shown"), [(None, "--tensor-parallel-size 2"), ("2", "json.tool --help")])
def test_an_engine_is_told_how_many_gpus_share_the_model(
    base: Path, tmp_path: Path, visible: str | None, shown: str
) -> None:
    """The driver shows eight, and the model has two heads."""
    build_driver(tmp_path, 8)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    if visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = visible
    done = subprocess.run(
        [sys.executable, "-c", SHOW_ARGUMENTS, base], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == shown
