"""Cooldown and monthly budget."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.refusal import Refused
from pipeline.service.retraining.limits import Begun, Limits, month_of

NOW = datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


def refusal(limits: Limits, begun: list[Begun], cost: float = 1.0) -> tuple[str, int | None] | None:
    try:
        limits.check("triage", cost, begun, NOW)
    except Refused as refused:
        return refused.error.code, refused.retry_after
    return None


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        ([], None),
        ([Begun("triage", NOW - 23 * HOUR)], ("too_soon", 3600)),
        ([Begun("triage", NOW - 24 * HOUR)], None),
        ([Begun("other", NOW - 1)], None),
        ([Begun("triage", NOW - 1, given_up=True)], None),
        ([Begun("triage", NOW - 99 * HOUR), Begun("triage", NOW - 12 * HOUR)], ("too_soon", 12 * 3600)),
    ],
)
def test_a_name_rests_for_as_long_as_is_said(begun: list[Begun], expected: tuple[str, int] | None) -> None:
    assert refusal(Limits(cooldown_hours=24), begun) == expected


def test_a_month_has_a_budget_that_failed_ones_take_as_well() -> None:
    """On December 30 at noon 36 hours are left of the month; what began in November is of another one."""
    november = Begun("other", datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp())
    first = Begun("other", datetime(2026, 12, 1, tzinfo=UTC).timestamp())
    failed = Begun("triage", NOW - 1, given_up=True)
    limits = Limits(monthly=2)
    assert refusal(limits, [november, first]) is None
    assert refusal(limits, [november, first, failed]) == ("over_budget", 36 * 3600)
    assert refusal(Limits(monthly=0), []) == ("over_budget", 36 * 3600)


@pytest.mark.parametrize(("cost", "expected"), [(7.5, None), (7.51, ("over_budget", 36 * 3600))])
def test_dollars_are_counted_by_what_may_be_taken(cost: float, expected: tuple[str, int] | None) -> None:
    assert refusal(Limits(monthly=20, unit="dollars"), [Begun("triage", NOW - HOUR, 12.5)], cost) == expected


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_a_time_is_in_its_month(moment: datetime) -> None:
    first, following = month_of(moment.timestamp())
    assert first <= moment.timestamp() < following
    begins, ends = (datetime.fromtimestamp(time, UTC) for time in (first, following))
    assert (begins.day, begins.hour, ends.day, ends.hour) == (1, 0, 1, 0)
    assert (begins.year, begins.month) == (moment.year, moment.month)
    assert 28 <= (ends - begins).days <= 31


@given(st.lists(st.floats(0, 40 * 24 * HOUR), max_size=30), st.floats(0, 48), st.integers(0, 10))
def test_whoever_waits_as_long_as_is_said_is_let_in(ages: list[float], hours: float, monthly: int) -> None:
    limits, now = Limits(hours, monthly or None), NOW
    begun = [Begun("triage", NOW - age) for age in ages]
    for _ in range(3):
        try:
            limits.check("triage", 1.0, begun, now)
            return
        except Refused as refused:
            assert refused.retry_after is not None and refused.retry_after > 0
            now += refused.retry_after
    raise AssertionError
