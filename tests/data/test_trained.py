"""Held-out rows are compared with what the base learned before, and with what is replayed."""

from __future__ import annotations

from pathlib import Path

from tests.data.support import run_stage, sentence

WHOLE = {"validation": 0.0, "test": 0.0}


def rows(*numbers: int) -> list[dict[str, str]]:
    return [{"prompt": sentence(number, 12), "completion": f"reply {number}"} for number in numbers]


def test_rows_that_a_version_was_trained_on_are_marked_and_counted(tmp_path: Path) -> None:
    """Test rows 1 and 2 are trained by the version, the first word for word; row 3 by the run itself; row 4 by none."""
    near = {"prompt": sentence(201, 12) + " indeed", "completion": "something else"}
    version = run_stage(tmp_path / "before", [*rows(*range(100, 120), 200), near], split=WHOLE)
    test = rows(200, 201, 5, 202)
    outcome = run_stage(
        tmp_path / "now",
        rows(*range(20)),
        test=test,
        trained={"triage@1": version},
        decontaminate="report",
        split={"validation": 0.0},
    )
    marked = {example.row for example in outcome.examples("test") if example.near_train}
    assert marked == {1, 2, 3}
    assert (outcome.artifact.leaked, outcome.artifact.near_train_test_rows) == ({"test": 2}, 3)
    assert outcome.artifact.trained == {"triage@1": version.stored().ref}


def test_rows_are_compared_as_they_were_trained(tmp_path: Path) -> None:
    """The version knows its rows with the template filled in and the address replaced."""
    template = "Say what {{ text }} is"
    before = [
        {"text": f"{sentence(number, 9)} of anna@example.com", "label": "a" * (number % 2 + 1)} for number in range(30)
    ]
    options = {"columns": {"text": "text", "label": "label"}, "prompt_template": template}
    version = run_stage(tmp_path / "before", before, split=WHOLE, **options)
    fresh = [{"text": sentence(number, 9), "label": "a" * (number % 2 + 1)} for number in range(40, 60)]
    outcome = run_stage(
        tmp_path / "now", fresh, test=before[:2], trained={"v": version}, split={"validation": 0.0}, **options
    )
    assert [example.near_train for example in outcome.examples("test")] == [True, True]
    assert outcome.artifact.leaked == {"test": 2}


def test_validation_rows_count_and_training_rows_do_not(tmp_path: Path) -> None:
    version = run_stage(tmp_path / "before", rows(*range(100, 120)), split=WHOLE)
    outcome = run_stage(
        tmp_path / "now",
        rows(*range(100, 110), *range(20)),
        validation=rows(111, 50),
        test=rows(60),
        trained={"v": version},
    )
    assert outcome.artifact.leaked == {"validation": 1, "test": 0}
    assert not any(example.near_train for example in outcome.examples("train"))
