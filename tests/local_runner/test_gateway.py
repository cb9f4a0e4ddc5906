"""`hone gateway` as a process, before an engine over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession
from filelock import FileLock

from local_runner.gateway import GatewayOptions, WorkspaceCatalogue, read_gateway_config, serve
from local_runner.main import run_command
from local_runner.service import open_records
from pipeline.core.errors import ConfigError, GateRefused
from pipeline.core.registry import RegisteredVersion
from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.service.api.keys import create_key
from schemas.artifacts import Stored
from schemas.register import RegisterArtifact
from tests.service.gateway.engine import Engine, Model, engines
from tests.support.run_fixture import RunFixture

KEY = "hone_" + "0123456789abcdef" * 2


def write_config(path: Path, port: int, **model: Any) -> Path:
    """Write the configuration of a gateway before one engine."""
    found = {
        "engines": {"one": {"base_url": f"http://127.0.0.1:{port}/v1"}},
        "versions": {f"triage@{number}": {"engines": {"one": f"m{number}"}} for number in (1, 2)},
        "models": {"triage": {"champion": "triage@1", **model}},
    }
    path.write_text(yaml.safe_dump(found))
    return path


@asynccontextmanager
async def running(config: Path, root: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start the command; yield its process and address. It is stopped at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "local_runner.main", "gateway", str(config), "--port", "0", "-w", str(root), "--json"),
        env={**os.environ, "HONE_SERVICE_KEY": KEY},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        printed = b""
        while not printed.rstrip().endswith(b"}"):
            printed += await asyncio.wait_for(process.stdout.readline(), 60)
        yield process, json.loads(printed)["base_url"]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def ask(client: ClientSession, url: str, user: int, **more: Any) -> tuple[int, str | None, Any]:
    body = {"model": "triage", "messages": [{"role": "user", "content": "hi"}], "user": str(user), **more}
    async with client.post(f"{url}/chat/completions", json=body, headers={"Authorization": f"Bearer {KEY}"}) as got:
        return got.status, got.headers.get("x-hone-version"), await got.read()


@pytest.mark.slow
def test_sigterm_lets_answers_finish_and_a_kill_loses_no_rollout(tmp_path: Path) -> None:
    engine = Engine({"m1": Model("a b c d", delay=0.3), "m2": Model(delay=0.3)})
    policy = {"steps": [50, 100], "minimum_requests": 100_000}

    async def run() -> None:
        async with engines(engine) as [server], ClientSession() as client:
            config = write_config(tmp_path / "gateway.yaml", server.port or 0, candidate="triage@2", policy=policy)
            async with running(config, tmp_path / "w") as (process, url):
                answers = await asyncio.gather(*(ask(client, url, user) for user in range(30)))
                assert {status for status, _, _ in answers} == {200}
                first = dict(enumerate(version for _, version, _ in answers))
                assert set(first.values()) == {"triage@1", "triage@2"}
                await asyncio.sleep(0.5)
                process.kill()
                await process.wait()
            async with running(config, tmp_path / "w") as (process, url):
                asking = [asyncio.create_task(ask(client, url, user, stream=True)) for user in range(30)]
                while len(engine.asked) < 60:
                    await asyncio.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                answers = await asyncio.gather(*asking)
                assert all(status == 200 and body.endswith(b"[DONE]\n\n") for status, _, body in answers)
                assert dict(enumerate(version for _, version, _ in answers)) == first, "users stay across a kill"
                assert await process.wait() == 0

    asyncio.run(run())


def test_it_does_not_start_without_a_key_or_beside_another(tmp_path: Path) -> None:
    config = read_gateway_config(write_config(tmp_path / "gateway.yaml", 1))
    options = GatewayOptions(tmp_path, "127.0.0.1", 0, None, None)
    with pytest.raises(ConfigError, match="nobody has a key"):
        serve(config, options, lambda _: None)
    records = open_records(tmp_path, None)
    create_key(records.keys, "ci", ("infer",))
    records.close()
    with FileLock(tmp_path / "service" / "gateway.lock"), pytest.raises(ConfigError, match="another gateway"):
        serve(config, options, lambda _: None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"engine": {}}, "unknown key"),
        ({"models": {"triage": {"champion": "triage@9"}}}, "nothing under versions says where triage@9 is served"),
        ({"models": {"triage": {"champion": "other@1"}}}, "no version of it"),
        ({"models": {"triage": {"champion": "triage@1", "candidate": "triage@1"}}}, "the candidate is the champion"),
        ({"versions": {"triage@1": {"engines": {"two": "m"}}}}, "no engine is called two"),
        ({"versions": {"triage": {"engines": {"one": "m"}}}}, "versions.triage"),
        ({"engines": {"one": {"base_url": "file:///etc/passwd"}}}, "engines.one.base_url"),
    ],
)
def test_every_error_of_a_configuration_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], said: str
) -> None:
    path = write_config(tmp_path / "gateway.yaml", 1)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    assert run_command(["gateway", str(path), "-w", str(tmp_path), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)["error"]
    assert said in told["message"] and told["where"] == str(path)


def test_the_pages_configuration_is_one() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].split("```")[0]
    path = Path("gateway.yaml")
    found = read_gateway_config_text(path, text)
    assert found.models["triage"].policy.guardrails.length is None


def read_gateway_config_text(path: Path, text: str) -> Any:
    from pipeline.core.spec import parse_mapping
    from schemas.gateway import GatewayConfig

    return GatewayConfig.model_validate(parse_mapping(text, str(path), "configuration"))


class OneRegistered:
    """A registry of triage 3, which its gate refused or not."""

    def __init__(self, record: Stored[RegisterArtifact]) -> None:
        self.moved: list[Any] = []
        decision, served = record.artifact.decision, record.artifact.served_variant
        digests = {"data_source": "d", "template": "t", "spec": "s"}
        self.version = RegisteredVersion(
            "triage", 3, record.ref, record.content_digest, "", decision.verdict, "base", served, digests
        )

    def alias(self, _name: str, _alias: str) -> int | None:
        return None

    def get_version(self, _name: str, _version: int) -> RegisteredVersion:
        return self.version

    def set_alias(self, *moved: Any) -> None:
        self.moved.append(moved)


def one_run(root: Path, *, promoted: bool) -> OneRegistered:
    fixture = RunFixture(root, promoted=promoted)
    fixture.build()
    return OneRegistered(load(Store(root), fixture.refs["register"]))


def test_the_workspaces_registry_is_asked_where_there_is_one(tmp_path: Path) -> None:
    good, refused = one_run(tmp_path / "good", promoted=True), one_run(tmp_path / "refused", promoted=False)
    catalogue = WorkspaceCatalogue(tmp_path / "good", lambda: good)  # type: ignore[arg-type, return-value]
    assert (catalogue.champion("triage"), catalogue.facts("triage@3")) == (None, None)
    catalogue.promote("triage@3")
    assert good.moved == [], "there is no registry yet"
    for name in ("good", "refused"):
        (tmp_path / name / "mlflow.db").touch()
    facts = catalogue.facts("triage@3")
    assert facts is not None and (facts.data_digest, facts.verdict) == ("d", "promoted")
    assert facts.decision is not None and facts.decision.verdict == "promoted"
    catalogue.promote("triage@3")
    assert good.moved == [("triage", "champion", 3, None)]
    with pytest.raises(GateRefused):
        WorkspaceCatalogue(tmp_path / "refused", lambda: refused).promote("triage@3")  # type: ignore[arg-type, return-value]
