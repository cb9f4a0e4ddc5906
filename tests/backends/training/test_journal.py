"""The journal: the same lines whether a training was interrupted or not."""

from __future__ import annotations

import math
from pathlib import Path

from pipeline.backends.training.journal import Journal


def test_lines_are_means_of_their_window() -> None:
    journal = Journal()
    assert journal.add_step(1, 4.0, 0.1, every=2) is None
    assert journal.add_step(2, 2.0, 0.2, every=2) == {"step": 2, "loss": 3.0, "learning_rate": 0.2}
    journal.add_step(3, 3.0, 0.3, every=2)
    assert journal.close_window(3, 0.3) == {"step": 3, "loss": 3.0, "learning_rate": 0.3}
    assert journal.close_window(3, 0.3) is None
    assert journal.mean_loss == 3.0
    assert math.isnan(Journal().mean_loss)


def test_best_step_and_patience() -> None:
    journal = Journal()
    assert (journal.best_step, journal.stale_evaluations) == (None, 0)
    for step, loss in ((10, 2.0), (20, 1.0), (30, 1.0), (40, 1.5)):
        journal.add_evaluation(step, loss)
    assert (journal.best_step, journal.stale_evaluations) == (20, 2)


def test_a_journal_goes_on_where_its_checkpoint_was(tmp_path: Path) -> None:
    whole, first = Journal(), Journal()
    losses = [1 / 3, 0.1, 2 / 7, 0.7, 0.9]
    for step, loss in enumerate(losses, start=1):
        whole.add_step(step, loss, 0.1, every=2)
    for step, loss in enumerate(losses[:3], start=1):
        first.add_step(step, loss, 0.1, every=2)
    first.add_evaluation(3, 0.5)
    whole.add_evaluation(3, 0.5)
    first.save(tmp_path)
    second = Journal.load(tmp_path)
    for step, loss in enumerate(losses[3:], start=4):
        second.add_step(step, loss, 0.1, every=2)
    assert second.loss_sum == whole.loss_sum
    assert [line for line in second.lines if "loss" in line] == [line for line in whole.lines if "loss" in line]
    assert second.evaluations == whole.evaluations
