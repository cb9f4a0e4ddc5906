from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.backends.generation import Advance, Completion
from pipeline.core.context import CallContext
from pipeline.evaluate.answers import collect
from schemas.events import Event


class Counting:
    """A respondent that answers with the item's number and dies when told to."""

    engine = "counting"
    portion = 4

    def __init__(self, dies_at: int | None = None) -> None:
        self.asked: list[tuple[int, int]] = []
        self.dies_at = dies_at

    def answer(self, first: int, last: int, context: CallContext, advance: Advance) -> list[Completion]:
        self.asked.append((first, last))
        if self.dies_at is not None and last > self.dies_at:
            raise RuntimeError("killed")
        advance(last - first)
        return [Completion(str(number), [number], "stop", 1, 1) for number in range(first, last)]


def test_answers_are_those_to_all_items_in_order(tmp_path: Path) -> None:
    events: list[Event] = []
    respondent = Counting()
    answers = collect(respondent, 10, tmp_path, CallContext(sink=events.append), "evaluate")

    assert [answer.text for answer in answers] == [str(number) for number in range(10)]
    assert respondent.asked == [(0, 4), (4, 8), (8, 10)]
    assert events[-1].data == {"label": "evaluate", "done": 10, "total": 10}


def test_a_killed_evaluation_goes_on_after_the_last_whole_portion(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        collect(Counting(dies_at=8), 10, tmp_path, CallContext(), "evaluate")

    second = Counting()
    answers = collect(second, 10, tmp_path, CallContext(), "evaluate")

    assert second.asked == [(8, 10)]
    assert answers == collect(Counting(), 10, tmp_path / "fresh", CallContext(), "evaluate")


@pytest.mark.parametrize("damage", ["", "[]", "{", '[{"text": 1}]', "null", "[1, 2, 3, 4]"])
def test_a_damaged_portion_is_asked_again(tmp_path: Path, damage: str) -> None:
    whole = collect(Counting(), 10, tmp_path, CallContext(), "evaluate")
    (tmp_path / "answers-00000004-00000008.json").write_text(damage, encoding="utf-8")

    again = Counting()
    assert collect(again, 10, tmp_path, CallContext(), "evaluate") == whole
    assert again.asked == [(4, 8)]
