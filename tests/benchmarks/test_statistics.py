"""The simulations in little: enough sets to tell a method that keeps its word from one that does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.statistics import agreement, draw, naive, paired, plot, power


def test_what_is_drawn_has_the_difference_that_it_states() -> None:
    rng = np.random.default_rng(0)
    for graded in (False, True):
        drawn = [draw(rng, gain=0.08, graded=graded) for _ in range(400)]
        found = np.mean([np.mean(sample.candidate) - np.mean(sample.baseline) for sample in drawn])
        # 400 sets of about 390 items: the standard error is below 0.4 points.
        assert found == pytest.approx(drawn[0].truth, abs=0.015)


@pytest.mark.slow
def test_clusters_are_what_a_bootstrap_of_items_misses() -> None:
    # Of 200 null sets, more than 23 rejections at 5% happen in fewer than 1 in 10,000 seeds.
    rejected, *covered = paired(200, "0/1 in clusters", by_nature=True)
    assert rejected.share <= 23 / 200
    assert all(check.share >= 1 - 23 / 200 for check in covered)
    assert naive(200) > 0.2


@pytest.mark.slow
def test_intervals_of_agreement_hold_the_truth() -> None:
    # Of 200 sets, more than 23 misses at 5% happen in fewer than 1 in 10,000 seeds.
    assert all(check.share >= 1 - 23 / 200 for check in agreement(200))


@pytest.mark.slow
def test_power_rises_with_the_gain_and_is_what_was_planned(tmp_path: Path) -> None:
    curves = power(60)
    for measured, planned in zip(curves["independent"], curves["planned"], strict=True):
        assert measured == pytest.approx(planned, abs=0.26)  # four standard errors of 60 sets
    assert curves["clusters"][-1] < curves["independent"][-1]
    plot(curves, tmp_path / "power.png")
    assert (tmp_path / "power.png").read_bytes().startswith(b"\x89PNG")
