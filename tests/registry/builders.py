"""Evaluations with chosen item scores, and the other artifacts that a register stage takes, as small as they can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.artifacts import Stored
from schemas.base import Reference
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.evaluate import (
    CLEAN,
    NEAR_TRAIN,
    EvaluateArtifact,
    MetricSpec,
    ModelSubject,
    RetentionSpec,
    Score,
    Subject,
)
from schemas.optimize import OptimizeArtifact, Variant
from schemas.plan import (
    DataProfile,
    MemoryEstimate,
    PlanArtifact,
    PowerEstimate,
    TrainingDecisions,
)
from schemas.register import GateOptions, RegisterConfig, RegisterInputs
from schemas.render import RenderReport
from schemas.serve import ServeArtifact
from schemas.train import TrainArtifact
from tests.support.stored import stored

DIGEST = "a" * 64
BASE = BaseModelRef(name="tiny", weights=Reference(location="base", digest="b" * 64))
REPORT = RenderReport(
    rows=1,
    kept=1,
    dropped_long=0,
    truncated=0,
    tokens=10,
    trained_tokens=5,
    longest=10,
    median_length=10,
    p95_length=10,
    template_digest=DIGEST,
)


def evaluation(
    directory: Path,
    scores: Sequence[float],
    *,
    name: str = "model",
    metric: str = "exact_match",
    clusters: Sequence[int] | None = None,
    ids: Sequence[str] | None = None,
    predictions: Sequence[str] | None = None,
    answers: Sequence[str] | None = None,
    references: Sequence[str] | None = None,
    value: float | None = None,
    data_digest: str = "split",
    half_width: float = 0.02,
    subject: Subject | None = None,
    others: Mapping[str, Sequence[float]] | None = None,
    near: Sequence[bool] | None = None,
) -> Stored[EvaluateArtifact]:
    """Write ``items.parquet`` with these per-item scores and return the stored evaluation.

    ``others``: further metrics; ``near``: which items nearly repeat a training row, so that there are slices.
    """
    import pyarrow as pa
    from pyarrow import parquet

    n = len(scores)
    said = predictions or ["yes" if score else "no" for score in scores]
    columns = {
        "id": list(ids or [f"item-{i}" for i in range(n)]),
        "cluster": list(clusters or range(n)),
        "prediction": list(said),
        "answer": list(answers or said),
        "reference": list(references or ["yes"] * n),
        "near_train": list(near or [False] * n),
        "slices": [[] if near is None else [NEAR_TRAIN if is_near else CLEAN] for is_near in near or [False] * n],
        f"score.{metric}": [float(score) for score in scores],
        **{f"score.{other}": [float(score) for score in theirs] for other, theirs in (others or {}).items()},
    }
    directory.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), directory / "items.parquet")

    def score(values: Sequence[float], mean: float | None = None) -> Score:
        mean = sum(values) / len(values) if mean is None else mean
        return Score(value=mean, low=mean - half_width, high=mean + half_width, n=len(values), method="Wilson")

    artifact = EvaluateArtifact(
        name=name,
        subject=subject or ModelSubject(),
        split="test",
        n=n,
        data_digest=data_digest,
        scores={metric: score(scores, value), **{other: score(theirs) for other, theirs in (others or {}).items()}},
        slices={}
        if near is None
        else {
            part: {metric: score([value for value, is_near in zip(scores, near, strict=True) if is_near == wanted])}
            for part, wanted in ((CLEAN, False), (NEAR_TRAIN, True))
        },
        confusions=(),
        truncated=0,
        prompt_tokens=1,
        completion_tokens=1,
        engine="transformers",
    )
    return stored("evaluate", directory, artifact)


def _folder(directory: Path, name: str) -> Path:
    path = directory / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "name.txt").write_text(name)
    return path


def data(directory: Path) -> Stored[DataArtifact]:
    artifact = DataArtifact(
        kind="conversation",
        read=10,
        rows={"train": 7, "validation": 1, "test": 2},
        dropped=(),
        labels=None,
        personal_data={},
        leaked={},
        near_train_test_rows=0,
        clusters=10,
        encoding={},
        source_digest="source",
        template_digest=DIGEST,
        files={"train": "train.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"},
    )
    return stored("data", _folder(directory, "data"), artifact)


def plan(directory: Path) -> Stored[PlanArtifact]:
    artifact = PlanArtifact(
        decisions=TrainingDecisions(
            method="sft",
            lora_r=8,
            lora_alpha=16,
            learning_rate=1e-3,
            num_train_epochs=1,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=1,
            max_length=64,
        ),
        reasons={},
        profile=DataProfile(rows=10, sampled=10, mean_tokens=5, p95_tokens=9, max_tokens=10, tokens_by="tokenizer"),
        parameters=1,
        trainable_parameters=1,
        training_tokens=50,
        steps=1,
        memory=MemoryEstimate(weights=1, gradients=1, optimizer=1, activations=1, logits=1, total=5),
        hardware=(),
        recommended_gpu=None,
        prices_dated="2026-10-04",
        local_cpu_seconds=1,
        servable_by_vllm=True,
        power=PowerEstimate(
            test_rows=2,
            power=0.8,
            alpha=0.05,
            assumed_baseline=0.5,
            minimum_detectable_gain=0.3,
            rows_for_target=None,
        ),
        warnings=(),
        feasible=True,
    )
    return stored("plan", _folder(directory, "plan"), artifact)


def model(directory: Path, seed: int = 0) -> Stored[TrainArtifact]:
    artifact = TrainArtifact(
        kind="adapter",
        base=BASE,
        method="sft",
        seed=seed,
        parameters=100,
        trainable_parameters=10,
        steps=1,
        epochs=1,
        rendered=REPORT,
        replay_rows={},
        train_loss=1.0,
        eval_loss=None,
        best_step=None,
        stopped_early=False,
        micro_batch=8,
        accumulation=1,
        dtype="float32",
        template_digest=DIGEST,
        tokenizer_digest=DIGEST,
    )
    return stored("train", _folder(directory, f"train-{seed}"), artifact)


def variant(directory: Path, name: str) -> Stored[OptimizeArtifact]:
    artifact = OptimizeArtifact(
        variant=Variant.model_validate(name),
        size_bytes=50,
        parent_size_bytes=100,
        weight_bytes_per_parameter=2.0,
        logit_difference=0.0,
        reloaded=True,
        tied_embeddings=True,
        calibration_rows=0,
        vllm_dtype="float32",
        template_digest=DIGEST,
    )
    return stored("optimize", _folder(directory, f"optimize-{name}"), artifact)


def serve(directory: Path, *, mismatches: int | None = 0, answers: int = 0) -> Stored[ServeArtifact]:
    artifact = ServeArtifact(
        engine="vllm",
        engine_version="0.32.0",
        prompts=50,
        prompt_mismatches=mismatches,
        answer_mismatches=answers,
        smoke_prompt="hello",
        smoke_answer="hi",
        ready_seconds=1.0,
    )
    return stored("serve", _folder(directory, f"serve-{mismatches}-{answers}"), artifact)


def config(**changes: object) -> RegisterConfig:
    """A config with a retention task of margin 0.05 and a target of 0.8; ``changes`` replace fields."""
    values: dict[str, object] = {
        "name": "triage",
        "spec_digest": "c" * 64,
        "base": BASE,
        "metric": MetricSpec(name="exact_match"),
        "target": {"exact_match": 0.8},
        "gate": GateOptions(resamples=2000),
        "retention": (RetentionSpec(name="old", metric=MetricSpec(name="exact_match"), margin=0.05),),
        "retention_waived": None,
        "shipped_seed": 0,
        "served_variant": "adapter",
        "margins": {"merged": 0.05, "w4a16": 0.05},
        **changes,
    }
    return RegisterConfig.model_validate(values)


def passing_inputs(directory: Path) -> RegisterInputs:
    """200 items: 170 right after training, 100 right by the base; 20 lost, 90 won. The old task is kept."""
    tuned = [1] * 80 + [0] * 20 + [1] * 90 + [0] * 10
    base = [1] * 100 + [0] * 100
    kept = [1] * 150 + [0] * 50
    return RegisterInputs(
        plan=plan(directory),
        data=data(directory),
        models={"seed-0": model(directory)},
        evaluations={"seed-0": evaluation(directory / "tuned", tuned)},
        baselines={
            "base": evaluation(directory / "base", base, name="base"),
            "empty": evaluation(directory / "empty", [0] * 200, name="empty"),
        },
        retention_before={"old": evaluation(directory / "before", kept, data_digest="old")},
        retention_after={"old": evaluation(directory / "after", kept, data_digest="old")},
        serve=serve(directory),
    )
