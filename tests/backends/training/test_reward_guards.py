"""The figures of answers by hand, and each guard where it is passed."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.backends.training.journal import Journal
from pipeline.backends.training.reward_guards import answer_figures, check_line, repetition, report_of
from pipeline.core.context import CallContext
from schemas.events import Event
from schemas.rl import RewardGuards


@pytest.mark.parametrize(
    ("tokens", "share"),
    [
        ([], 0.0),
        ([1, 2, 3], 0.0),  # no 4-gram
        ([1, 2, 3, 4, 5], 0.0),  # 1234, 2345
        ([7] * 8, 0.8),  # five times 7777: one is new
        ([1, 2, 1, 2, 1, 2], 1 / 3),  # 1212, 2121, 1212
    ],
)
def test_repetition_by_hand(tokens: list[int], share: float) -> None:
    assert repetition(tokens) == pytest.approx(share, abs=1e-12)


def test_figures_by_hand() -> None:
    # lengths 2, 4 and 0; only the first ends with a stop
    assert answer_figures([[5, 9], [5, 5, 5, 5], []], [9]) == {
        "completion_length": 2.0,
        "clipped": pytest.approx(2 / 3),
        "repetition": 0.0,
    }


def line(step: int, **figures: float) -> dict[str, Any]:
    usual = {"completion_length": 10.0, "clipped": 0.0, "repetition": 0.0, "kl": 0.0, "reward": 0.5}
    return {"step": step, **usual, **figures}


@pytest.mark.parametrize(
    ("guard", "figures", "value"),
    [
        ("length_ratio", {"completion_length": 21.0}, 2.1),
        ("length_ratio", {"completion_length": 4.0}, 0.4),
        ("clipped", {"clipped": 0.6}, 0.6),
        ("repetition", {"repetition": 0.4}, 0.4),
        ("kl", {"kl": 1.5}, 1.5),
    ],
)
def test_a_guard_warns_once(guard: str, figures: dict[str, float], value: float) -> None:
    events: list[Event] = []
    journal = Journal()
    for step, more in enumerate(({}, figures, figures), start=1):
        journal.lines.append(line(step, **more))
        check_line(journal.lines[-1], journal, RewardGuards(), CallContext(sink=events.append))
    assert [(event.kind, event.data["guard"], event.data["step"]) for event in events] == [("warning", guard, 2)]
    assert journal.warnings[0]["value"] == pytest.approx(value)


def test_a_guard_that_is_off_says_nothing() -> None:
    off = RewardGuards(length_ratio=None, clipped=None, repetition=None, kl=None)
    journal = Journal(lines=[line(1)])
    check_line(line(2, completion_length=99.0, clipped=1.0, repetition=1.0, kl=9.0), journal, off, CallContext())
    assert not journal.warnings


def test_a_report_averages_the_ends() -> None:
    # 20 lines: a tenth of them are two
    lines = [line(step, reward=float(step), **{"rewards/chrf": step / 2}) for step in range(1, 21)]
    report = report_of(Journal(lines=[*lines, {"step": 20, "eval_loss": -0.25}]), 0.25)
    assert report is not None
    assert (report.first.reward, report.last.reward, report.validation) == (1.5, 19.5, 0.25)
    assert report.last.rewards == {"chrf": 9.75}
    assert report_of(Journal(), None) is None
