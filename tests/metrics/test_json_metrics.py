"""JSON validity, JSON exact match and field F1 by hand and by invariants."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.metrics import get_metric, item_scores

SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, -0.5, 1e300, "", "1", "true", "\u20ac"])
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from("xy"), SCALARS)
RECORDS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": 1}', True),
        (' \n["x", null]\t', True),
        ("3", True),
        ("", False),
        ("{'a': 1}", False),
        ('{"a": 1} done', False),
        ('```json\n{"a": 1}\n```', False),
        ('{"a": 1,}', False),
        ('{"a": NaN}', False),
        ('{"a": -Infinity}', False),
        ('{"a": 1, "a": 2}', False),
        ('\ufeff{"a": 1}', False),
        ("[" * 100 + "]" * 100, True),
        ("[" * 101 + "]" * 101, False),
        ("[" * 200_000 + "]" * 200_000, False),
        ("9" * 5000, False),  # longer than Python's limit for integers from text
    ],
)
def test_validity(text: str, valid: bool) -> None:
    assert get_metric("json_validity").item(text, "anything") == float(valid)


@pytest.mark.parametrize(
    ("prediction", "equal"),
    [
        ('{"b": [1, 2], "a": {"x": null}}', True),
        ('{"a":{"x":null},"b":[1.0,2]}', True),
        ('{"a": {"x": null}, "b": [2, 1]}', False),
        ('{"a": {"x": false}, "b": [1, 2]}', False),
        ('{"a": {"x": null}, "b": [true, 2]}', False),
        ('{"a": {"x": null}}', False),
        ("not JSON", False),
    ],
)
def test_equality(prediction: str, equal: bool) -> None:
    reference = '{"a": {"x": null}, "b": [1, 2]}'
    assert get_metric("json_exact_match").item(prediction, reference) == float(equal)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ('{"intent": "refund", "product": "card", "urgency": "high"}', 1.0),
        # Two of three right on both sides: 2 * 2 / (3 + 3).
        ('{"intent": "refund", "product": "card", "urgency": "low"}', 4 / 6),
        # One pair, right: 2 * 1 / (1 + 3).
        ('{"intent": "refund"}', 2 / 4),
        # Three right and one made up: 2 * 3 / (4 + 3).
        ('{"intent": "refund", "product": "card", "urgency": "high", "tone": "calm"}', 6 / 7),
        ('{"intent": "Refund"}', 0.0),
        ("{}", 0.0),
        ('["refund", "card", "high"]', 0.0),
        ('{"intent": "refund"', 0.0),
    ],
)
def test_field_f1_by_hand(prediction: str, expected: float) -> None:
    reference = '{"intent": "refund", "product": "card", "urgency": "high"}'
    assert get_metric("field_f1").item(prediction, reference) == pytest.approx(expected, abs=1e-12)


def test_field_f1_of_empty_records() -> None:
    assert get_metric("field_f1").item("{}", "{}") == 1.0
    assert get_metric("field_f1").item('{"a": 1}', "{}") == 0.0


def test_a_set_is_the_mean_over_records() -> None:
    # 1 and 2 * 1 / (1 + 2).
    score = get_metric("field_f1").corpus(['{"a": 1}', '{"a": 1}'], ['{"a": 1}', '{"a": 1, "b": 2}'])
    assert score == pytest.approx((1 + 2 / 3) / 2, abs=1e-12)


@given(st.lists(st.tuples(RECORDS, RECORDS), min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_records_does_not_matter(pairs: list[tuple[object, object]], random: Random) -> None:
    texts = [(json.dumps(first), json.dumps(second)) for first, second in pairs]
    shuffled = list(texts)
    random.shuffle(shuffled)
    metric = get_metric("field_f1")
    assert metric.corpus(*zip(*texts, strict=True)) == metric.corpus(*zip(*shuffled, strict=True))


def test_the_mean_is_exact() -> None:
    # One right field of 1, 1 and 5: scores 1, 1 and 2 / (1 + 5), whose rounded sum depends on where one begins.
    references = [json.dumps({str(key): 0 for key in range(size)}) for size in (1, 1, 5)]
    metric = get_metric("field_f1")
    score = metric.corpus(['{"0": 0}'] * 3, references)
    assert score == metric.corpus(['{"0": 0}'] * 3, references[::-1])
    assert score == pytest.approx((1 + 1 + 1 / 3) / 3, abs=1e-12)


@given(RECORDS, RECORDS)
@settings(deadline=None)
def test_invariants(first: dict[str, object], second: dict[str, object]) -> None:
    one, other = json.dumps(first), json.dumps(second, indent=2)
    field_f1, exact = get_metric("field_f1"), get_metric("json_exact_match")
    assert field_f1.item(one, one) == exact.item(one, json.dumps(first, sort_keys=True, indent=1)) == 1.0
    assert field_f1.item(one, other) == field_f1.item(other, one)
    assert exact.item(one, other) == exact.item(other, one)
    assert 0.0 <= field_f1.item(one, other) <= 1.0
    assert (field_f1.item(one, other) == 1.0) == (exact.item(one, other) == 1.0)
    assert get_metric("json_validity").item(one, "") == 1.0


@given(st.text())
@settings(deadline=None)
def test_any_output_is_scored(text: str) -> None:
    for name in ("field_f1", "json_exact_match", "json_validity"):
        assert 0.0 <= get_metric(name).item(text, '{"a": 1}') <= 1.0


@pytest.mark.parametrize(("name", "reference"), [("field_f1", "[1]"), ("field_f1", "{"), ("json_exact_match", "x y")])
def test_a_bad_reference_is_named(name: str, reference: str) -> None:
    with pytest.raises(DataError) as caught:
        item_scores(get_metric(name), ["{}", "{}"], ["{}", reference])
    assert caught.value.where == "item 1"
    assert repr(reference) in caught.value.message
