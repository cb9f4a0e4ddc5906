"""How often a key may ask, and what it is told of that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from starlette.testclient import TestClient

from pipeline.service.api.keys import OPERATOR, Caller, create_key
from pipeline.service.api.rates import Rates, duration
from pipeline.service.app import service_app
from pipeline.service.store.records import Records
from tests.support.service import Service, database_of

FILES = "/v1/files"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def take(rates: Rates, key: str = "a", limit: int | None = None) -> Any:
    return rates.take(Caller(key, ("infer",), limit))


def test_a_minutes_requests_may_come_at_once_and_then_one_at_a_time(clock: Clock) -> None:
    """Three a minute are one in 20 seconds: after 25 of them there is one and a quarter, and after 35 more three."""
    rates = Rates(3, clock)
    assert [take(rates).remaining for _ in range(3)] == [2, 1, 0]
    refused = take(rates)
    assert (refused.wait, refused.remaining, refused.reset) == (20.0, 0, 60.0)
    clock.now += 25
    assert take(rates).wait == 0.0
    assert take(rates).wait == pytest.approx(15.0)
    clock.now += 1000
    assert take(rates).remaining == 2


def test_keys_have_limits_of_their_own(clock: Clock) -> None:
    rates = Rates(2, clock)
    assert [take(rates, "a").wait for _ in range(3)] == [0.0, 0.0, 30.0]
    assert take(rates, "b").wait == 0.0
    assert take(rates, "c", 100).limit == 100
    assert take(rates, OPERATOR) is None
    assert take(Rates(None, clock)) is None


@settings(max_examples=30)
@given(st.integers(1, 1000), st.lists(st.floats(0, 100), max_size=20))
def test_no_minute_has_more_than_twice_the_limit(limit: int, pauses: list[float]) -> None:
    """A full bucket and what flows in within a minute: at most twice the limit, and whoever waits is let in."""
    clock = Clock()
    rates, taken = Rates(limit, clock), []
    for pause in pauses:
        clock.now += pause
        for _ in range(limit // 20 + 1):
            rate = take(rates)
            if rate.wait:
                assert not taken or rate.wait <= 60.0 / limit + 1e-6
            else:
                taken.append(clock.now)
            assert 0 <= rate.remaining <= limit and 0.0 <= rate.reset <= 60.0 + 1e-6
    assert all(sum(start <= at < start + 60.0 for at in taken) <= 2 * limit for start in taken)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, "0ms"), (0.0201, "21ms"), (1.0, "1s"), (59.2, "1m0s"), (360, "6m0s"), (3661, "1h1m1s")]
)
def test_durations_are_written_as_openai_writes_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.fixture
def limited(service: Service, clock: Clock) -> Iterator[TestClient]:
    app = service_app(replace(service.parts, rates=Rates(2, clock)))
    yield TestClient(app, base_url="http://hone", headers={"Authorization": f"Bearer {service.key()}"})


def test_answers_say_what_is_left_and_when_to_come_again(limited: TestClient, clock: Clock) -> None:
    first = limited.get(FILES)
    assert {name: value for name, value in first.headers.items() if "ratelimit" in name or "retry" in name} == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "30s",
    }
    assert limited.get("/v1/files/none").status_code == 404  # what is refused counts
    refused = limited.get(FILES)
    assert refused.status_code == 429
    assert refused.json()["error"] == {
        "message": "Rate limit reached: this key may ask 2 times a minute. Try again in 30s",
        "type": "requests", "param": None, "code": "rate_limit_exceeded",
    }  # fmt: skip
    assert (refused.headers["retry-after"], refused.headers["x-ratelimit-remaining-requests"]) == ("30", "0")
    health = limited.get("/healthz")
    assert health.status_code == 200 and "x-ratelimit-limit-requests" not in health.headers
    clock.now += 30
    assert limited.get(FILES).status_code == 200


def test_a_keys_own_limit_is_in_the_database_also_of_an_earlier_hone(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    records = Records.open(database_of(tmp_path))
    create_key(records.keys, "old", ("infer",))
    with records.engine.begin() as connection:
        connection.execute(text("ALTER TABLE keys DROP COLUMN requests_per_minute"))
    records.close()
    records = Records.open(database_of(tmp_path))
    create_key(records.keys, "new", ("infer",), 7)
    assert [key.requests_per_minute for key in records.keys.all()] == [None, 7]
    records.close()
