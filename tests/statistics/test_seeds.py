"""The spread over seeds by hand."""

from __future__ import annotations

import pytest

from pipeline.core.errors import DataError
from pipeline.statistics import summarize_seeds


def test_three_seeds_by_hand() -> None:
    # Deviations -0.01, 0, 0.01: variance 0.0002 / 2, s = 0.01; t(.975, 2) = 4.302652729911275.
    summary = summarize_seeds([0.70, 0.72, 0.71])
    assert summary.values == (0.70, 0.72, 0.71)
    assert summary.mean == pytest.approx(0.71, abs=1e-12)
    assert summary.std == pytest.approx(0.01, abs=1e-12)
    half = 4.302652729911275 * 0.01 / 3**0.5
    assert summary.low == pytest.approx(0.71 - half, abs=1e-10)
    assert summary.high == pytest.approx(0.71 + half, abs=1e-10)


def test_one_seed_shows_no_spread() -> None:
    summary = summarize_seeds([0.7])
    assert (summary.n, summary.mean, summary.std, summary.low, summary.high) == (1, 0.7, None, None, None)


def test_no_seed_is_refused() -> None:
    with pytest.raises(DataError, match="no seed scores"):
        summarize_seeds([])
