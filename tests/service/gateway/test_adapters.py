"""Adapters are loaded under a name of their content, probed, and not asked once they are not what they were."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from pipeline.core.errors import ConfigError
from pipeline.core.workspace import content_digest, list_files
from pipeline.service.gateway import adapters
from tests.service.gateway.engine import Asking, Engine, Model, engines, whole_gateway
from tests.service.gateway.test_gateway import ERRORS_ALONE


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "PROBE_SECONDS", 0.05)


def write_adapter(root: Path, number: int, text: str) -> Path:
    folder = root / f"adapter-{number}"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_text(text)
    return folder


def config(server: TestServer, root: Path, **model: Any) -> dict[str, Any]:
    versions = {
        f"triage@{number}": {
            "engines": {"one": f"triage-{number}"},
            "adapter": {"path": str(write_adapter(root, number, f"said by {number}"))},
        }
        for number in (1, 2)
    }
    return {
        "engines": {"one": {"base_url": f"http://127.0.0.1:{server.port}/v1"}},
        "versions": versions,
        "models": {"triage": {"champion": "triage@1", **model}},
    }


def name_of(root: Path, number: int) -> str:
    return f"triage-{number}-{content_digest(list_files(root / f'adapter-{number}'))[:12]}"


async def said(asking: Asking, model: str) -> Any:
    status, _, body = await asking.chat(model)
    return body["choices"][0]["message"]["content"] if status == 200 else status


def test_an_adapter_is_loaded_under_the_name_of_its_content_and_again_where_it_is_lost(tmp_path: Path) -> None:
    engine = Engine()

    async def run() -> None:
        async with (
            engines(engine) as [server],
            whole_gateway(tmp_path, config(server, tmp_path)) as (asking, _),
        ):
            assert [await said(asking, f"triage@{number}") for number in (1, 2)] == ["said by 1", "said by 2"]
            assert set(engine.adapters) == {name_of(tmp_path, 1), name_of(tmp_path, 2)}
            engine.adapters.clear()
            engine.models.clear()  # as after a restart of the engine
            await asyncio.sleep(0.3)
            assert await said(asking, "triage") == "said by 1"

    asyncio.run(run())


def test_what_was_changed_or_stands_for_another_folder_is_not_asked(tmp_path: Path) -> None:
    engine = Engine()

    async def run() -> None:
        async with engines(engine) as [server]:
            policy = {"steps": [99, 100], "minimum_requests": 1000, "guardrails": ERRORS_ALONE}
            settings = config(server, tmp_path, candidate="triage@2", policy=policy)
            name = name_of(tmp_path, 2)
            engine.adapters[name] = "/another/folder"
            engine.models[name] = Model("stale")
            async with whole_gateway(tmp_path, settings) as (asking, _):
                assert name in engine.unloaded
                assert await said(asking, "triage@2") == "said by 2"
                write_adapter(tmp_path, 2, "something else, of another length")
                await asyncio.sleep(0.3)
                assert await said(asking, "triage@2") == 503
                assert {await said(asking, "triage") for _ in range(5)} == {"said by 1"}
                write_adapter(tmp_path, 2, "said by 2")
                await asyncio.sleep(0.3)
                assert await said(asking, "triage@2") == "said by 2"

    asyncio.run(run())


def test_a_candidate_that_is_sent_back_is_unloaded_after_its_last_answer(tmp_path: Path) -> None:
    engine = Engine()

    async def run() -> None:
        async with engines(engine) as [server]:
            settings = config(server, tmp_path, candidate="triage@2", policy={"steps": [99, 100]})
            async with whole_gateway(tmp_path, settings) as (asking, admin):
                name = name_of(tmp_path, 2)
                engine.models[name].delay = 0.3
                last = asyncio.create_task(said(asking, "triage@2"))
                await asyncio.sleep(0.1)
                _, listed = await asking.get("/v1/rollouts", **admin)
                place = f"/v1/rollouts/{listed['data'][0]['id']}/cancel"
                assert (await asking.post(place, {"reason": "enough"}, **admin))[0] == 200
                assert await said(asking, "triage@2") == 404
                assert engine.unloaded == []
                assert await last == "said by 2"
                await asyncio.sleep(0.3)
                assert engine.unloaded == [name]
                assert await said(asking, "triage") == "said by 1"

    asyncio.run(run())


def test_content_that_is_not_what_was_declared_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with engines(Engine()) as [server]:
            for wrong, message in (
                ({"digest": "ab" * 32}, "other content"),
                ({"path": str(tmp_path / "nothing")}, "no adapter"),
            ):
                settings = config(server, tmp_path)
                settings["versions"]["triage@2"]["adapter"].update(wrong)
                with pytest.raises(ConfigError, match=message):
                    async with whole_gateway(tmp_path, settings):
                        pass

    asyncio.run(run())
