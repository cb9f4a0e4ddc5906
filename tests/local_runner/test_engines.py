"""Engines of the service: started once, shared, replaced where there is no room, and gone at the end."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from local_runner import engines as module
from local_runner.engines import LocalEngines
from local_runner.serving import Serving
from pipeline.core.errors import EngineError, RegistryError
from pipeline.service.models.engines import Lent, Target
from tests.serve.support import PYTHON, parrot, places
from tests.support.processes import wait_until_gone

ONE, TWO = Target("triage@1"), Target("triage@2")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Serve every version by a parrot; return the versions whose engine was started."""
    begun: list[str] = []

    def plan(version: str, folder: Path, engine: Any) -> Serving:
        begun.append(version)
        launch = parrot(folder, first="die" if version == "triage@9" else "hello")
        return Serving(launch, folder, places(folder).files, Path(PYTHON), tried=False)

    def numbered(_registry: object, name: str) -> str:
        if not name.startswith("triage"):
            raise RegistryError("no such version")
        return {"triage": "triage@1", "triage@champion": "triage@1"}.get(name, name)

    monkeypatch.setattr(module, "resolve", numbered)
    monkeypatch.setattr(module, "open_version", lambda _root, _registry, name: name)
    monkeypatch.setattr(module, "plan_serving", plan)
    return begun


def engines(root: Path, **options: Any) -> LocalEngines:
    return LocalEngines(root, lambda: None, **options)  # type: ignore[arg-type, return-value]


def said(lent: Lent) -> str:
    body = {"model": lent.model, "messages": [{"role": "user", "content": "hi"}]}
    answer = httpx.post(f"{lent.base_url}/chat/completions", json=body, trust_env=False)
    return str(answer.json()["choices"][0]["message"]["content"])


def test_an_engine_is_started_once_however_many_ask(started: list[str], tmp_path: Path) -> None:
    running = engines(tmp_path)
    found: list[Lent] = []
    names = [ONE, Target("triage"), Target("triage@champion"), ONE]
    threads = [threading.Thread(target=lambda name=name: found.append(running.lend(name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert started == ["triage@1"]
    assert len({lent.base_url for lent in found}) == 1 and found[0].version == "triage@1"
    assert said(found[0]) == "HI"
    running.close()


def test_an_idle_engine_gives_way_and_one_in_use_does_not(
    started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = engines(tmp_path)
    first = running.lend(ONE)
    process = running._running[ONE].engine.process.pid
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.1)
    with pytest.raises(EngineError, match="in use"):
        running.lend(TWO)
    assert said(first) == "HI"
    running.give_back(first)
    second = running.lend(TWO)
    assert said(second) == "HI" and second.version == "triage@2"
    wait_until_gone([process])
    assert started == ["triage@1", "triage@2"]
    running.close()


def test_an_engine_that_died_is_started_again(started: list[str], tmp_path: Path) -> None:
    running = engines(tmp_path)
    running.give_back(running.lend(ONE))
    engine = running._running[ONE].engine
    engine.process.kill()
    engine.process.wait()
    assert said(running.lend(ONE)) == "HI"
    assert started == ["triage@1", "triage@1"]
    running.close()


def test_what_cannot_be_served_is_not_tried_again_at_once(started: list[str], tmp_path: Path) -> None:
    running = engines(tmp_path)
    for _ in range(2):
        with pytest.raises(EngineError, match="does not answer"):
            running.lend(Target("triage@9"))
    assert started == ["triage@9"]
    with pytest.raises(RegistryError):
        running.lend(Target("nobody"))
    running.close()


def test_engines_end_with_the_service(started: list[str], tmp_path: Path) -> None:
    running = engines(tmp_path, most=2)
    pids = [running.lend(target) and running._running[target].engine.process.pid for target in (ONE, TWO)]
    begun = time.monotonic()
    running.close()
    wait_until_gone(pids)
    assert time.monotonic() - begun < 20
