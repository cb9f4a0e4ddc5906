"""Serving in the foreground: which engine, keys, ports, and requests in flight when a signal comes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_runner.environments import environment
from local_runner.serving import Serving, plan_serving, serve_forever
from pipeline.backends.engine import EngineRequest
from pipeline.backends.engine_vllm import Build, describe
from pipeline.core.errors import Cancelled, ConfigError, EngineError, EnvironmentMissing
from pipeline.core.models import model_files
from pipeline.serve.client import Answer, Client
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.optimize import OptimizeArtifact, Variant
from schemas.serve import EngineOptions, LaunchDescription
from schemas.train import TrainArtifact
from tests.serve.support import described, parrot, places
from tests.support import served
from tests.support.variants import base_ref
from tests.support.version import version_files

base, adapter, merged, data = served.base, served.adapter, served.merged, served.data  # fixtures


def _serving(launch: LaunchDescription, folder: Path) -> Serving:
    return Serving(launch, folder, places(folder).files, Path(sys.executable), tried=True)


def _chat(content: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], "temperature": 0, **more}


class Driver:
    """Waits for the address, does ``work`` with a client in a thread, then sends SIGTERM to this process."""

    def __init__(self, work: Callable[[Client], None], key: str | None = None) -> None:
        self.lines: list[str] = []
        self._work, self._key = work, key
        self._threads: list[threading.Thread] = []

    def announce(self, line: str) -> None:
        self.lines.append(line)
        if " is served by " in line:
            self._threads.append(threading.Thread(target=self._drive, args=(line.rsplit(" ", 1)[1],)))
            self._threads[-1].start()

    def _drive(self, url: str) -> None:
        client = Client(url, self._key)
        try:
            self._work(client)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            client.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def _asked_in_flight(content: str, answers: list[Answer], delay: float, **more: Any) -> Callable[[Client], None]:
    """Return work that leaves a request in flight; its answer arrives later, in ``answers``."""

    def work(client: Client) -> None:
        own = Client(client.base_url)

        def ask() -> None:
            answers.append(own.chat(_chat(content, **more)))
            own.close()

        threading.Thread(target=ask).start()
        time.sleep(delay)

    return work


def _wait_for(answers: list[Answer]) -> None:
    deadline = time.monotonic() + 5
    while not answers and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_signal_lets_requests_in_flight_finish(tmp_path: Path) -> None:
    answers: list[Answer] = []
    driver = Driver(_asked_in_flight("slow", answers, 0.3))
    before = signal.getsignal(signal.SIGTERM)
    status = serve_forever(_serving(parrot(tmp_path), tmp_path), host="127.0.0.1", port=0, announce=driver.announce)
    driver.join()
    _wait_for(answers)
    assert status == 0
    assert [answer.text for answer in answers] == ["SLOW"]
    assert driver.lines[0].startswith("starting vllm 0; its log is ")
    assert driver.lines[-1] == "stopping; requests in flight are finished"
    assert signal.getsignal(signal.SIGTERM) is before


def test_clients_need_the_key(tmp_path: Path) -> None:
    seen: list[str] = []

    def work(client: Client) -> None:
        seen.append(client.chat(_chat("hi")).text)
        stranger = Client(client.base_url)
        try:
            stranger.chat(_chat("hi"))
        except EngineError as error:
            seen.append(error.message[:10])
        stranger.close()

    driver = Driver(work, key="s3cret")
    launch = parrot(tmp_path)
    serve_forever(_serving(launch, tmp_path), host="127.0.0.1", port=0, api_key="s3cret", announce=driver.announce)
    driver.join()
    assert seen == ["HI", "status 401"]
    assert not [line for line in driver.lines if "s3cret" in line]


def test_an_engine_without_keys_is_not_given_one(tmp_path: Path) -> None:
    launch = described("x", []).model_copy(update={"engine": "transformers"})
    with pytest.raises(ConfigError, match="knows no API keys"):
        serve_forever(_serving(launch, tmp_path), host="127.0.0.1", port=0, api_key="k", announce=print)


def test_a_taken_port_is_noticed_before_the_engine_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines: list[str] = []
        with pytest.raises(ConfigError, match="cannot listen there") as caught:
            serve_forever(_serving(parrot(tmp_path), tmp_path), host="127.0.0.1", port=port, announce=lines.append)
    assert caught.value.where == f"127.0.0.1:{port}"
    assert lines == []


def test_an_engine_that_ends_by_itself_is_an_error(tmp_path: Path) -> None:
    def work(client: Client) -> None:
        try:
            client.chat(_chat("die"))
        except EngineError:
            time.sleep(1.0)  # the end is noticed before the driver's signal

    driver = Driver(work)
    with pytest.raises(EngineError, match="ended by itself: killed by SIGILL"):
        serve_forever(_serving(parrot(tmp_path), tmp_path), host="127.0.0.1", port=0, announce=driver.announce)
    with pytest.raises(_Terminated):
        _until_terminated(driver)


class _Terminated(Exception):
    pass


def _until_terminated(driver: Driver) -> None:
    """Take the driver's late signal, which would otherwise end the tests."""

    def stop(*_: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        driver.join()
        time.sleep(1.0)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_before_it_is_ready_stops_it(tmp_path: Path) -> None:
    launch = described("timeit", ["import time; time.sleep(60)"])

    def announce(line: str) -> None:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(Cancelled):
        serve_forever(_serving(launch, tmp_path), host="127.0.0.1", port=0, announce=announce)


@pytest.fixture
def tried(base: Path, adapter: Stored[TrainArtifact]) -> LaunchDescription:
    request = EngineRequest(
        files=model_files(base_ref(base), adapter),
        served_model_name="triage",
        options=EngineOptions(),
        cpu_dtype="float32",
        front=True,
        smoke_request=_chat("hello", max_tokens=4),
    )
    return describe(request, Build("0.32.0", on_cpu=True))


def _version(
    root: Path,
    base: Path,
    adapter: Stored[TrainArtifact],
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    launch: LaunchDescription | None,
) -> Any:
    return version_files(
        root,
        base,
        trained=adapter,
        variants={"merged": merged},
        data=data,
        served="adapter",
        launch=launch,
        options=EngineOptions(max_model_len=128),
    )


def _pretend(monkeypatch: pytest.MonkeyPatch, root: Path, *, installed: bool) -> None:
    monkeypatch.setenv("HONE_ENVIRONMENTS", str(root))
    if installed:
        path = environment("serve-vllm").path
        path.mkdir(parents=True)
        (path / "hone-environment.json").write_text("{}", encoding="utf-8")


def test_what_was_tried_is_served_as_it_was_tried(
    base: Path,
    adapter: Stored[TrainArtifact],
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tried: LaunchDescription,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _pretend(monkeypatch, tmp_path / "environments", installed=True)
    version = _version(tmp_path, base, adapter, merged, data, tried)
    serving = plan_serving(version, tmp_path / "unused")
    assert (serving.launch, serving.tried, serving.note) == (tried, True, None)
    assert serving.folder == version.serve.path
    assert serving.python == environment("serve-vllm").python


def test_another_variant_gets_its_own_description_with_the_runs_options(
    base: Path,
    adapter: Stored[TrainArtifact],
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tried: LaunchDescription,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _pretend(monkeypatch, tmp_path / "environments", installed=True)
    version = _version(tmp_path, base, adapter, merged, data, tried)
    serving = plan_serving(version, tmp_path, "merged")
    assert not serving.tried
    assert serving.launch.engine == "vllm"
    assert not serving.launch.adapter
    arguments = serving.launch.arguments
    assert arguments[arguments.index("--max-model-len") + 1] == "128"
    assert serving.launch.smoke_request == tried.smoke_request
    with pytest.raises(ConfigError, match="there is no variant 'w4a16'"):
        plan_serving(version, tmp_path, "w4a16")


def test_transformers_takes_the_place_of_a_missing_vllm_and_says_so(
    base: Path,
    adapter: Stored[TrainArtifact],
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tried: LaunchDescription,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _pretend(monkeypatch, tmp_path / "environments", installed=False)
    front = tmp_path / "front"
    front.mkdir()
    serving = plan_serving(_version(tmp_path, base, adapter, merged, data, tried), front)
    assert serving.launch.engine == "transformers"
    assert serving.python == Path(sys.executable)
    assert serving.note is not None and "hone env create serve-vllm" in serving.note
    assert (front / "tokenizer" / "tokenizer.json").is_file()


def test_what_only_vllm_loads_is_served_by_vllm_or_not_at_all(
    base: Path,
    adapter: Stored[TrainArtifact],
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tried: LaunchDescription,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variant = Variant.model_validate({"name": "merged", "backend": "autoawq"})
    packed = merged.model_copy(update={"artifact": merged.artifact.model_copy(update={"variant": variant})})
    version = _version(tmp_path, base, adapter, packed, data, tried)
    _pretend(monkeypatch, tmp_path / "none", installed=False)
    with pytest.raises(EnvironmentMissing, match="vLLM alone serves merged") as caught:
        plan_serving(version, tmp_path, "merged")
    assert "hone env create serve-vllm" in (caught.value.fix or "")
    _pretend(monkeypatch, tmp_path / "environments", installed=True)
    assert plan_serving(version, tmp_path, "merged").launch.engine == "vllm"


@pytest.mark.slow
def test_transformers_serves_a_version_and_finishes_what_is_in_flight(
    base: Path,
    adapter: Stored[TrainArtifact],
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _pretend(monkeypatch, tmp_path / "environments", installed=False)
    serving = plan_serving(_version(tmp_path, base, adapter, merged, data, None), tmp_path)
    answers: list[Answer] = []
    driver = Driver(_asked_in_flight("hello", answers, 0.2, model="triage", max_tokens=100))
    assert serve_forever(serving, host="127.0.0.1", port=0, announce=driver.announce) == 0
    driver.join()
    _wait_for(answers)
    assert [answer.finish_reason for answer in answers] == ["length"]


@pytest.mark.vllm
def test_vllm_serves_a_version_with_a_key_and_finishes_what_is_in_flight(
    vllm_python: Path,
    base: Path,
    adapter: Stored[TrainArtifact],
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tmp_path: Path,
) -> None:
    serving = plan_serving(_version(tmp_path, base, adapter, merged, data, None), tmp_path)
    assert serving.launch.engine == "vllm"
    answers: list[Answer] = []
    refused: list[str] = []

    def work(client: Client) -> None:
        stranger = Client(client.base_url)
        try:
            stranger.chat(_chat("hello", model="triage"))
        except EngineError as error:
            refused.append(error.message[:10])
        stranger.close()
        own = Client(client.base_url, "s3cret")

        def ask() -> None:
            answers.append(own.chat(_chat("hello", model="triage", max_tokens=100, ignore_eos=True)))
            own.close()

        threading.Thread(target=ask).start()
        time.sleep(0.1)

    driver = Driver(work, key="s3cret")
    status = serve_forever(serving, host="127.0.0.1", port=0, api_key="s3cret", announce=driver.announce)
    driver.join()
    _wait_for(answers)
    assert (status, refused) == (0, ["status 401"])
    assert [answer.finish_reason for answer in answers] == ["length"]
