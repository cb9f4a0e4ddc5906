from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.outgoing.backoff import LONGEST, TRIES, wait_after


@pytest.mark.parametrize(
    ("attempts", "draw", "seconds"),
    [(1, 0.0, 2.5), (1, 1.0, 5.0), (2, 0.5, 11.25), (4, 1.0, 135.0), (9, 1.0, 32805.0), (10, 1.0, LONGEST)],
)
def test_waits_are_the_formula_by_hand(attempts: int, draw: float, seconds: float) -> None:
    """5 * 3**(n-1) seconds at most 43200, of which half is drawn: 15 * (.5 + .25) = 11.25 for n = 2."""
    assert wait_after(attempts, draw) == pytest.approx(seconds, abs=1e-9)


def test_all_attempts_take_what_is_said_of_them() -> None:
    """14 waits: 5 + 15 + ... + 32805 = 5 (3**9 - 1) / 2 = 49205 s, and five of 12 hours: 265205 s, or half of that."""
    longest, shortest = (sum(wait_after(n, draw) for n in range(1, TRIES)) for draw in (1.0, 0.0))
    assert (longest, shortest) == (pytest.approx(265205.0), pytest.approx(132602.5))
    assert (shortest / 3600, longest / 3600) == (pytest.approx(36.8, abs=0.1), pytest.approx(73.7, abs=0.1))


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1e9))
def test_no_wait_is_too_short_or_too_long(attempts: int, draw: float, asked: float) -> None:
    wait = wait_after(attempts, draw, asked)
    assert min(asked, LONGEST) <= wait <= LONGEST and wait >= 2.5
