"""What the gateway captured becomes partitions: opt-in, redacted, once, and not for longer than it says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pipeline.monitor.captured import Captured
from pipeline.monitor.partitions import DAY_SECONDS, FOLDER, Partitions, day_of
from pipeline.service.gateway.answers import read_answer
from pipeline.service.gateway.exchange import Exchange
from pipeline.service.gateway.rotation import CLOSES_AFTER, Rotation
from pipeline.service.gateway.store import Batch, GatewayStore
from pipeline.service.gateway.table import asker
from tests.service.gateway.engine import Engine, Model, engines, open_records, rows, whole_gateway
from tests.service.gateway.test_gateway import config

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()


def stored_answer(id_: str, at: float, **changed: Any) -> dict[str, Any]:
    request = {"messages": [{"role": "user", "content": "where is my parcel"}]}
    values = {
        "id": id_,
        "response_id": None,
        "at": at,
        "key": "k",
        "path": "chat/completions",
        "version": "triage@1",
        "rollout": None,
        "arm": None,
        "shadowed": False,
        "status": 200,
        "failed": False,
        "refused": False,
        "first_byte_ms": 1.0,
        "answer_ms": 2.0,
        "length": 5,
        "input_length": 18,
        "confidence": None,
        "unit": None,
        "request": request,
        "answer": "order",
    }
    return values | changed


class Kept:
    """The gateway's tables and partitions in a folder."""

    def __init__(self, root: Path, days: int = 30) -> None:
        self.records = open_records(root)
        self.store = GatewayStore(self.records.engine)
        self.partitions = Partitions(root / FOLDER)
        self.rotation = Rotation(self.store, self.partitions, days)

    def captured(self, version: str = "triage@1") -> list[str]:
        return [row.id for row in Captured(self.partitions, version).rows()]

    def texts(self) -> list[str]:
        found = rows(self.records, "SELECT id FROM gateway_answers WHERE request IS NOT NULL ORDER BY id")
        return [id_ for (id_,) in found]


Keep = Callable[..., Kept]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    """Return what opens the tables and partitions of this test; all are closed at its end."""
    opened: list[Kept] = []

    def make(days: int = 30) -> Kept:
        opened.append(Kept(tmp_path, days))
        return opened[-1]

    yield make
    for kept in opened:
        kept.records.close()


def test_answers_are_captured_redacted_and_watched_by_version(tmp_path: Path, keep: Keep) -> None:
    async def run() -> None:
        async with engines(Engine({"m1": Model("write to jane@example.com"), "m2": Model("two")})) as [server]:
            settings = config(server, capture={"text": True})
            async with whole_gateway(tmp_path, settings) as (asking, _):
                await asking.chat("triage", text="I am jane@example.com", user="jane")
                await asking.chat("triage", text="again", user="jane")
                answered = await asking.chat("triage@2", text="you, two")
                await asking.post("/v1/feedback", {"response_id": answered[1]["x-request-id"], "thumb": "down"})

    asyncio.run(run())
    kept = keep()
    assert kept.rotation.rotate(time.time()) == 3
    first, again = Captured(kept.partitions, "triage@1").rows()
    assert (first.input, first.output) == ("I am [EMAIL]", "write to [EMAIL]")
    assert (first.input_length, first.output_length) == (len("I am jane@example.com"), len("write to jane@example.com"))
    assert first.unit is not None and first.unit == again.unit and "jane" not in first.unit
    [other] = Captured(kept.partitions, "triage@2").rows()
    assert (other.unit, other.score) == (None, 0.0)
    everything = b"".join(path.read_bytes() for path in kept.partitions.folder.rglob("*.parquet"))
    assert b"jane@" not in everything


def test_without_opting_in_no_text_is_kept(tmp_path: Path, keep: Keep) -> None:
    async def run() -> None:
        models = {"m1": Model("one"), "m2": Model("two")}
        async with (
            engines(Engine(models)) as [server],
            whole_gateway(tmp_path, config(server)) as (asking, _),
        ):
            await asking.chat("triage", text="a secret")

    asyncio.run(run())
    kept = keep()
    kept.rotation.rotate(time.time())
    [row] = Captured(kept.partitions, "triage@1").rows()
    assert (row.input, row.output, row.messages) == (None, None, None)
    assert (row.input_length, row.output_length, row.failed) == (8, 3, False)


def test_a_day_is_written_again_until_it_is_over_and_then_has_the_texts_alone(keep: Keep) -> None:
    kept = keep()
    kept.store.save(Batch([stored_answer("a", NOON)]))
    assert kept.rotation.rotate(NOON + 60) == 1
    kept.store.save(Batch([stored_answer("b", NOON + 120)]))
    assert kept.rotation.rotate(NOON + 180) == 2
    assert kept.captured() == kept.texts() == ["a", "b"]
    midnight = NOON + DAY_SECONDS / 2
    kept.rotation.rotate(midnight + CLOSES_AFTER - 1)
    assert kept.texts() == ["a", "b"]
    assert kept.rotation.rotate(midnight + CLOSES_AFTER) == 2
    assert kept.texts() == []
    assert kept.captured() == ["a", "b"]
    assert kept.rotation.rotate(midnight + CLOSES_AFTER + 3600) == 0
    assert [row.input for row in Captured(kept.partitions, "triage@1").rows()] == ["where is my parcel"] * 2


def test_a_death_between_the_file_and_the_tables_loses_nothing(monkeypatch: pytest.MonkeyPatch, keep: Keep) -> None:
    kept = keep()
    kept.store.save(Batch([stored_answer("a", NOON), stored_answer("b", NOON, version="triage@2")]))
    over = NOON + DAY_SECONDS
    with monkeypatch.context() as patched:
        patched.setattr(GatewayStore, "drop_texts", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            kept.rotation.rotate(over)
    assert kept.texts() == ["a", "b"]
    assert kept.rotation.rotate(over) == 0
    assert (kept.texts(), kept.captured(), kept.captured("triage@2")) == ([], ["a"], ["b"])


def test_feedback_of_a_later_day_reaches_an_answer_that_is_written(keep: Keep) -> None:
    kept = keep()
    kept.store.save(Batch([stored_answer("a", NOON)]))
    kept.rotation.rotate(NOON + DAY_SECONDS)
    feedback = {"id": "f", "answer": "a", "at": NOON + DAY_SECONDS, "key": "k", "score": 0.0}
    kept.store.add_feedback({**feedback, "correction": "login", "comment": None})
    kept.rotation.rotate(NOON + DAY_SECONDS + 60)
    [row] = Captured(kept.partitions, "triage@1").rows()
    assert (row.score, row.correction) == (0.0, "login")


def test_what_is_old_leaves_tables_and_partitions(keep: Keep) -> None:
    kept = keep(days=2)
    for number in range(4):
        kept.store.save(Batch([stored_answer(f"day {number}", NOON - number * DAY_SECONDS)]))
        kept.rotation.rotate(NOON - number * DAY_SECONDS + 1)
    kept.rotation.rotate(NOON + 60)
    assert kept.captured() == ["day 1", "day 0"]
    assert rows(kept.records, "SELECT count(*) FROM gateway_answers") == [(2,)]
    assert kept.partitions.retention_days() == 2
    assert kept.partitions.days("answers", "triage@1") == [day_of(NOON - DAY_SECONDS), day_of(NOON)]


def test_tables_of_an_earlier_hone_get_the_new_columns(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    with records.engine.begin() as connection:
        connection.execute(text("CREATE TABLE gateway_answers (id VARCHAR(64) PRIMARY KEY, at FLOAT NOT NULL)"))
        connection.execute(text("INSERT INTO gateway_answers VALUES ('old', 1.0)"))
    GatewayStore(records.engine)
    assert rows(records, "SELECT id, unit, confidence FROM gateway_answers") == [("old", None, None)]
    GatewayStore(records.engine)
    records.close()


def test_probabilities_of_tokens_are_read_whole_and_streamed(keep: Keep) -> None:
    # exp((ln 0.5 + ln 0.125) / 2) = sqrt(1/16) = 1/4
    half, eighth = -0.6931471805599453, -2.0794415416798357

    def exchange(content: bytes, *, streamed: bool) -> Exchange:
        made = Exchange("i", "chat/completions", "t@1", "k", {}, 0.0, status=200, streamed=streamed)
        made.keep(content)
        return made

    whole = (
        '{"choices": [{"message": {"content": "ab"}, "logprobs": {"content": '
        f'[{{"logprob": {half}}}, {{"logprob": {eighth}}}]}}}}]}}'
    )
    pieces = "".join(
        f"data: {json.dumps({'choices': [{'delta': {}, 'logprobs': {'content': [{'logprob': value}]}}]})}\n\n"
        for value in (half, eighth)
    )
    old = f'{{"choices": [{{"text": "ab", "logprobs": {{"token_logprobs": [null, {half}, {eighth}]}}}}]}}'
    for content, streamed in ((whole, False), (pieces + "data: [DONE]\n\n", True), (old, False)):
        assert read_answer(exchange(content.encode(), streamed=streamed)).confidence == pytest.approx(0.25)
    odd = b'{"choices": [{"text": "a", "logprobs": {"content": [1, {"logprob": "x"}], "token_logprobs": 3}}]}'
    assert read_answer(exchange(odd, streamed=False)).confidence is None


def test_who_asks_is_a_user_or_a_conversation_that_goes_on() -> None:
    opening = {"role": "user", "content": "hi"}
    goes_on = {"messages": [opening, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]}
    assert asker({"messages": [opening]}, {}) is None
    assert asker(goes_on, {}) == asker({"messages": [*goes_on["messages"], opening]}, {}) is not None
    assert asker({"user": "u"}, {}) == asker({"safety_identifier": "u"}, {}) == asker({}, {"x-hone-user": "u"})
    assert asker(goes_on, {"x-hone-conversation": "c"}) == "conversation:c"
    assert asker({"prompt": "x"}, {}) is None
