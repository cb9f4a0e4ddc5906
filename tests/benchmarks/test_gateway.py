"""What the gateway is measured against does what it should, and the measurement counts it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from aiohttp.test_utils import TestServer

from benchmarks.gateway import Place, compare
from benchmarks.gateway_peers import ENGINE_SECONDS, PEERS, TEXT, engine_app, pass_through_app
from local_runner.gateway import read_gateway_config


def test_the_pass_through_passes_answers_on_and_takes_longer_than_the_engine() -> None:
    async def run() -> None:
        async with TestServer(engine_app()) as engine, TestServer(pass_through_app(engine.port or 0)) as proxy:
            for server in (engine, proxy):
                place = Place("x", f"http://127.0.0.1:{server.port}/v1", "m1")
                seconds = await place.one_by_one(5, stream=False)
                first = await place.one_by_one(3, stream=True)
                assert ENGINE_SECONDS < seconds < 1 and first > ENGINE_SECONDS
                assert await place.together(64) > 1 / ENGINE_SECONDS / 32

    asyncio.run(run())
    assert len(TEXT.split()) == 21


def test_an_answer_that_is_none_ends_the_benchmark() -> None:
    async def run() -> None:
        async with TestServer(engine_app()) as engine:
            await Place("x", f"http://127.0.0.1:{engine.port}/nowhere", "m1").one_by_one(1, stream=False)

    with pytest.raises(SystemExit, match="x answered 404"):
        asyncio.run(run())


def test_peers_are_configured_as_they_read_it(tmp_path: Path) -> None:
    PEERS["gateway"](tmp_path, 1234)
    config = read_gateway_config(tmp_path / "gateway.yaml")
    assert config.models["triage"].policy.steps == (50.0, 100.0) and config.capture.text
    PEERS["litellm"](tmp_path, 1234)
    assert yaml.safe_load((tmp_path / "litellm.yaml").read_text())["model_list"][0]["model_name"] == "triage"


@pytest.mark.slow
def test_a_short_comparison_has_every_figure() -> None:
    found = compare(requests=40, rounds=1, litellm=None)
    assert set(found) == {"engine", "pass-through", "gateway"}
    assert found["gateway"]["added_ms"] > 0 and found["gateway"]["requests_per_second"] > 0
