from __future__ import annotations

from pipeline.evaluate.instruction import MOST_LABELS, default_instruction


def test_the_description_is_completed_with_the_labels() -> None:
    assert default_instruction("Name it. ", ("a", "b")) == "Name it.\nAnswer with one of: a, b"
    assert default_instruction("", ("a", "b")) == "Answer with one of: a, b"
    assert default_instruction("Name it.", None) == "Name it."
    assert default_instruction(" ", None) is None


def test_too_many_labels_are_not_listed() -> None:
    labels = [f"label{number}" for number in range(MOST_LABELS + 1)]
    assert default_instruction("Name it.", labels) == "Name it."
    assert str(default_instruction("Name it.", labels[:-1])).endswith("label99")
