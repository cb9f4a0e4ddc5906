"""The whole gateway over real sockets: rollouts decide under load, answers lead back to where they came from."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from pipeline.core.errors import ConfigError, GateRefused
from pipeline.service.api.rates import Rates
from schemas.feedback import VersionFacts
from tests.service.gateway.engine import Asking, Engine, Model, engines, open_records, rows, whole_gateway

ERRORS_ALONE = {"latency": None, "refusals": None, "length": None, "feedback": None}
DIGEST = "ab" * 32


class Registered:
    """A registry of triage 1 and 2."""

    def __init__(self, refuses: bool = False) -> None:
        self.champions = {"triage": "triage@1"}
        self.refuses = refuses

    def champion(self, name: str) -> str | None:
        return self.champions.get(name)

    def facts(self, version: str) -> VersionFacts | None:
        return VersionFacts(
            version=version,
            artifact="register/0123",
            content_digest=DIGEST,
            data_digest=f"data of {version}",
            verdict="promoted",
        )

    def promote(self, version: str) -> None:
        if self.refuses:
            raise GateRefused("the gate refused it")
        self.champions["triage"] = version


def config(server: TestServer, **changes: Any) -> dict[str, Any]:
    """Return a gateway's configuration: one engine that serves triage 1 (champion) and 2."""
    return {
        "engines": {"one": {"base_url": f"http://127.0.0.1:{server.port}/v1"}},
        "versions": {f"triage@{number}": {"engines": {"one": f"m{number}"}} for number in (1, 2)},
        "models": {"triage": {"champion": "triage@1", **changes.pop("model", {})}},
        **changes,
    }


async def load(asking: Asking, count: int, clients: int = 16) -> list[tuple[int, dict[str, str], Any]]:
    """Send requests of as many users from several clients at once; return the answers."""
    numbers = iter(range(count))
    answers: list[tuple[int, dict[str, str], Any]] = []

    async def client() -> None:
        for number in numbers:
            answers.append(await asking.chat("triage", user=f"user {number}"))

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


@pytest.mark.slow
def test_a_failing_candidate_is_rolled_back_under_load_and_nobody_loses_an_answer(tmp_path: Path) -> None:
    engine = Engine({"m1": Model("one"), "m2": Model("two", fails=0.3)})

    async def run() -> None:
        policy = {"steps": [25, 100], "minimum_requests": 10_000, "guardrails": ERRORS_ALONE}
        async with engines(engine) as [server]:
            settings = config(server, model={"candidate": "triage@2", "policy": policy})
            async with whole_gateway(tmp_path, settings) as (asking, admin):
                answers = await load(asking, 900)
                assert Counter(status for status, _, _ in answers) == {200: 900}
                said = {"triage@1": "one", "triage@2": "two"}
                assert all(
                    body["choices"][0]["message"]["content"] == said[headers["x-hone-version"]]
                    for _, headers, body in answers
                )
                _, listed = await asking.get("/v1/rollouts", **admin)
                [rollout] = listed["data"]
                assert (rollout["status"], rollout["percent"]) == ("rolled_back", 0.0)
                assert [event["kind"] for event in rollout["events"]] == ["start", "rollback"]
                [reading] = rollout["events"][1]["numbers"]["readings"]
                assert reading["exceeded"] and reading["candidate"] > 0.1 and reading["champion"] == 0.0
                before = len(engine.asked)
                await load(asking, 50)
                assert {asked["model"] for asked in engine.asked[before:]} == {"m1"}
                assert (await asking.chat("triage@2"))[1]["x-hone-version"] == "triage@2"

    asyncio.run(run())


def test_a_good_candidate_becomes_champion_in_the_registry_too(tmp_path: Path) -> None:
    registry = Registered()

    async def run() -> None:
        policy = {"steps": [50, 100], "minimum_requests": 20, "guardrails": ERRORS_ALONE}
        async with engines(Engine({"m1": Model(), "m2": Model()})) as [server]:
            settings = config(server, model={"champion": None, "candidate": "triage@2", "policy": policy})
            async with whole_gateway(tmp_path, settings, registry) as (asking, admin):
                await load(asking, 100)
                _, headers, _ = await asking.chat("triage")
                assert headers["x-hone-version"] == "triage@2"
                await asyncio.sleep(0.5)
                _, listed = await asking.get("/v1/rollouts", **admin)
                kinds = [event["kind"] for event in listed["data"][0]["events"]]
                assert kinds == ["start", "promote", "registry"]
            assert registry.champions == {"triage": "triage@2"}
            async with whole_gateway(tmp_path, settings, registry) as (asking, _):
                assert (await asking.chat("triage"))[1]["x-hone-version"] == "triage@2"

    asyncio.run(run())


def test_without_a_registry_a_promotion_outlives_a_restart_and_a_rollback_is_not_tried_again(tmp_path: Path) -> None:
    async def run() -> None:
        for fails, champion in ((1.0, "triage@1"), (0.0, "triage@2")):
            root = tmp_path / champion
            root.mkdir()
            policy = {"steps": [50, 100], "minimum_requests": 20, "guardrails": ERRORS_ALONE}
            async with engines(Engine({"m1": Model(), "m2": Model(fails=fails)})) as [server]:
                settings = config(server, model={"candidate": "triage@2", "policy": policy})
                for requests in (100, 20):
                    async with whole_gateway(root, settings) as (asking, admin):
                        answers = await load(asking, requests)
                        assert {status for status, _, _ in answers} == {200}
                        assert (await asking.chat("triage"))[1]["x-hone-version"] == champion
                        _, listed = await asking.get("/v1/rollouts", **admin)
                        assert len(listed["data"]) == 1

    asyncio.run(run())


def test_a_rollout_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        policy = {"steps": [50, 100], "minimum_requests": 60, "guardrails": ERRORS_ALONE}
        async with engines(Engine({"m1": Model(), "m2": Model()})) as [server]:
            settings = config(server, model={"candidate": "triage@2", "policy": policy})
            seen: list[tuple[str, int]] = []
            while not seen or (seen[-1][0] == "running" and len(seen) < 10):
                async with whole_gateway(tmp_path, settings) as (asking, admin):
                    await load(asking, 50)
                    _, listed = await asking.get("/v1/rollouts", **admin)
                    seen.append((listed["data"][0]["status"], listed["data"][0]["readings"][0]["candidate_answers"]))
            # Which of the fifty users come to the candidate is drawn; they are never sixty, so it takes a restart.
            assert seen[0][0] == "running" and seen[-1] == ("promoted", 60)
            assert [count for _, count in seen] == sorted({count for _, count in seen})

    asyncio.run(run())


def test_one_call_leads_from_an_answer_to_version_data_and_decision(tmp_path: Path) -> None:
    async def run() -> None:
        policy = {"steps": [99, 100], "minimum_requests": 100}
        async with engines(Engine({"m1": Model(), "m2": Model()})) as [server]:
            settings = config(server, model={"candidate": "triage@2", "policy": policy})
            async with whole_gateway(tmp_path, settings, Registered()) as (asking, admin):
                for stream in (False, True):
                    _, headers, body = await asking.chat("triage", stream=stream, user="someone")
                    named = body[0]["id"] if stream else body["id"]
                    for response_id in (named, headers["x-request-id"]):
                        status, found = await asking.get(f"/v1/provenance/{response_id}")
                        assert status == 200
                        assert found["version"] == headers["x-hone-version"]
                        assert found["registered"]["data_digest"] == f"data of {found['version']}"
                        assert found["decisions"][0]["kind"] == "start"
                        assert 0 < found["first_byte_ms"] <= found["answer_ms"]
                assert (await asking.get("/v1/provenance/nothing"))[0] == 404
                status, _, other = await asking.chat("triage@1")
                assert status == 200
                status, found = await asking.get(f"/v1/provenance/{other['id']}", **admin)
                assert (status, found["arm"], found["decisions"]) == (200, None, [])
                asking.headers = admin
                mine = (await asking.chat("triage"))[2]["id"]
                asking.headers = {}
                assert (await asking.get(f"/v1/provenance/{mine}"))[0] == 401

    asyncio.run(run())


def test_feedback_counts_once_and_decides(tmp_path: Path) -> None:
    async def run() -> None:
        policy = {"steps": [50, 100], "minimum_requests": 10_000}
        async with engines(Engine({"m1": Model("one"), "m2": Model("two")})) as [server]:
            settings = config(server, model={"candidate": "triage@2", "policy": policy})
            async with whole_gateway(tmp_path, settings) as (asking, admin):
                for _, headers, body in await load(asking, 120):
                    thumb = "up" if headers["x-hone-version"] == "triage@1" else "down"
                    given = {"response_id": body["id"], "thumb": thumb}
                    status, _, told = await asking.post("/v1/feedback", given)
                    assert status == 200 and told["version"] == headers["x-hone-version"]
                _, listed = await asking.get("/v1/rollouts", **admin)
                assert listed["data"][0]["status"] == "rolled_back"
                assert listed["data"][0]["events"][-1]["reason"].startswith("feedback: 1 against 0")
                _, headers, body = await asking.chat("triage")
                given = {"response_id": body["id"], "correction": "write to anna@example.org", "score": 0.25}
                assert (await asking.post("/v1/feedback", given))[2]["counted"] is False
                _, found = await asking.get(f"/v1/provenance/{body['id']}")
                assert found["feedback"] == [0.25]
                kept = rows(asking.records, "select correction from gateway_feedback where correction is not null")
                assert kept == [("write to [EMAIL]",)]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"response_id": "x"}, 400, None),
        ({"response_id": "x", "thumb": "sideways"}, 400, "thumb"),
        ({"response_id": "x", "score": 2}, 400, "score"),
        ({"response_id": "x", "score": 1, "thumb": "up"}, 400, None),
        ({"response_id": "x", "thumb": "up"}, 404, "response_id"),
        ([], 400, None),
    ],
)
def test_feedback_that_cannot_be_is_refused(tmp_path: Path, body: Any, status: int, param: str | None) -> None:
    async def run() -> None:
        async with engines(Engine()) as [server], whole_gateway(tmp_path, config(server)) as (asking, _):
            got, _, told = await asking.post("/v1/feedback", body)
            assert (got, told["error"]["param"]) == (status, param)

    asyncio.run(run())


def test_rollouts_are_begun_and_cancelled_by_an_admin_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            engines(Engine({"m1": Model(), "m2": Model()})) as [server],
            whole_gateway(tmp_path, config(server)) as (asking, admin),
        ):
            asked = {"name": "triage", "candidate": "triage@2", "policy": {"steps": [50, 100]}}
            assert (await asking.post("/v1/rollouts", asked))[0] == 403
            assert (await asking.get("/v1/rollouts"))[0] == 403
            for wrong, status in (("triage@1", 409), ("triage@9", 404), ("other@1", 404)):
                assert (await asking.post("/v1/rollouts", {**asked, "candidate": wrong}, **admin))[0] == status
            status, _, begun = await asking.post("/v1/rollouts", asked, **admin)
            assert (status, begun["percent"], begun["status"]) == (200, 50.0, "running")
            assert (await asking.post("/v1/rollouts", asked, **admin))[0] == 409
            wrong = {**asked, "policy": {"steps": [50]}}
            status, _, told = await asking.post("/v1/rollouts", wrong, **admin)
            assert status == 400 and "must be 100" in told["error"]["message"]
            assert (await asking.chat("triage@candidate"))[1]["x-hone-version"] == "triage@2"
            place = f"/v1/rollouts/{begun['id']}"
            status, _, ended = await asking.post(f"{place}/cancel", {"reason": "not today"}, **admin)
            assert (status, ended["status"], ended["events"][-1]["reason"]) == (200, "cancelled", "not today")
            assert (await asking.post(f"{place}/cancel", {"reason": "again"}, **admin))[0] == 409
            assert (await asking.get(place, **admin))[1] == ended
            assert (await asking.get("/v1/rollouts/rollout-0", **admin))[0] == 404
            answers = await load(asking, 30)
            assert {headers["x-hone-version"] for _, headers, _ in answers} == {"triage@1"}

    asyncio.run(run())


def test_a_registry_that_refuses_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        policy = {"steps": [50, 100], "minimum_requests": 5, "guardrails": ERRORS_ALONE}
        async with engines(Engine({"m1": Model(), "m2": Model()})) as [server]:
            settings = config(server, model={"candidate": "triage@2", "policy": policy})
            async with whole_gateway(tmp_path, settings, Registered(refuses=True)) as (asking, admin):
                await load(asking, 40)
                await asyncio.sleep(0.5)
                _, listed = await asking.get("/v1/rollouts", **admin)
                last = listed["data"][0]["events"][-1]
                assert last["kind"] == "registry" and "the gate refused it" in last["reason"]

    asyncio.run(run())


def test_text_is_kept_only_where_asked_for_and_redacted(tmp_path: Path) -> None:
    def kept(root: Path) -> list[Any]:
        records = open_records(root)
        found = rows(records, "select request, answer, length, version from gateway_answers")
        records.close()
        return found

    async def run() -> None:
        async with engines(Engine({"m1": Model("ask bob@example.org")})) as [server]:
            for name, capture in (("without", {}), ("with", {"text": True})):
                (tmp_path / name).mkdir()
                async with whole_gateway(tmp_path / name, config(server, capture=capture)) as (asking, _):
                    await asking.chat("triage", "I am anna@example.org")

    asyncio.run(run())
    assert kept(tmp_path / "without") == [(None, None, 19, "triage@1")]
    [(request, answer, length, _)] = kept(tmp_path / "with")
    asked = request if isinstance(request, dict) else json.loads(request)  # PostgreSQL's driver reads JSON itself
    assert asked["messages"] == [{"role": "user", "content": "I am [EMAIL]"}]
    assert (answer, length) == ("ask [EMAIL]", 19)


def test_health_and_metrics(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            engines(Engine({"m1": Model(), "m2": Model()})) as [server],
            whole_gateway(tmp_path, config(server, model={"candidate": "triage@2"})) as (asking, _),
        ):
            for number in range(3):
                await asking.chat("triage@2", user=str(number))
            await asyncio.sleep(0.01)
            _, models = await asking.get("/v1/models")
            assert [model["id"] for model in models["data"]] == ["triage", "triage@1", "triage@2"]
            asking.headers = {}
            assert (await asking.get("/healthz")) == (200, {"status": "ok"})
            assert (await asking.get("/readyz")) == (200, {"status": "ready"})
            assert (await asking.get("/v1/models"))[0] == 401
            _, text = await asking.get("/metrics")
            assert 'hone_gateway_answers_total{version="triage@2",arm="none",outcome="answered"} 3' in text
            assert 'hone_gateway_candidate_percent{name="triage",version="triage@2"} 5' in text

    asyncio.run(run())


def test_a_key_asks_no_oftener_than_it_may(tmp_path: Path) -> None:
    async def run() -> None:
        engine = Engine({"m1": Model(), "m2": Model()})
        async with (
            engines(engine) as [server],
            whole_gateway(tmp_path, config(server), rates=Rates(2)) as (asking, admin),
        ):
            left = []
            for number in range(3):
                status, headers, body = await asking.chat("triage", user=str(number))
                left.append((status, headers["x-ratelimit-remaining-requests"]))
            assert left == [(200, "1"), (200, "0"), (429, "0")] and len(engine.asked) == 2
            assert body["error"]["code"] == "rate_limit_exceeded" and 0 < int(headers["retry-after"]) <= 30
            assert (await asking.get("/v1/rollouts", **admin))[0] == 200  # another key has its own

    asyncio.run(run())


def test_a_champion_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with engines(Engine()) as [server]:
            with pytest.raises(ConfigError, match="nobody is champion"):
                async with whole_gateway(tmp_path, config(server, model={"champion": None})):
                    pass

    asyncio.run(run())


@pytest.mark.slow
def test_ten_thousand_requests_survive_a_candidate_that_fails_a_tenth_of_them(tmp_path: Path) -> None:
    engine = Engine({"m1": Model("one"), "m2": Model("two", fails=0.1)})

    async def run() -> None:
        async with engines(engine) as [server]:
            settings = config(server, model={"candidate": "triage@2"})
            async with whole_gateway(tmp_path, settings) as (asking, admin):

                async def unload() -> int:
                    """Take the candidate away once it is rolled back; return how often it had been asked."""
                    while True:
                        _, listed = await asking.get("/v1/rollouts", **admin)
                        if listed["data"][0]["status"] == "rolled_back":
                            break
                        await asyncio.sleep(0.05)
                    while 'hone_gateway_answering{version="triage@2"} 0' not in (await asking.get("/metrics"))[1]:
                        await asyncio.sleep(0.01)
                    del engine.models["m2"]
                    return sum(asked["model"] == "m2" for asked in engine.asked)

                unloading = asyncio.create_task(unload())
                answers = await load(asking, 10_000, clients=32)
                asked = await asyncio.wait_for(unloading, 5)
                assert Counter(status for status, _, _ in answers) == {200: 10_000}
                said = {"triage@1": "one", "triage@2": "two"}
                assert all(
                    body["choices"][0]["message"]["content"] == said[headers["x-hone-version"]]
                    for _, headers, body in answers
                )
                assert sum(found["model"] == "m2" for found in engine.asked) == asked, "asked after it was gone"
                _, listed = await asking.get("/v1/rollouts", **admin)
                [rollout] = listed["data"]
                assert rollout["status"] == "rolled_back"
                assert rollout["events"][-1]["reason"].startswith("errors: 0.")

    asyncio.run(run())
