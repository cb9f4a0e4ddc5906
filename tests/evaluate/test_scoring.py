from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, DataError, IntegrityError
from pipeline.core.workspace import hash_file
from pipeline.evaluate.items import Item, as_item
from pipeline.evaluate.mistakes import find_confusions
from pipeline.evaluate.scoring import NO_INTERVAL, Scored, load_metrics, score_all
from pipeline.evaluate.slices import slice_names, slice_places
from pipeline.metrics import Metric, get_metric
from schemas.base import Reference
from schemas.data import Message
from schemas.evaluate import Confusion, MetricSpec
from tests.evaluate.support import example


def scored_all(metric: Metric, asked: list[Item], said: list[str], seed: int) -> Scored:
    return score_all(metric, asked, said, seed, slice_places(asked))


def items(count: int, *, clusters: list[int] | None = None, near: int = 0, answer: str = "refund") -> list[Item]:
    return [
        as_item(
            example(
                number,
                f"question {number}",
                answer,
                cluster=clusters[number] if clusters else number,
                near_train=number < near,
            )
        )
        for number in range(count)
    ]


def test_a_right_or_wrong_score_has_wilsons_interval() -> None:
    # Wilson (1927) for 8 of 10 at z = 1.959964: center (8 + z^2/2) / (10 + z^2) = 9.920729 / 13.841459 = 0.716740,
    # half width z / (10 + z^2) * sqrt(10 * .8 * .2 + z^2 / 4) = 0.226577.
    scored = scored_all(get_metric("exact_match"), items(10), ["refund"] * 8 + ["login"] * 2, seed=0)

    assert scored.items == [1.0] * 8 + [0.0] * 2
    assert scored.overall.value == 0.8
    assert math.isclose(scored.overall.low, 0.490162, abs_tol=1e-6)
    assert math.isclose(scored.overall.high, 0.943318, abs_tol=1e-6)
    assert (scored.overall.n, scored.overall.method) == (10, "Wilson")
    assert scored.slices == {}


@pytest.mark.parametrize("name", ["bleu", "chrf", "mcc", "micro_f1", "balanced_accuracy"])
def test_a_metric_of_a_set_has_an_interval_of_resampled_sets(name: str) -> None:
    metric = get_metric(name)
    asked = items(20, answer="a refund of the order") + items(20, answer="help with the login page")
    said = [item.reference if number % 4 else "help with a refund" for number, item in enumerate(asked)]
    scored = scored_all(metric, asked, said, seed=0)

    assert scored.overall.value == pytest.approx(metric.corpus(said, [item.reference for item in asked]))
    assert scored.overall.low < scored.overall.value < scored.overall.high
    assert "bootstrap" in scored.overall.method


def test_of_one_class_the_share_that_is_right_is_counted() -> None:
    """A correlation is 0 for whoever answers: 8 of 10 refunds are right, as in the test above."""
    rows = [*items(10), *items(10, answer="login")]
    said = ["refund"] * 8 + ["login"] * 12
    scored = score_all(get_metric("mcc"), rows, said, 0, {"label refund": range(10), "all": range(20)})
    found = scored.slices["label refund"]
    assert (found.value, found.n, found.method) == (0.8, 10, "Wilson")
    assert math.isclose(found.low, 0.490162, abs_tol=1e-6)
    assert scored.slices["all"].value == scored.overall.value == pytest.approx(0.816497, abs=1e-6)


def test_near_duplicates_count_as_one_and_widen_the_interval() -> None:
    predictions = (["refund"] * 4 + ["login"] * 4) * 5
    alone = scored_all(get_metric("exact_match"), items(40), predictions, seed=0).overall
    joined = scored_all(
        get_metric("exact_match"), items(40, clusters=[number // 4 for number in range(40)]), predictions, seed=0
    ).overall

    assert joined.value == alone.value == 0.5
    assert joined.high - joined.low > 1.5 * (alone.high - alone.low)
    assert joined.method == "Wilson at the effective number of items"


def test_graded_and_corpus_metrics_are_bootstrapped() -> None:
    graded = scored_all(
        get_metric("field_f1"), items(4, answer='{"a": 1, "b": 2}'), ['{"a": 1, "b": 3}', "{}"] * 2, seed=0
    ).overall
    assert graded.method == "wider of bootstrap, expanded percentile and Wilson"
    assert graded.low <= graded.value <= graded.high

    # Classes x and y, two items each; all answered x: F1 of x is 2*2/(4+2) = 2/3, of y 0; their mean is 1/3.
    rows = [as_item(example(number, f"q{number}", answer)) for number, answer in enumerate(["x", "x", "y", "y"])]
    corpus = scored_all(get_metric("macro_f1"), rows, ["x"] * 4, seed=0)
    assert math.isclose(corpus.overall.value, 1 / 3, rel_tol=1e-12)
    assert corpus.items == [1.0, 1.0, 0.0, 0.0]
    assert corpus.overall.low <= 1 / 3 <= corpus.overall.high


def test_slices_part_what_training_rows_give_away() -> None:
    rows = items(5, near=2)
    scored = scored_all(get_metric("exact_match"), rows, ["refund", "refund", "refund", "login", "login"], seed=0)

    assert slice_places(rows) == {"clean": [2, 3, 4], "near_train": [0, 1]}
    assert scored.slices["near_train"].value == 1.0
    assert math.isclose(scored.slices["clean"].value, 1 / 3)
    assert scored.slices["clean"].n == 3


def asked(questions: list[str], answers: list[str]) -> list[Item]:
    return [as_item(example(number, *pair)) for number, pair in enumerate(zip(questions, answers, strict=True))]


def test_slices_by_length_are_thirds_and_one_length_stays_together() -> None:
    # Ranked lengths of 90 items: place 30 is 2 and place 60 is 3, so that short is below 2 and long from 3.
    rows = asked(["a"] * 30 + ["bb"] * 30 + ["ccc"] * 30, ["x"] * 90)
    assert slice_places(rows) == {
        "short": list(range(30)),
        "medium": list(range(30, 60)),
        "long": list(range(60, 90)),
    }
    # Here place 30 is 1: nothing is shorter, and without short ones there are no thirds.
    assert slice_places(asked(["a"] * 40 + ["bb"] * 50, ["x"] * 90)) == {}


def test_slices_by_expected_answer_are_those_with_enough_items() -> None:
    rows = asked(["q"] * 99, ["rare"] * 29 + ["some"] * 30 + ["often"] * 40)
    assert list(slice_places(rows)) == ["label often", "label some"]
    assert slice_places(rows)["label some"] == list(range(29, 59))
    names = slice_names(len(rows), slice_places(rows))
    assert names[0] == [] and names[98] == ["label often"]


def test_slices_by_turns_count_what_is_said_and_no_system_turn() -> None:
    one = (Message(role="system", content="s"), Message(role="user", content="q"))
    several = (*one, Message(role="assistant", content="a"), Message(role="user", content="q"))
    row = items(1)[0]
    rows = [replace(row, prompt=one)] * 30 + [replace(row, prompt=several)] * 31
    assert slice_places(rows) == {"one turn": list(range(30)), "several turns": list(range(30, 61))}


def test_a_slice_of_one_cluster_has_no_interval() -> None:
    rows = items(4, clusters=[0, 0, 1, 2], near=2)
    for name in ("exact_match", "macro_f1"):
        near = scored_all(get_metric(name), rows, ["refund"] * 4, seed=0).slices["near_train"]
        assert (near.value, near.low, near.high, near.method) == (1.0, 0.0, 1.0, NO_INTERVAL)


def test_a_reference_that_a_metric_refuses_is_named_by_its_row() -> None:
    rows = [*items(2, answer='{"a": 1}'), as_item(example(6, "q", "no record"))]
    with pytest.raises(DataError, match=r"source row 7: field_f1: "):
        scored_all(get_metric("field_f1"), rows, ["{}"] * 3, seed=0)


def test_valid_label_takes_the_declared_labels_unless_its_own_are_given() -> None:
    declared = load_metrics([MetricSpec(name="valid_label")], ["refund", "login"])["valid_label"]
    own = load_metrics([MetricSpec(name="valid_label", params={"labels": ["x"]})], ["refund"])["valid_label"]

    assert [declared.item(text, "refund") for text in ("login", "x")] == [1.0, 0.0]
    assert [own.item(text, "refund") for text in ("refund", "x")] == [0.0, 1.0]
    with pytest.raises(ConfigError):
        load_metrics([MetricSpec(name="valid_label")], None)


def test_a_metric_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.metrics: metric exact_match is there twice"):
        load_metrics([MetricSpec(name="exact_match"), MetricSpec(name="exact_match")], None)


def test_a_users_metric_is_found_from_its_resolved_file(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    code = tmp_path / "metrics" / "mine.py"
    code.write_text("def half(prediction, reference):\n    return 0.5\n", encoding="utf-8")
    spec = MetricSpec(name="./metrics/mine.py:half", code=Reference(location=str(code), digest=hash_file(code)))

    metric = load_metrics([spec], None)["./metrics/mine.py:half"]

    assert scored_all(metric, items(3), ["", "", ""], seed=0).items == [0.5] * 3
    code.write_text("def half(prediction, reference):\n    return 1.0\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"mine\.py: changed since the run began"):
        load_metrics([spec], None)


def test_confusions_of_labels() -> None:
    rows = items(6)
    assert find_confusions(rows, ["login", "refund", "Login ", "x" * 200, "refund", "refund"]) == (
        Confusion(expected="refund", predicted="login", count=2),
        Confusion(expected="refund", predicted="x" * 119 + "…", count=1),
    )


def test_confusions_of_records_name_the_field() -> None:
    rows = [as_item(example(number, f"q{number}", '{"a": "x", "b": 1}', label=None)) for number in range(3)]
    found = find_confusions(rows, ['{"a": "y", "b": 1}', '{"a": "y", "b": 2}', "junk"])
    assert found == (
        Confusion(expected='"x"', predicted='"y"', count=2, field="a"),
        Confusion(expected='"x"', predicted="(invalid JSON)", count=1, field="a"),
        Confusion(expected="1", predicted="(invalid JSON)", count=1, field="b"),
        Confusion(expected="1", predicted="2", count=1, field="b"),
    )


def test_free_text_has_no_confusions() -> None:
    rows = [as_item(example(0, "q", "some text", label=None))]
    assert find_confusions(rows, ["other text"]) == ()


def test_of_one_cluster_nothing_is_known_but_what_a_metric_can_be() -> None:
    rows = items(4, clusters=[5, 5, 5, 5])
    assert scored_all(get_metric("accuracy"), rows, ["refund"] * 4, seed=0).overall.low == 0.0
    found = scored_all(get_metric("mcc"), rows, ["refund"] * 4, seed=0).overall
    assert (found.low, found.high, found.method) == (-1.0, 1.0, NO_INTERVAL)


COUNTING = """
from pathlib import Path
state = Path(__file__).with_name("state")
first = not state.exists()
state.touch()

def score(prediction, reference):
    return 0.0 if first else 1.0
"""
DRAWING = """
import random

def score(prediction, reference):
    return random.random()
"""
CALLS = """
seen = []

def score(prediction, reference):
    seen.append(prediction)
    return float(len(seen) <= 3)
"""
ROUNDING = """
calls = 0

def score(prediction, reference):
    global calls
    calls += 1
    return float(prediction == reference) / 3 + calls * 1e-12
"""


@pytest.mark.parametrize(
    ("code", "row"), [(COUNTING, 3), (DRAWING, 3), (CALLS, 3)], ids=["a file", "chance", "earlier calls"]
)
def test_a_metric_that_scores_an_answer_in_two_ways_is_refused(tmp_path: Path, code: str, row: int) -> None:
    # The second pass begins with the last of the four items, whose numbers are counted from 0.
    (tmp_path / "mine.py").write_text(code)
    metric = get_metric("./mine.py:score", root=tmp_path)
    with pytest.raises(ConfigError, match="scored the same answer") as caught:
        scored_all(metric, items(4), ["a", "b", "c", "d"], seed=0)
    assert caught.value.where == f"./mine.py:score, source row {items(4)[row].row}"
    assert "prediction and reference alone" in (caught.value.fix or "")


def test_scores_that_differ_by_rounding_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ROUNDING)
    metric = get_metric("./mine.py:score", root=tmp_path)
    assert scored_all(metric, items(3), ["refund", "b", "refund"], seed=0).items == pytest.approx(
        [1 / 3, 0, 1 / 3], abs=1e-9
    )
