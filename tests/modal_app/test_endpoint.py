"""The deployed endpoint on the plane, with the real vLLM: keys, names, switches, scaling to zero.

The tests share one deployment and go on where the one before has left it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from schemas.artifacts import Stored
from schemas.data import DataArtifact
from tests.modal_app.plane import ModalHome, StartHome, serve_plane
from tests.modal_app.secrets import API_KEY, SECRETS
from tests.modal_app.serving_support import SECRET, Asking, Site, add_version, free_port, wait_until
from tests.support import served
from tests.support.variants import random_adapter

pytestmark = [pytest.mark.modal, pytest.mark.vllm]

base, data = served.base, served.data  # fixtures

IDLE_SECONDS = 15.0


@pytest.fixture(scope="module")
def site(
    vllm_python: Path,
    base: Path,
    data: Stored[DataArtifact],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Return the endpoint; its Volume has triage@1, champion, triage@2, and router@1, champion on the same base."""
    folder = tmp_path_factory.mktemp("endpoint")
    workspace = folder / "workspace"
    workspace.mkdir()
    first, second = (random_adapter(folder / str(seed), base, seed=seed, lora_alpha=128) for seed in (1, 2))
    router = random_adapter(folder / "router", base, seed=3, r=16, lora_alpha=128)
    assert add_version(workspace, "triage", base, first, data, champion=True) == 1
    assert add_version(workspace, "triage", base, second, data, champion=False) == 2
    assert add_version(workspace, "router", base, router, data, champion=True) == 1
    with serve_plane(folder / "plane", secrets=SECRETS, visible=[base], idle_seconds=IDLE_SECONDS) as plane:
        settings = {"HONE_MODAL_PORT": str(free_port()), "HONE_MODAL_SERVE": "triage"}
        found = Site(ModalHome(plane, folder, settings))
        done = found.deploy()
        assert done.returncode == 0, done.stdout
        assert "idle: $0.00 a day (no container stays" in done.stdout
        assert "at most: $" in done.stdout
        found.put(workspace)
        yield found


def test_nothing_runs_before_the_first_request(site: Site) -> None:
    server = site.home.plane.functions["Endpoint"]
    assert site.home.plane.containers == []
    assert (server.min_containers, server.max_containers) == (0, 1)
    assert server.secrets[0] == SECRET
    assert set(server.volumes) == {"/hone", "/models", "/compile"}


def test_only_who_has_the_key_gets_an_answer(site: Site) -> None:
    chat = {"model": "triage", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    for path in ("/v1/chat/completions", "/invocations", "/generative_scoring", "/tokenize"):
        assert httpx.post(site.url + path, json=chat, timeout=240).status_code == 401, site.log[-3000:]
    for path in ("/v1/models", "/metrics", "/docs", "/version", "/health/../v1/models"):
        assert httpx.get(site.url + path, timeout=60).status_code == 401, path
    with pytest.raises(openai.AuthenticationError):
        site.client(API_KEY[::-1]).models.list()
    assert httpx.get(f"{site.url}/health", timeout=60).status_code == 200
    assert site.ask()
    assert API_KEY not in site.log


def test_champions_on_the_same_base_are_served_beside_it_by_name(site: Site) -> None:
    assert {model.id for model in site.client().models.list()} == {"triage", "router", "triage-base"}
    answers = {name: site.ask(name, tokens=40) for name in ("triage", "router", "triage-base")}
    assert len(set(answers.values())) == 3
    assert "serving triage@1, router@1 by vllm 0.32.0" in site.log


def test_the_start_is_told_by_phase(site: Site) -> None:
    line = next(line for line in site.log.splitlines() if line.startswith("cold start of triage@1: "))
    for phase in ("imports", "volume", "registry", "files", "engine", "first answer"):
        assert f"{phase} " in line, phase


@pytest.mark.full
def test_a_promotion_is_served_without_losing_a_request(site: Site) -> None:
    first, before = site.ask(tokens=100), site.containers
    with Asking(site) as asking:
        done = site.home.run("--version", "triage@2", "--json", verb="promote")
        assert done.returncode == 0, done.stdout
        wait_until(lambda: "cold start of triage@2" in site.log)
        wait_until(lambda: len(asking.answers) > 3 and asking.answers[-1] != first)
    assert asking.errors == []
    assert set(asking.answers) == {first, site.ask(tokens=100)}
    assert "triage@2 is to be served instead of triage@1" in site.log
    assert [one.status for one in before] == [0]


def test_an_engine_that_ends_takes_its_container_with_it(site: Site) -> None:
    site.ask()
    (container,) = site.containers
    (engine,) = (pid for pid in container.pids() if "vllm.entrypoints.openai.api_server" in _command(pid)[:4])
    os.kill(engine, signal.SIGKILL)
    wait_until(lambda: container.ended)
    assert container.status == 0
    assert "the engine ended by itself: killed by SIGKILL" in site.log


def _command(pid: int) -> list[str]:
    return psutil.Process(pid).cmdline()


@pytest.mark.full
def test_a_rollback_is_served_and_an_idle_endpoint_costs_nothing(site: Site) -> None:
    done = site.home.run("--name", "triage", verb="rollback")
    assert done.returncode == 0, done.stdout
    assert "triage: version 1 is champion (was 2)" in done.stdout
    wait_until(lambda: not site.containers)
    site.ask()
    wait_until(lambda: not site.containers)
    assert site.log.count("cold start of triage@1: ") == 2
    assert site.home.plane.containers[-1].status == 0


def test_taking_the_app_down_ends_a_container_that_serves(site: Site) -> None:
    site.ask()
    assert len(site.containers) == 1
    done = site.home.run(verb="down")
    assert done.returncode == 0, done.stdout
    assert site.home.plane.running == []
    assert all(app.stopped for app in site.home.plane.apps)


def test_a_weak_key_starts_no_engine(start_home: StartHome, vllm_python: Path) -> None:
    secrets = {**SECRETS, SECRET: {"HONE_API_KEY": "hunter2"}}
    site = Site(start_home({"HONE_MODAL_PORT": str(free_port())}, secrets=secrets))
    assert site.deploy().returncode == 0
    assert httpx.get(f"{site.url}/health", timeout=120).status_code == 503
    assert "HONE_API_KEY: the endpoint's key is weak: it has 7 characters, and 24 are the least" in site.log
    assert "hunter2" not in site.log


def test_a_deployment_needs_its_secret_and_a_strong_key_where_it_is_seen(start_home: StartHome) -> None:
    without = Site(start_home(secrets={**SECRETS, SECRET: {"API_KEY": API_KEY}})).deploy()
    assert without.returncode != 0
    assert f"Secret '{SECRET}' is missing key(s): HONE_API_KEY" in without.stdout
    weak = Site(start_home(secrets=SECRETS)).deploy(HONE_API_KEY=12 * "ab")
    assert weak.returncode == 3
    assert "error: HONE_API_KEY: the endpoint's key is weak: it repeats itself or is a sequence" in weak.stdout
    assert "Created" not in weak.stdout
