"""Confusions by hand."""

from __future__ import annotations

import pytest

from pipeline.core.errors import DataError
from pipeline.metrics import Confusion, FieldErrors, field_confusions, worst_confusions


def test_labels_by_hand() -> None:
    references = ["a", "a", "a", "a", "b", "b", "c"]
    predictions = ["b", "B", "c", "a", "a", "b", "c"]
    assert worst_confusions(predictions, references) == [
        Confusion("a", "b", 2, 2 / 4),
        Confusion("a", "c", 1, 1 / 4),
        Confusion("b", "a", 1, 1 / 2),
    ]
    assert worst_confusions(predictions, references, top=1) == [Confusion("a", "b", 2, 2 / 4)]
    assert worst_confusions(references, references) == []
    # The more frequent first, though it comes later in the alphabet.
    assert [entry.count for entry in worst_confusions(["b", "c", "c"], ["a", "b", "b"])] == [2, 1]


def test_fields_by_hand() -> None:
    references = ['{"intent": "x", "level": 1}'] * 4
    predictions = [
        '{"level": 1.0, "intent": "x"}',  # right, in another layout
        '{"intent": "y", "level": 1, "tone": null}',  # another intent, and a field that nobody asked for
        '{"intent": "y"}',  # another intent, no level
        "sorry",  # no record
    ]
    assert field_confusions(predictions, references) == [
        FieldErrors("intent", 4, 3, (Confusion('"x"', '"y"', 2, 2 / 4), Confusion('"x"', "(invalid JSON)", 1, 1 / 4))),
        FieldErrors("level", 4, 2, (Confusion("1", "(invalid JSON)", 1, 1 / 4), Confusion("1", "(missing)", 1, 1 / 4))),
        FieldErrors("tone", 1, 1, (Confusion("(missing)", "null", 1, 1.0),)),
    ]


def test_a_value_that_reads_like_a_marker_is_quoted() -> None:
    found = field_confusions(['{"a": "(missing)"}', "{}"], ['{"a": "b"}'] * 2)
    assert [confusion.predicted for confusion in found[0].confusions] == ['"(missing)"', "(missing)"]


def test_lone_surrogates_can_be_written() -> None:
    (errors,) = field_confusions(['{"a": "\\ud800"}'], ['{"a": "b"}'])
    assert errors.confusions[0].predicted == '"\\ud800"'
    errors.confusions[0].predicted.encode("utf-8")


def test_refusals() -> None:
    with pytest.raises(DataError, match="item 1: the reference 'b'"):
        field_confusions(["{}", "{}"], ["{}", "b"])
    with pytest.raises(DataError, match="1 predictions for 2 references"):
        worst_confusions(["a"], ["a", "b"])
