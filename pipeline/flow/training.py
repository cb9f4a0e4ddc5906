"""What makes models: training, one call for each seed, and variants of the model that goes on."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.flow.parts import (
    Finished,
    call,
    decided,
    retention_data,
    shipped_seed,
)
from schemas.adapters import LORAS
from schemas.artifacts import StageCall
from schemas.base import ArtifactRef
from schemas.lora import LoraOptions, LoraSettings
from schemas.optimize import OptimizeConfig, VariantSpec
from schemas.plan import PlanArtifact
from schemas.resolved import ResolvedRun
from schemas.train import TrainConfig, TrainOptions, TrainSpec


def train(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """One training for each seed, once its rows are there."""
    replay: dict[str, ArtifactRef] | None = None
    if run.spec.train.reads_base_rows:
        found = {task.name: retention_data(task, finished) for task in run.retention if task.harness is None}
        replay = {name: ref for name, ref in found.items() if ref is not None}
        if len(replay) < len(found):
            return
    if "plan" not in finished or "data" not in finished:
        return
    for seed in run.spec.train.seeds:
        config = train_config(run, finished["plan"].artifact, seed)
        yield call(f"train.seed-{seed}", "train", config, data=finished["data"].ref, replay=replay)


def train_config(run: ResolvedRun, plan: PlanArtifact, seed: int) -> TrainConfig:
    """Return what the train stage is called with: the spec's values, and the plan's where the spec has none."""
    spec, decided = run.spec.train, plan.decisions
    options = {name: getattr(spec, name) for name in TrainOptions.model_fields}
    options["rewards"] = run.rewards
    return TrainConfig(
        **options,
        base=run.base,
        teacher=run.teacher,
        lora=_lora(spec, plan),
        learning_rate=decided.learning_rate,
        num_train_epochs=decided.num_train_epochs,
        per_device_train_batch_size=decided.per_device_train_batch_size,
        gradient_accumulation_steps=decided.gradient_accumulation_steps,
        max_length=decided.max_length,
        seed=seed,
        ignore=run.spec.preflight.ignore,
    )


def _lora(spec: TrainSpec, plan: PlanArtifact) -> LoraSettings | None:
    if spec.adapter not in LORAS or plan.decisions.lora_r is None or plan.decisions.lora_alpha is None:
        return None
    options = {name: getattr(spec.lora, name) for name in LoraOptions.model_fields}
    return LoraSettings(**options, r=plan.decisions.lora_r, lora_alpha=plan.decisions.lora_alpha)


def optimize(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """The variants of the model that goes on; quantizers wait for the merged model."""
    seed = shipped_seed(run, finished)
    if seed is None:
        return
    trained = finished[f"train.seed-{seed}"]
    merged: ArtifactRef | None = None
    for variant in _needed_variants(run):
        parent = trained.ref if variant.backend == "merge" else merged
        if parent is None:
            return
        config = OptimizeConfig(
            variant=variant.made(),
            base=run.base,
            max_length=decided(finished).max_length,
            chat_template=run.spec.train.chat_template,
            seed=run.spec.evaluate.seed,
        )
        yield call(f"optimize.{variant.name}", "optimize", config, parent=parent, data=finished["data"].ref)
        if variant.backend == "merge":
            stored = finished.get(f"optimize.{variant.name}")
            merged = None if stored is None else stored.ref


def _needed_variants(run: ResolvedRun) -> tuple[VariantSpec, ...]:
    """Return the variants to make: quantizers work on the merged model, so it is made where it was not asked for."""
    asked = run.spec.variants
    has_merge = any(variant.backend == "merge" for variant in asked)
    needs_merge = any(variant.backend != "merge" for variant in asked)
    merged = (VariantSpec.model_validate("merged"),) if needs_merge and not has_merge else ()
    return merged + tuple(sorted(asked, key=lambda variant: variant.backend != "merge"))
