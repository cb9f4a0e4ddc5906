from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import IntegrityError
from pipeline.registry.comparisons import best_baseline, compare_items, lower_bound
from pipeline.registry.items import check_same_split, read_items
from schemas.register import GateOptions
from tests.registry.builders import evaluation

GATE = GateOptions(resamples=2000)


def test_mcnemar_of_nine_won_and_one_lost(tmp_path: Path) -> None:
    # 10 discordant items, 1 lost: p = 2 (C(10,0) + C(10,1)) / 2^10 = 22 / 1024. 9 + 5 right against 1 + 5 of 20.
    tuned = read_items("seed-0", evaluation(tmp_path / "a", [1] * 9 + [0] + [1] * 5 + [0] * 5), "exact_match")
    base = read_items("base", evaluation(tmp_path / "b", [0] * 9 + [1] + [1] * 5 + [0] * 5), "exact_match")
    result = compare_items(tuned, base, "exact_match", GATE)
    assert result.p_value == pytest.approx(22 / 1024, abs=1e-12)
    assert result.difference == pytest.approx(8 / 20, abs=1e-12)
    assert (result.only_candidate, result.only_reference) == (9, 1)
    assert result.low < result.difference < result.high
    assert (result.candidate, result.reference, result.n, result.test) == ("seed-0", "base", 20, "exact McNemar")


def test_items_of_one_cluster_count_as_one(tmp_path: Path) -> None:
    # 8 won items in 2 clusters of four: sign patterns of 2 clusters, two-sided p = 2 / 2^2 = 0.5, not 2 / 2^8.
    clusters = [0] * 4 + [1] * 4
    tuned = read_items("a", evaluation(tmp_path / "a", [1] * 8, clusters=clusters), "exact_match")
    base = read_items("b", evaluation(tmp_path / "b", [0] * 8, clusters=clusters), "exact_match")
    assert compare_items(tuned, base, "exact_match", GATE).p_value == pytest.approx(0.5, abs=1e-12)


def test_of_one_independent_item_nothing_is_tested(tmp_path: Path) -> None:
    for name, scores, clusters in (("near", [1, 1, 0], [7, 7, 7]), ("single", [1], None)):
        tuned = read_items("a", evaluation(tmp_path / name / "a", scores, clusters=clusters), "exact_match")
        base = read_items("b", evaluation(tmp_path / name / "b", [0] * len(scores), clusters=clusters), "exact_match")
        result = compare_items(tuned, base, "exact_match", GATE)
        assert (result.p_value, result.low, result.high) == (1.0, -1.0, 1.0)
        assert result.difference == pytest.approx(sum(scores) / len(scores), abs=1e-12)
        assert result.test == "none: there is one independent item"
        assert lower_bound(tuned, base, "exact_match", 0.02, GATE) == -1.0


def test_of_one_independent_item_a_correlation_may_differ_by_two(tmp_path: Path) -> None:
    tuned = read_items("a", evaluation(tmp_path / "a", [1], metric="mcc"), "mcc")
    base = read_items("b", evaluation(tmp_path / "b", [0], metric="mcc"), "mcc")
    result = compare_items(tuned, base, "mcc", GATE)
    assert (result.low, result.high) == (-2.0, 2.0)
    assert lower_bound(tuned, base, "mcc", 1.0, GATE) == -2.0


def test_macro_f1_is_compared_as_macro_f1(tmp_path: Path) -> None:
    # References: 8 x a, 2 x b. The candidate errs on both b's: F1(a) = 16/18, F1(b) = 0, macro 4/9; accuracy is 0.8.
    # The baseline errs on two a's as b: F1(a) = 12/14, F1(b) = 4/6, macro (6/7 + 2/3) / 2 = 16/21; accuracy is 0.8 too.
    references = ["a"] * 8 + ["b"] * 2
    first = evaluation(
        tmp_path / "a",
        [1] * 8 + [0] * 2,
        metric="macro_f1",
        predictions=["<think>or b</think>a"] * 10,
        answers=["a"] * 10,
        references=references,
        value=4 / 9,
    )
    second = evaluation(
        tmp_path / "b",
        [1] * 6 + [0] * 2 + [1] * 2,
        metric="macro_f1",
        predictions=["a"] * 6 + ["b"] * 4,
        references=references,
        value=16 / 21,
    )
    candidate, baseline = read_items("a", first, "macro_f1"), read_items("b", second, "macro_f1")
    result = compare_items(candidate, baseline, "macro_f1", GATE)
    assert result.candidate_value == pytest.approx(4 / 9, abs=1e-12)
    assert result.reference_value == pytest.approx(16 / 21, abs=1e-12)
    assert "randomization" in result.test
    assert lower_bound(candidate, baseline, "macro_f1", 0.1, GATE) < 4 / 9 - 16 / 21


def test_a_score_that_is_no_mean_of_its_items_is_refused(tmp_path: Path) -> None:
    wrong = read_items("a", evaluation(tmp_path / "a", [1, 0], value=0.9), "exact_match")
    with pytest.raises(IntegrityError, match="not the mean of its items"):
        compare_items(wrong, wrong, "exact_match", GATE)


def test_agreement_on_few_items_is_no_proof(tmp_path: Path) -> None:
    # None lost of ten: Clopper and Pearson's bound of the share that may be is 1 - 0.05^(1 / 10).
    few = read_items("a", evaluation(tmp_path / "a", [1] * 10), "exact_match")
    many = read_items("b", evaluation(tmp_path / "b", [1] * 1000), "exact_match")
    assert lower_bound(few, few, "exact_match", 0.02, GATE) == pytest.approx(0.05**0.1 - 1, rel=1e-9)
    assert lower_bound(many, many, "exact_match", 0.02, GATE) > -0.0031
    # Margins of 0 and 1 are allowed by the schema and change nothing about the bound.
    bounds = {lower_bound(many, many, "exact_match", margin, GATE) for margin in (0.0, 0.02, 1.0)}
    assert len(bounds) == 1


def test_different_items_are_refused(tmp_path: Path) -> None:
    first = read_items("a", evaluation(tmp_path / "a", [1, 0, 1]), "exact_match")
    second = read_items("b", evaluation(tmp_path / "b", [1, 0, 1], ids=["item-0", "other", "item-2"]), "exact_match")
    with pytest.raises(IntegrityError, match="first at item 2"):
        compare_items(first, second, "exact_match", GATE)


def test_another_split_is_refused_before_any_number(tmp_path: Path) -> None:
    first, second = evaluation(tmp_path / "a", [1]), evaluation(tmp_path / "b", [1], data_digest="edited")
    with pytest.raises(IntegrityError, match="differ in split digest: split and edited"):
        check_same_split({"seed-0": first, "base": second})
    with pytest.raises(IntegrityError, match="number of items: 1 and 2"):
        check_same_split({"seed-0": first, "base": evaluation(tmp_path / "c", [1, 0])})


def test_a_metric_that_was_not_scored_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"score\.macro_f1"):
        read_items("seed-0", evaluation(tmp_path / "a", [1]), "macro_f1")


def test_the_best_baseline_has_the_highest_score_and_ties_go_by_name(tmp_path: Path) -> None:
    tuned = read_items("seed-0", evaluation(tmp_path / "t", [1, 1, 1, 0]), "exact_match")
    comparisons = [
        compare_items(tuned, read_items(name, evaluation(tmp_path / name, scores), "exact_match"), "exact_match", GATE)
        for name, scores in (("tfidf", [1, 1, 0, 0]), ("base", [0, 0, 1, 1]), ("empty", [0, 0, 0, 0]))
    ]
    best = best_baseline(comparisons)
    assert best is not None
    assert best.reference == "base"
    assert best_baseline([]) is None
