from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import IntegrityError
from pipeline.core.workspace import content_digest, list_files
from pipeline.registry.stage import run
from schemas.base import canonical, canonical_digest
from schemas.evaluate import BaseSubject, MetricSpec, RetentionSpec, TfidfSubject
from schemas.register import BudgetUse, Condition, GateOptions, RegisterArtifact, RegisterConfig, RegisterInputs
from tests.registry.builders import config, evaluation, model, passing_inputs, serve, variant
from tests.support.stored import stored, workspace


def register(directory: Path, inputs: RegisterInputs, settings: RegisterConfig | None = None) -> RegisterArtifact:
    return run(settings or config(), inputs, CallContext(), workspace(directory))


def condition(artifact: RegisterArtifact, name: str) -> Condition:
    return next(condition for condition in artifact.decision.conditions if condition.name == name)


def test_a_better_model_is_promoted_with_its_proof(tmp_path: Path) -> None:
    artifact = register(tmp_path / "work", passing_inputs(tmp_path))
    assert artifact.decision.verdict == "promoted"
    assert (artifact.shipped, artifact.decision.best_baseline) == ("seed-0", "base")
    gain = condition(artifact, "gain")
    # 170 right of 200 against 100 right of 200.
    assert gain.estimate == pytest.approx(0.35, abs=1e-12)
    base = next(c for c in artifact.baseline_comparisons if c.reference == "base")
    assert (base.only_candidate, base.only_reference) == (90, 20)
    assert {c.reference for c in artifact.baseline_comparisons} == {"base", "empty"}


def test_files_hold_the_decision_and_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    inputs = passing_inputs(tmp_path)
    artifact = register(tmp_path / "first", inputs)
    register(tmp_path / "second", inputs)
    first, second = (list_files(tmp_path / name / "output") for name in ("first", "second"))
    assert content_digest(first) == content_digest(second)
    assert [file.path for file in first] == ["comparisons.json", "decision.json", "lineage.json"]
    decision = json.loads((tmp_path / "first/output/decision.json").read_text())
    assert decision == artifact.decision.model_dump(mode="json", exclude={"budget"})
    comparisons = json.loads((tmp_path / "first/output/comparisons.json").read_text())
    assert [c["reference"] for c in comparisons["baselines"]] == ["base", "empty"]
    assert comparisons["retention"][0]["task"] == "old"
    lineage = json.loads((tmp_path / "first/output/lineage.json").read_text())
    assert lineage["data"]["fingerprint"] == inputs.data.ref.fingerprint
    assert sorted(lineage["evaluations"]) == [
        "baseline.base",
        "baseline.empty",
        "model.seed-0",
        "retention_after.old",
        "retention_before.old",
    ]


def test_forgetting_is_refused(tmp_path: Path) -> None:
    inputs = passing_inputs(tmp_path)
    forgot = evaluation(tmp_path / "forgot", [1] * 20 + [0] * 180, data_digest="old")
    artifact = register(tmp_path / "work", inputs.model_copy(update={"retention_after": {"old": forgot}}))
    assert artifact.decision.verdict == "refused"
    assert artifact.decision.better_than_baseline
    loss = condition(artifact, "retention.old")
    # 150 of 200 right before, 20 after.
    assert loss.estimate == pytest.approx(-0.65, abs=1e-12)
    assert not loss.passed


def test_a_task_without_a_margin_is_compared_and_decides_nothing(tmp_path: Path) -> None:
    """The task of `test_forgetting_is_refused`: 150 of 200 right before, 20 after."""
    inputs = passing_inputs(tmp_path)
    forgot = evaluation(tmp_path / "forgot", [1] * 20 + [0] * 180, data_digest="old")
    exact = MetricSpec(name="exact_match")
    tasks = (RetentionSpec(name="old", metric=exact, margin=0.05), RetentionSpec(name="arc", metric=exact, margin=None))
    both = inputs.model_copy(
        update={
            "retention_before": {**inputs.retention_before, "arc": inputs.retention_before["old"]},
            "retention_after": {**inputs.retention_after, "arc": forgot},
        }
    )
    artifact = register(tmp_path / "work", both, config(retention=tasks))
    assert artifact.decision.verdict == "promoted"
    assert [found.task for found in artifact.retention_comparisons] == ["old", "arc"]
    assert artifact.retention_comparisons[1].difference == pytest.approx(-0.65, abs=1e-12)
    assert not [found for found in artifact.decision.conditions if "arc" in found.name]


def test_a_quantized_variant_is_held_against_the_merged_model(tmp_path: Path) -> None:
    inputs = passing_inputs(tmp_path)
    tuned = [1] * 80 + [0] * 20 + [1] * 90 + [0] * 10
    worse = [0] * 30 + tuned[30:]
    inputs = inputs.model_copy(
        update={
            "variants": {"merged": variant(tmp_path, "merged"), "w4a16": variant(tmp_path, "w4a16")},
            "variant_evaluations": {
                "merged": evaluation(tmp_path / "merged", tuned),
                "w4a16": evaluation(tmp_path / "w4a16", worse),
            },
        }
    )
    artifact = register(tmp_path / "work", inputs, config(served_variant="w4a16"))
    pairs = [(c.candidate, c.reference) for c in artifact.variant_comparisons]
    assert pairs == [("merged", "seed-0"), ("w4a16", "merged")]
    assert condition(artifact, "variant.merged").passed
    assert not condition(artifact, "variant.w4a16").passed
    # What is served has 140 of 200 right: still better than the base's 100, below the target of 0.8.
    assert condition(artifact, "gain.w4a16").estimate == pytest.approx(0.2, abs=1e-12)
    assert not condition(artifact, "target.exact_match.w4a16").passed
    assert condition(artifact, "target.exact_match").passed


def test_a_variant_without_evaluation_fails_closed(tmp_path: Path) -> None:
    inputs = passing_inputs(tmp_path).model_copy(update={"variants": {"merged": variant(tmp_path, "merged")}})
    artifact = register(tmp_path / "work", inputs, config(served_variant="merged"))
    failed = [c.name for c in artifact.decision.conditions if not c.passed]
    assert failed == ["gain.merged", "target.exact_match.merged", "variant.merged"]


@pytest.mark.parametrize(("changed", "held"), [(None, True), ("Yes", False)])
def test_a_merge_that_gives_the_very_answers_passes_on_few_items(
    tmp_path: Path, changed: str | None, held: bool
) -> None:
    """20 items cannot show a margin of 0.02; the same letters in every answer can, a score that is the same cannot."""
    scores = [1] * 15 + [0] * 5
    said = ["yes" if score else "no" for score in scores]
    merged = [changed or said[0], *said[1:]]
    inputs = passing_inputs(tmp_path).model_copy(
        update={
            "evaluations": {"seed-0": evaluation(tmp_path / "few", scores, predictions=said)},
            "baselines": {"base": evaluation(tmp_path / "few-base", [0] * 20)},
            "variants": {"merged": variant(tmp_path, "merged"), "w4a16": variant(tmp_path, "w4a16")},
            "variant_evaluations": {
                "merged": evaluation(tmp_path / "merged", scores, predictions=merged),
                "w4a16": evaluation(tmp_path / "w4a16", scores, predictions=merged),
            },
        }
    )
    artifact = register(tmp_path / "work", inputs, config(margins={"merged": 0.02, "w4a16": 0.02}))
    assert condition(artifact, "variant.merged").passed is held
    quantized = condition(artifact, "variant.w4a16")
    assert not quantized.passed
    assert "20 items cannot show this; at least 149 would" in quantized.text


def test_items_that_are_all_near_duplicates_are_a_refusal_with_its_reason(tmp_path: Path) -> None:
    one = [3] * 20
    inputs = passing_inputs(tmp_path).model_copy(
        update={
            "evaluations": {"seed-0": evaluation(tmp_path / "near", [1] * 20, clusters=one)},
            "baselines": {"base": evaluation(tmp_path / "near-base", [0] * 20, clusters=one)},
            "variants": {"w4a16": variant(tmp_path, "w4a16")},
            "variant_evaluations": {"w4a16": evaluation(tmp_path / "near-w4a16", [1] * 20, clusters=one)},
        }
    )
    artifact = register(tmp_path / "work", inputs)
    assert [c.name for c in artifact.decision.conditions if not c.passed] == ["gain", "variant.w4a16"]
    assert "one independent item shows nothing" in condition(artifact, "gain").text
    assert "20 items in 1 cluster of related ones cannot show this" in condition(artifact, "variant.w4a16").text


def test_a_base_that_never_did_its_task_is_no_proof_of_retention(tmp_path: Path) -> None:
    before = evaluation(tmp_path / "low", [1] * 3 + [0] * 197, data_digest="old")
    after = evaluation(tmp_path / "lower", [0] * 200, data_digest="old")
    inputs = passing_inputs(tmp_path).model_copy(
        update={"retention_before": {"old": before}, "retention_after": {"old": after}}
    )
    artifact = register(tmp_path / "work", inputs)
    assert [c.name for c in artifact.decision.conditions if not c.passed] == ["retention.old"]
    assert "too low to show a loss of 5.0 points" in condition(artifact, "retention.old").text


def test_baselines_that_were_told_nothing_are_named(tmp_path: Path) -> None:
    subjects = {"base": BaseSubject(), "told": BaseSubject(instruction="Do it."), "tfidf": TfidfSubject()}
    baselines = {
        name: evaluation(tmp_path / "asked" / name, [0] * 200, subject=subject) for name, subject in subjects.items()
    }
    artifact = register(tmp_path / "work", passing_inputs(tmp_path).model_copy(update={"baselines": baselines}))
    assert "beyond the rows themselves: base;" in condition(artifact, "gain").text


@pytest.mark.parametrize(
    ("mismatches", "answers", "failed"),
    [(None, 0, "parity.prompts"), (3, 0, "parity.prompts"), (0, 3, "parity.answers")],
)
def test_parity_decides(tmp_path: Path, mismatches: int | None, answers: int, failed: str) -> None:
    served = serve(tmp_path, mismatches=mismatches, answers=answers)
    inputs = passing_inputs(tmp_path).model_copy(update={"serve": served})
    artifact = register(tmp_path / "work", inputs, config(max_answer_mismatches=2))
    assert [c.name for c in artifact.decision.conditions if not c.passed] == [failed]


def test_seeds_are_spread(tmp_path: Path) -> None:
    inputs = passing_inputs(tmp_path)
    second = evaluation(tmp_path / "second", [1] * 160 + [0] * 40)
    inputs = inputs.model_copy(
        update={
            "models": {**inputs.models, "seed-1": model(tmp_path, 1)},
            "evaluations": {**inputs.evaluations, "seed-1": second},
        }
    )
    artifact = register(tmp_path / "work", inputs)
    # 0.85 and 0.80: mean 0.825, standard deviation 0.05 / sqrt(2).
    assert artifact.seeds.mean == pytest.approx(0.825, abs=1e-12)
    assert artifact.seeds.standard_deviation == pytest.approx(0.05 / 2**0.5, abs=1e-12)
    assert condition(artifact, "seeds").passed


def test_a_seed_that_was_not_trained_cannot_be_shipped(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="seed-7 is to be shipped"):
        register(tmp_path / "work", passing_inputs(tmp_path), config(shipped_seed=7))


def test_baselines_on_other_items_are_refused(tmp_path: Path) -> None:
    inputs = passing_inputs(tmp_path)
    other = evaluation(tmp_path / "other", [0] * 200, data_digest="older")
    with pytest.raises(IntegrityError, match="split digest"):
        register(tmp_path / "work", inputs.model_copy(update={"baselines": {"base": other}}))


def test_what_a_run_cost_decides_and_is_no_part_of_the_content(tmp_path: Path) -> None:
    inputs = passing_inputs(tmp_path)

    def kept(name: str, used: float) -> tuple[str, RegisterArtifact]:
        use = BudgetUse(limit="constraints.max_hours", allowed=1.0, used=used)
        artifact = register(tmp_path / name, inputs, config().model_copy(update={"budget": (use,)}))
        described = canonical_digest(canonical(artifact))
        return content_digest(list_files(tmp_path / name / "output")) + described, artifact

    (first, cheap), (second, dearer), (_, dear) = kept("first", 0.2), kept("second", 0.3), kept("third", 1.1)
    assert first == second
    assert [artifact.decision.budget[0].estimate for artifact in (cheap, dearer, dear)] == [0.2, 0.3, 1.1]
    assert [artifact.decision.verdict for artifact in (cheap, dearer, dear)] == ["promoted", "promoted", "refused"]


def test_contamination_is_that_of_the_items_that_were_evaluated(tmp_path: Path) -> None:
    """Of 460 test rows 56 nearly repeat a training row (12.2%); the first 60 were evaluated, 56 of them are those."""
    near = [True] * 56 + [False] * 4
    inputs = passing_inputs(tmp_path)
    made = inputs.data.artifact.model_copy(update={"rows": {"train": 300, "test": 460}, "near_train_test_rows": 56})
    inputs = inputs.model_copy(
        update={
            "data": stored("data", inputs.data.path, made),
            "evaluations": {"seed-0": evaluation(tmp_path / "first", [1] * 58 + [0] * 2, near=near)},
            "baselines": {"base": evaluation(tmp_path / "first-base", [0] * 60, name="base", near=near)},
        }
    )
    strict = config(gate=GateOptions(resamples=2000, max_contamination=0.15))
    found = condition(register(tmp_path / "run", inputs, strict), "contamination")
    assert (found.n, found.estimate, found.passed) == (60, 56 / 60, False)
    assert found.text.startswith(
        "93.3% of 60 evaluated test rows repeat or nearly repeat a training row; at most 15.0%"
    )
