"""Requests pass over real sockets: to whom, how answers come back, and what happens where an engine fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.service.gateway.table import Split, Table
from tests.service.gateway.engine import Engine, Harness, Model, engines, gateway, key_of, served


async def _world(root: Path, one: Engine, does: Any, split: dict[str, Any] | None = None) -> None:
    """Do something with a gateway before one engine that serves versions 1 and 2 of triage, of which 1 is champion."""
    async with engines(one) as [server]:
        versions = {f"triage@{number}": served(f"triage@{number}", f"m{number}", server) for number in (1, 2)}
        table = Table(versions, {"triage": versions["triage@1"]})
        if split is not None:
            options = {"percent": 50.0, "sticky": "user", "fallback": True, "shadow": 0.0, **split}
            table = table.with_split("triage", Split("rollout-1", versions["triage@2"], **options))
        async with gateway(root, table) as harness:
            await does(harness)


def test_a_request_reaches_the_engine_as_it_is_and_its_answer_comes_back(tmp_path: Path) -> None:
    engine = Engine({"m1": Model(), "m2": Model("other")})

    async def does(harness: Harness) -> None:
        status, headers, body = await harness.chat("triage", tools=[{"type": "function"}], temperature=0)
        assert (status, headers["x-hone-version"]) == (200, "triage@1")
        assert body["choices"][0]["message"]["content"] == "all is well"
        for name in ("triage@2", "triage@1", "triage@champion"):
            _, headers, _ = await harness.chat(name)
            assert headers["x-hone-version"] == (name if name[-1].isdigit() else "triage@1")
        status, _, body = await harness.post("/v1/completions", {"model": "triage", "prompt": "once"})
        assert status == 200

    asyncio.run(_world(tmp_path, engine, does))
    assert engine.asked[0] == {
        "model": "m1",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function"}],
        "temperature": 0,
    }
    assert [asked["model"] for asked in engine.asked] == ["m1", "m2", "m1", "m1", "m1"]
    assert "authorization" not in engine.headers[0], "the client's key is not the engine's"


def test_a_stream_comes_piece_by_piece(tmp_path: Path) -> None:
    async def does(harness: Harness) -> None:
        status, headers, pieces = await harness.chat("triage", stream=True)
        assert status == 200 and headers["content-type"] == "text/event-stream"
        assert [piece["choices"][0]["delta"]["content"] for piece in pieces[:-1]] == ["all", " is", " well"]
        assert pieces[-1] == "[DONE]"
        await asyncio.sleep(0.01)
        [noted] = harness.noted
        assert noted.streamed and noted.status == 200 and not noted.failed
        assert noted.first is not None and noted.ended is not None and noted.began < noted.first < noted.ended

    asyncio.run(_world(tmp_path, Engine({"m1": Model()}), does))


def test_keys_are_asked_for(tmp_path: Path) -> None:
    async def does(harness: Harness) -> None:
        harness.headers = {}
        status, headers, body = await harness.chat("triage")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert body["error"]["code"] == "invalid_api_key"
        harness.headers = {"Authorization": "Bearer hone_0123_wrong"}
        assert (await harness.chat("triage"))[0] == 401
        harness.headers = key_of(harness.records, "train")
        status, _, body = await harness.chat("triage")
        assert (status, body["error"]["code"]) == (403, "missing_scope")
        harness.headers = key_of(harness.records)
        assert (await harness.chat("triage"))[0] == 200
        [known] = [key for key in harness.records.keys.all() if key.scopes == ("infer",)][-1:]
        harness.records.keys.revoke(known.id)
        await asyncio.sleep(1.1)
        assert (await harness.chat("triage"))[0] == 401, "a revoked key is noticed within a second"

    asyncio.run(_world(tmp_path, Engine({"m1": Model()}), does))


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/chat/completions", b"{", 400, None),
        ("/v1/chat/completions", b"[]", 400, None),
        ("/v1/chat/completions", b"[" * 100_000, 400, None),
        ("/v1/chat/completions", {"messages": []}, 400, None),
        ("/v1/chat/completions", {"model": 3}, 400, None),
        ("/v1/chat/completions", {"model": "triage@9"}, 404, "model_not_found"),
        ("/v1/chat/completions", {"model": "triage@candidate"}, 404, "model_not_found"),
        ("/v1/chat/completions", {"model": "triage", "x": "a" * (5 << 20)}, 413, "too_large"),
        ("/v1/nothing", {}, 404, None),
    ],
)
def test_what_is_wrong_is_told_in_openais_shape(
    tmp_path: Path, path: str, body: Any, status: int, code: str | None
) -> None:
    async def does(harness: Harness) -> None:
        got, headers, told = await harness.post(path, body)
        assert (got, told["error"]["code"]) == (status, code)
        assert headers["x-content-type-options"] == "nosniff"

    asyncio.run(_world(tmp_path, Engine(), does))


def test_traffic_is_split_by_the_share_and_users_stay(tmp_path: Path) -> None:
    async def does(harness: Harness) -> None:
        seen: dict[str, set[str]] = {}
        for number in range(400):
            _, headers, _ = await harness.chat("triage", user=f"user {number % 200}")
            seen.setdefault(f"user {number % 200}", set()).add(headers["x-hone-version"])
        assert all(len(versions) == 1 for versions in seen.values())
        shares = Counter(next(iter(versions)) for versions in seen.values())
        # 200 users at 25%: 50 expected, with a standard deviation of 6.1
        assert 26 <= shares["triage@2"] <= 74
        assert {exchange.arm for exchange in harness.noted} == {"champion", "candidate"}
        one = next(user for user, versions in seen.items() if versions == {"triage@2"})
        _, headers, _ = await harness.chat("triage@1", user=one)
        assert headers["x-hone-version"] == "triage@1", "an explicit version is honored"

    asyncio.run(_world(tmp_path, Engine({"m1": Model(), "m2": Model()}), does, {"percent": 25.0}))


def test_whom_the_candidate_fails_the_champion_answers(tmp_path: Path) -> None:
    async def does(harness: Harness) -> None:
        for stream in (False, True):
            status, headers, _ = await harness.chat("triage", stream=stream)
            assert (status, headers["x-hone-version"]) == (200, "triage@1")
        status, headers, body = await harness.chat("triage@2")
        assert (status, headers["x-hone-version"]) == (500, "triage@2")
        assert body["error"]["type"] == "server_error"
        await asyncio.sleep(0.01)
        assert [(noted.version, noted.arm, noted.failed) for noted in harness.noted] == [
            ("triage@2", "candidate", True),
            ("triage@1", None, False),
        ] * 2 + [("triage@2", None, True)]

    asyncio.run(_world(tmp_path, Engine({"m1": Model(), "m2": Model(fails=1.0)}), does, {"percent": 100.0}))


@pytest.mark.parametrize("gone", [{}, {"m2": Model(breaks=True)}], ids=["not loaded", "breaks off"])
def test_a_candidate_that_is_gone_loses_nobodys_request(tmp_path: Path, gone: dict[str, Model]) -> None:
    async def does(harness: Harness) -> None:
        status, headers, _ = await harness.chat("triage")
        assert (status, headers["x-hone-version"]) == (200, "triage@1")
        assert (await harness.chat("triage@2"))[0] == 503

    asyncio.run(_world(tmp_path, Engine({"m1": Model(), **gone}), does, {"percent": 100.0}))


def test_a_stream_that_breaks_off_says_so(tmp_path: Path) -> None:
    async def does(harness: Harness) -> None:
        _, _, pieces = await harness.chat("triage", stream=True)
        assert pieces[-1]["error"]["code"] == "engine"
        await asyncio.sleep(0.01)
        assert harness.noted[0].broken and harness.noted[0].failed

    asyncio.run(_world(tmp_path, Engine({"m1": Model("a b c d", breaks=True)}), does))


def test_a_copy_goes_to_the_shadow_and_nobody_sees_its_answer(tmp_path: Path) -> None:
    engine = Engine({"m1": Model(), "m2": Model("hidden", delay=0.05)})

    async def does(harness: Harness) -> None:
        for number in range(5):
            _, headers, body = await harness.chat("triage", user=str(number))
            assert headers["x-hone-version"] == "triage@1"
            assert body["choices"][0]["message"]["content"] == "all is well"
        await asyncio.sleep(0.2)
        assert Counter((noted.version, noted.shadowed) for noted in harness.noted) == {
            ("triage@1", False): 5,
            ("triage@2", True): 5,
        }

    asyncio.run(_world(tmp_path, engine, does, {"percent": 0.0, "shadow": 1.0}))
    assert Counter(asked["model"] for asked in engine.asked) == {"m1": 5, "m2": 5}


def test_several_engines_share_a_version_and_one_that_is_down_is_passed_over(tmp_path: Path) -> None:
    one, other = Engine({"m": Model(delay=0.02)}), Engine({"m": Model(delay=0.02)})

    async def run() -> None:
        async with engines(one, other) as servers:
            version = served("triage@1", "m", *servers)
            async with gateway(tmp_path, Table({"triage@1": version}, {"triage": version})) as harness:
                await asyncio.gather(*(harness.chat("triage") for _ in range(20)))
                assert min(len(one.asked), len(other.asked)) >= 7
                await servers[0].close()
                answers = await asyncio.gather(*(harness.chat("triage") for _ in range(20)))
                assert {status for status, _, _ in answers} == {200}
                assert version.busy == 0

    asyncio.run(run())


def test_who_goes_away_ends_the_answer(tmp_path: Path) -> None:
    text = " ".join(["word"] * 2000)

    async def does(harness: Harness) -> None:
        body = {"model": "triage", "messages": [], "stream": True}
        url = harness.server.make_url("/v1/chat/completions")
        async with harness.client.post(url, json=body, headers=harness.headers) as got:
            await got.content.readany()
            got.close()
        for _ in range(100):
            await asyncio.sleep(0.02)
            if harness.noted:
                break
        assert harness.noted[0].left and not harness.noted[0].failed
        assert harness.table.versions["triage@1"].busy == 0

    asyncio.run(_world(tmp_path, Engine({"m1": Model(text)}), does))


def test_the_engines_own_key_is_sent(tmp_path: Path) -> None:
    engine = Engine({"m": Model()})

    async def run() -> None:
        async with engines(engine) as [server]:
            version = served("triage@1", "m", server, Authorization="Bearer engine")
            async with gateway(tmp_path, Table({"triage@1": version}, {"triage": version})) as harness:
                _, headers, _ = await harness.chat("triage")
                assert engine.headers[0]["authorization"] == "Bearer engine"
                assert engine.headers[0]["x-request-id"] == headers["x-request-id"]

    asyncio.run(run())
