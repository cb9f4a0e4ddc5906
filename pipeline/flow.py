"""Which stage calls come next: a pure function of what is asked and what is finished, the same for every runner.

Call ids: ``plan``; ``data``, ``data.retention-<task>``; ``evaluate.baseline-<kind>``; ``train.seed-<n>``;
``evaluate.seed-<n>``; ``evaluate.retention-<task>-before|after``; ``optimize.<variant>``;
``evaluate.variant-<variant>``; ``judge.labels``, ``judge.best-baseline``, ``judge.champion``; ``serve``; ``register``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.evaluate.instruction import default_instruction
from pipeline.resolve import data_options
from schemas.artifacts import InputRefs, StageCall, Stored
from schemas.base import ArtifactRef, Schema, StageName
from schemas.data import DataConfig
from schemas.evaluate import (
    BaseSubject,
    EvaluateConfig,
    GenerationConfig,
    HarnessConfig,
    MetricSpec,
    ModelSubject,
    RetentionSpec,
    Subject,
    TfidfSubject,
)
from schemas.judge import JudgeConfig, JudgeOptions
from schemas.optimize import OptimizeConfig, VariantSpec, only_vllm
from schemas.plan import GateWishes, PlanArtifact, PlanConfig
from schemas.preflight import PreflightConfig
from schemas.register import RegisterConfig
from schemas.render import RenderConfig, RenderOptions
from schemas.resolved import ResolvedRetention, ResolvedRun
from schemas.run import TRAINED
from schemas.serve import ServeConfig
from schemas.train import BaseModelRef, LoraOptions, LoraSettings, TrainArtifact, TrainConfig, TrainOptions, TrainSpec

Finished = Mapping[str, Stored[Any]]
"""Finished artifacts by call id."""


def next_calls(run: ResolvedRun, finished: Finished) -> list[StageCall]:
    """Return every call that can be made now and is not finished; empty when the run is done.

    The order is the one in which a runner with one worker should make them.
    """
    return [call for step in _STEPS for call in step(run, finished) if call.id not in finished]


def _call(
    call_id: str, stage: StageName, config: Schema, **inputs: ArtifactRef | dict[str, ArtifactRef] | None
) -> StageCall:
    given: InputRefs = {name: refs for name, refs in inputs.items() if refs is not None}
    return StageCall(id=call_id, stage=stage, config=config.model_dump(mode="json"), inputs=given)


def _plan(run: ResolvedRun, _finished: Finished) -> Iterator[StageCall]:
    spec = run.spec
    config = PlanConfig(
        task=spec.task,
        base=run.base,
        files=run.data,
        data=data_options(spec.data),
        train=spec.train,
        variants={variant.name: variant.scheme for variant in spec.variants},
        served=served_variant(run) if spec.serve is not False else None,
        quantizers=tuple(sorted({variant.backend for variant in spec.variants if variant.only_vllm})),
        evaluations=1 + len(spec.train.seeds) + len(spec.variants) + 2 * len(run.retention),
        constraints=spec.constraints,
        target=spec.evaluate.target,
        primary_metric=run.metrics[0].name,
        max_items=spec.evaluate.max_items,
        alpha=spec.gate.alpha,
        gate=GateWishes(
            minimum_gain=spec.gate.minimum_gain,
            require_target=spec.gate.require_target,
            margins={variant.name: variant.non_inferiority_margin for variant in spec.variants},
        ),
    )
    yield _call("plan", "plan", config)


def _data(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    if "plan" not in finished:
        return
    render = None
    if run.base.weights is not None:
        render = RenderConfig(
            tokenizer=run.base.weights,
            options=_render_options(run),
            max_length=_decided(finished).max_length,
        )
    config = DataConfig(
        files=run.data, options=data_options(run.spec.data), render=render, preflight=_preflight(run, finished)
    )
    yield _call("data", "data", config)
    for task in run.retention:
        if task.files is not None:
            yield _call(f"data.retention-{task.name}", "data", DataConfig(files=task.files, options=task.options))


def _preflight(run: ResolvedRun, finished: Finished) -> PreflightConfig:
    plan, asked, spec = finished["plan"].artifact, run.spec.preflight, run.spec
    assert isinstance(plan, PlanArtifact)
    served = spec.serve is not False and spec.serve.engine == "vllm" and served_variant(run) == "adapter"
    rows = plan.power.rows_for_target if plan.power.gate is None else plan.power.gate.rows_for_gain
    return PreflightConfig(
        ignore=asked.ignore,
        languages=asked.languages,
        benchmarks=run.benchmarks,
        rows_for_gain=rows,
        max_items=spec.evaluate.max_items,
        unservable=plan.unservable if served else (),
    )


def _render_options(run: ResolvedRun) -> RenderOptions:
    return RenderOptions.model_validate({name: getattr(run.spec.train, name) for name in RenderOptions.model_fields})


def _decided(finished: Finished) -> Any:
    artifact = finished["plan"].artifact
    assert isinstance(artifact, PlanArtifact)
    return artifact.decisions


def _retention_data(task: ResolvedRetention, finished: Finished) -> ArtifactRef | None:
    if task.artifact is not None:
        return task.artifact
    stored = finished.get(f"data.retention-{task.name}")
    return None if stored is None else stored.ref


def _evaluation(
    run: ResolvedRun,
    call_id: str,
    subject: Subject,
    data: ArtifactRef | None,
    *,
    model: ArtifactRef | None = None,
    base: BaseModelRef | None = None,
    metrics: tuple[MetricSpec, ...] | None = None,
    harness: HarnessConfig | None = None,
    by_vllm: bool = False,
) -> StageCall:
    evaluate = run.spec.evaluate
    config = EvaluateConfig(
        subject=subject,
        base=base,
        metrics=metrics or run.metrics,
        generation=_by_vllm(evaluate.generation) if by_vllm else evaluate.generation,
        chat_template=run.spec.train.chat_template if isinstance(subject, BaseSubject) else None,
        max_items=evaluate.max_items if harness is None else None,
        harness=harness,
        seed=evaluate.seed,
    )
    return _call(call_id, "evaluate", config, data=data, model=model)


def _by_vllm(generation: GenerationConfig) -> GenerationConfig:
    """Return the same generation by vLLM; a dtype that was chosen for another backend does not hold there."""
    if generation.backend == "vllm":
        return generation
    return generation.model_copy(update={"backend": "vllm", "dtype": "auto"})


def _baselines(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    if "data" not in finished:
        return
    data, labels = finished["data"].ref, finished["data"].artifact.labels
    asked = run.spec.evaluate.baselines
    instruction = asked.instruction or default_instruction(run.spec.description, labels)
    if run.base.weights is not None and finished["data"].artifact.kind != "text":
        if asked.base:
            subject = BaseSubject(instruction=instruction)
            yield _evaluation(run, "evaluate.baseline-base", subject, data, base=run.base)
        if asked.few_shot:
            shots = BaseSubject(instruction=instruction, few_shot=asked.few_shot)
            yield _evaluation(run, "evaluate.baseline-few-shot", shots, data, base=run.base)
    if run.champion is not None:
        champion = run.champion
        yield _evaluation(
            run,
            "evaluate.baseline-champion",
            ModelSubject(),
            data,
            model=champion.model,
            base=champion.base,
            by_vllm=champion.only_vllm,
        )
    if run.asks_tfidf:
        yield _evaluation(run, "evaluate.baseline-tfidf", TfidfSubject(), data)
    if asked.endpoint is not None:
        told = {"instruction": asked.endpoint.instruction or instruction}
        yield _evaluation(run, "evaluate.baseline-endpoint", asked.endpoint.model_copy(update=told), data)


def _retention_before(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    if run.base.weights is None:
        return
    for task in run.retention:
        data = _retention_data(task, finished)
        if data is not None or task.harness is not None:
            call_id, metrics = f"evaluate.retention-{task.name}-before", (task.metric,)
            yield _evaluation(run, call_id, BaseSubject(), data, base=run.base, metrics=metrics, harness=task.harness)


def _train(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    replay: dict[str, ArtifactRef] | None = None
    if run.spec.train.reads_base_rows:
        found = {task.name: _retention_data(task, finished) for task in run.retention if task.harness is None}
        replay = {name: ref for name, ref in found.items() if ref is not None}
        if len(replay) < len(found):
            return
    if "plan" not in finished or "data" not in finished:
        return
    for seed in run.spec.train.seeds:
        config = train_config(run, finished["plan"].artifact, seed)
        yield _call(f"train.seed-{seed}", "train", config, data=finished["data"].ref, replay=replay)


def train_config(run: ResolvedRun, plan: PlanArtifact, seed: int) -> TrainConfig:
    """Return what the train stage is called with: the spec's values, and the plan's where the spec has none."""
    spec, decided = run.spec.train, plan.decisions
    options = {name: getattr(spec, name) for name in TrainOptions.model_fields}
    return TrainConfig(
        **options,
        base=run.base,
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
    if spec.adapter == "full" or plan.decisions.lora_r is None or plan.decisions.lora_alpha is None:
        return None
    options = {name: getattr(spec.lora, name) for name in LoraOptions.model_fields}
    return LoraSettings(**options, r=plan.decisions.lora_r, lora_alpha=plan.decisions.lora_alpha)


def shipped_seed(run: ResolvedRun, finished: Finished) -> int | None:
    """Return the seed whose model goes on: the lowest validation loss, the first seed where none was measured.

    None while a seed is still training. The test split has no say in it.
    """
    seeds = run.spec.train.seeds
    if any(f"train.seed-{seed}" not in finished for seed in seeds):
        return None

    def loss(seed: int) -> float:
        artifact = finished[f"train.seed-{seed}"].artifact
        assert isinstance(artifact, TrainArtifact)
        return artifact.eval_loss if artifact.eval_loss is not None else float("inf")

    return min(seeds, key=loss)


def _evaluations(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    for seed in run.spec.train.seeds:
        trained = finished.get(f"train.seed-{seed}")
        if trained is not None and finished["data"].artifact.kind != "text":
            yield _evaluation(
                run, f"evaluate.seed-{seed}", ModelSubject(), finished["data"].ref, model=trained.ref, base=_base(run)
            )


def _base(run: ResolvedRun) -> BaseModelRef | None:
    return run.base if run.base.weights is not None else None


def _served_model(run: ResolvedRun, finished: Finished) -> Stored[Any] | None:
    """Return the artifact of the form that is served, None while it is not there."""
    seed, variant = shipped_seed(run, finished), served_variant(run)
    if seed is None:
        return None
    return finished.get(f"train.seed-{seed}" if variant in TRAINED else f"optimize.{variant}")


def _retention_after(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """What is served must still do what the base did, so that form is measured."""
    model = _served_model(run, finished)
    if model is None or run.base.weights is None:
        return
    for task in run.retention:
        data = _retention_data(task, finished)
        if data is not None or task.harness is not None:
            call_id = f"evaluate.retention-{task.name}-after"
            yield _evaluation(
                run,
                call_id,
                ModelSubject(),
                data,
                model=model.ref,
                base=run.base,
                metrics=(task.metric,),
                by_vllm=only_vllm(model.artifact),
                harness=task.harness,
            )


def _needed_variants(run: ResolvedRun) -> tuple[VariantSpec, ...]:
    """Return the variants to make: quantizers work on the merged model, so it is made where it was not asked for."""
    asked = run.spec.variants
    has_merge = any(variant.backend == "merge" for variant in asked)
    needs_merge = any(variant.backend != "merge" for variant in asked)
    merged = (VariantSpec.model_validate("merged"),) if needs_merge and not has_merge else ()
    return merged + tuple(sorted(asked, key=lambda variant: variant.backend != "merge"))


def _optimize(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
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
            max_length=_decided(finished).max_length,
            chat_template=run.spec.train.chat_template,
            seed=run.spec.evaluate.seed,
        )
        yield _call(f"optimize.{variant.name}", "optimize", config, parent=parent, data=finished["data"].ref)
        if variant.backend == "merge":
            stored = finished.get(f"optimize.{variant.name}")
            merged = None if stored is None else stored.ref


def _variant_evaluations(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    for variant in run.spec.variants:
        made = finished.get(f"optimize.{variant.name}")
        if made is not None:
            call_id = f"evaluate.variant-{variant.name}"
            data = finished["data"].ref
            yield _evaluation(run, call_id, ModelSubject(), data, model=made.ref, by_vllm=variant.only_vllm)


def _judgements(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """What is served against the best baseline, and against the champion; the judge itself against people."""
    asked = run.spec.evaluate.judge
    if asked is None or run.judge is None or (text := finished.get("data")) is None or text.artifact.kind == "text":
        return
    gate = run.spec.gate
    options = {name: getattr(asked, name) for name in JudgeOptions.model_fields}
    common = JudgeConfig(**options, template=run.judge.template, alpha=gate.alpha, resamples=gate.resamples)
    if run.judge.labels is not None:
        yield _call("judge.labels", "judge", common.model_copy(update={"labels": run.judge.labels}))
    served, baselines = _served_evaluation(run, finished), _finished_baselines(run, finished)
    if served is None or not baselines:
        return

    def worst_last(name: str) -> tuple[float, str]:
        score = baselines[name].artifact.scores.get(run.metrics[0].name)
        return (-score.value if score is not None else 1.0, name)

    best = min(baselines, key=worst_last)
    endpoint = run.spec.evaluate.baselines.endpoint
    related = dict.fromkeys((run.base.name, run.spec.name, *([endpoint.model] if endpoint is not None else [])))
    for call_id, name in (("judge.best-baseline", best), ("judge.champion", "champion")):
        if name in baselines:
            told = {"candidate": served_variant(run), "baseline": name, "related": tuple(related)}
            config = common.model_copy(update=told)
            yield _call(call_id, "judge", config, candidate=served.ref, baseline=baselines[name].ref)


def _finished_baselines(run: ResolvedRun, finished: Finished) -> dict[str, Stored[Any]]:
    """Return every baseline by name; none before all of them are there."""
    wanted = [call.id for call in _baselines(run, finished)]
    if any(call_id not in finished for call_id in wanted):
        return {}
    return {call_id.removeprefix("evaluate.baseline-"): finished[call_id] for call_id in wanted}


def _served_evaluation(run: ResolvedRun, finished: Finished) -> Stored[Any] | None:
    """Return the evaluation of the form that is served, None while it is not there."""
    seed, variant = shipped_seed(run, finished), served_variant(run)
    if seed is None:
        return None
    return finished.get(f"evaluate.seed-{seed}" if variant in TRAINED else f"evaluate.variant-{variant}")


def served_variant(run: ResolvedRun) -> str:
    """Return which form is served: as asked, else the merged model, else what training left."""
    asked = run.spec.serve.variant if run.spec.serve is not False else None
    if asked is not None:
        return asked
    if any(variant.backend == "merge" for variant in run.spec.variants):
        return next(variant.name for variant in run.spec.variants if variant.backend == "merge")
    return "model" if run.spec.train.adapter == "full" else "adapter"


def _serve(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    if run.spec.serve is False:
        return
    model, evaluation = _served_model(run, finished), _served_evaluation(run, finished)
    if model is None or evaluation is None:
        return
    config = ServeConfig(
        engine=run.spec.serve.engine,
        options=run.spec.serve.options,
        prompts=run.spec.serve.parity.prompts,
        generation=run.spec.evaluate.generation,
        base=run.base,
        served_model_name=run.spec.name,
    )
    yield _call("serve", "serve", config, model=model.ref, data=finished["data"].ref, evaluation=evaluation.ref)


def _register(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    expected = {call.id for step in _STEPS[:-1] for call in step(run, finished)}
    seed = shipped_seed(run, finished)
    if seed is None or any(call_id not in finished for call_id in expected):
        return
    evaluations = _refs(finished, "evaluate.seed-")
    if not evaluations:
        return
    if run.spec.serve is not False and "serve" not in finished:
        return
    config = RegisterConfig(
        name=run.spec.name,
        spec_digest=run.digest(),
        base=run.base,
        metric=run.metrics[0],
        target=run.spec.evaluate.target,
        gate=run.spec.gate,
        retention=tuple(RetentionSpec(name=t.name, metric=t.metric, margin=t.margin) for t in run.retention),
        retention_waived=_retention_waived(run),
        shipped_seed=seed,
        served_variant=served_variant(run),
        margins={variant.name: variant.non_inferiority_margin for variant in run.spec.variants},
        max_answer_mismatches=run.spec.serve.parity.max_answer_mismatches if run.spec.serve is not False else 0,
    )
    yield _call(
        "register",
        "register",
        config,
        plan=finished["plan"].ref,
        data=finished["data"].ref,
        models={f"seed-{n}": finished[f"train.seed-{n}"].ref for n in run.spec.train.seeds},
        evaluations={f"seed-{name}": ref for name, ref in evaluations.items()},
        baselines=_refs(finished, "evaluate.baseline-"),
        variants={v.name: finished[f"optimize.{v.name}"].ref for v in run.spec.variants},
        variant_evaluations=_refs(finished, "evaluate.variant-"),
        retention_before=_refs(finished, "evaluate.retention-", "-before"),
        retention_after=_refs(finished, "evaluate.retention-", "-after"),
        judgements=_refs(finished, "judge."),
        serve=finished["serve"].ref if "serve" in finished else None,
    )


def _retention_waived(run: ResolvedRun) -> str | None:
    if run.retention_waived is None and run.base.weights is None:
        return "the base had no weights: there was nothing to forget"
    return run.retention_waived


def _refs(finished: Finished, prefix: str, suffix: str = "") -> dict[str, ArtifactRef]:
    """Return artifacts by what stands between ``prefix`` and ``suffix`` in their call ids."""
    return {
        call_id.removeprefix(prefix).removesuffix(suffix): stored.ref
        for call_id, stored in finished.items()
        if call_id.startswith(prefix) and call_id.endswith(suffix)
    }


_STEPS: tuple[Callable[[ResolvedRun, Finished], Iterator[StageCall]], ...] = (
    _plan,
    _data,
    _baselines,
    _retention_before,
    _train,
    _evaluations,
    _optimize,
    _variant_evaluations,
    _retention_after,
    _judgements,
    _serve,
    _register,
)
