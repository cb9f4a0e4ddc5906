"""What measures them: baselines, tuned models, variants, the base's own tasks, probes of bias, and the judge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.evaluate.instruction import default_instruction
from pipeline.flow.parts import (
    Finished,
    call,
    retention_data,
    served_evaluation,
    served_model,
    served_variant,
)
from schemas.artifacts import StageCall, Stored
from schemas.base import ArtifactRef
from schemas.base_model import BaseModelRef
from schemas.bias import BiasConfig, CounterfactualProbe
from schemas.evaluate import (
    BaseSubject,
    EvaluateConfig,
    GenerationConfig,
    HarnessConfig,
    MetricSpec,
    ModelSubject,
    Subject,
    TfidfSubject,
)
from schemas.judge import JudgeConfig, JudgeOptions
from schemas.optimize import only_vllm
from schemas.resolved import ResolvedProbe, ResolvedRun


def baselines(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """What the tuned model must beat, before anything is trained."""
    if "data" not in finished:
        return
    data = finished["data"].ref
    asked, instruction = run.spec.evaluate.baselines, _instruction(run, finished)
    if run.base.weights is not None and finished["data"].artifact.kind != "text":
        if asked.base:
            subject = BaseSubject(instruction=None if run.spec.ranks else instruction)
            yield _evaluation(run, "evaluate.baseline-base", subject, data, base=run.base)
        if asked.few_shot and not run.spec.ranks:
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


def _instruction(run: ResolvedRun, finished: Finished) -> str | None:
    """Return what the untuned base is told of the task."""
    labels = finished["data"].artifact.labels
    return run.spec.evaluate.baselines.instruction or default_instruction(run.spec.description, labels)


def retention_before(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """What the base does on its own tasks."""
    if run.base.weights is None:
        return
    for task in run.retention:
        data = retention_data(task, finished)
        if data is not None or task.harness is not None:
            call_id, metrics = f"evaluate.retention-{task.name}-before", (task.metric,)
            yield _evaluation(run, call_id, BaseSubject(), data, base=run.base, metrics=metrics, harness=task.harness)


def evaluations(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """The model of each seed, as soon as it is there."""
    for seed in run.spec.train.seeds:
        trained = finished.get(f"train.seed-{seed}")
        if trained is not None and finished["data"].artifact.kind != "text":
            yield _evaluation(
                run, f"evaluate.seed-{seed}", ModelSubject(), finished["data"].ref, model=trained.ref, base=base_of(run)
            )


def variant_evaluations(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """Each variant, on the same items."""
    for variant in run.spec.variants:
        made = finished.get(f"optimize.{variant.name}")
        if made is not None:
            call_id = f"evaluate.variant-{variant.name}"
            data = finished["data"].ref
            yield _evaluation(run, call_id, ModelSubject(), data, model=made.ref, by_vllm=variant.only_vllm)


def retention_after(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """What is served must still do what the base did, so that form is measured."""
    model = served_model(run, finished)
    if model is None or run.base.weights is None:
        return
    for task in run.retention:
        data = retention_data(task, finished)
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


def bias_before(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """What the base says to probes of bias and safety."""
    if run.base.weights is None:
        return
    for probe in run.bias:
        if not _asks_items(probe):
            config = _probing(run, probe, BaseSubject(), run.spec.evaluate.generation)
            yield call(f"bias.{probe.probe.name}-before", "bias", config)
        elif "data" in finished:
            config = _probing(
                run, probe, BaseSubject(instruction=_instruction(run, finished)), run.spec.evaluate.generation
            )
            yield call(f"bias.{probe.probe.name}-before", "bias", config, data=finished["data"].ref)


def bias_after(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """What is served is asked the same, in that form."""
    model = served_model(run, finished)
    if model is None:
        return
    generation = run.spec.evaluate.generation
    told = _by_vllm(generation) if only_vllm(model.artifact) else generation
    for probe in run.bias:
        config = _probing(run, probe, ModelSubject(), told)
        data = finished["data"].ref if _asks_items(probe) else None
        yield call(f"bias.{probe.probe.name}-after", "bias", config, model=model.ref, data=data)


def _asks_items(probe: ResolvedProbe) -> bool:
    """Tell whether a probe asks the run's own test items."""
    return isinstance(probe.probe, CounterfactualProbe)


def _probing(
    run: ResolvedRun, probe: ResolvedProbe, subject: BaseSubject | ModelSubject, generation: GenerationConfig
) -> BiasConfig:
    return BiasConfig(
        subject=subject,
        base=base_of(run),
        probe=probe.probe,
        files=probe.files,
        metric=run.metrics[0] if _asks_items(probe) else None,
        generation=generation,
        chat_template=run.spec.train.chat_template if isinstance(subject, BaseSubject) else None,
        seed=run.spec.evaluate.seed,
    )


def judgements(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """What is served against the best baseline, and against the champion; the judge itself against people."""
    asked = run.spec.evaluate.judge
    if asked is None or run.judge is None or (text := finished.get("data")) is None or text.artifact.kind == "text":
        return
    gate = run.spec.gate
    options = {name: getattr(asked, name) for name in JudgeOptions.model_fields}
    common = JudgeConfig(**options, template=run.judge.template, alpha=gate.alpha, resamples=gate.resamples)
    if run.judge.labels is not None:
        yield call("judge.labels", "judge", common.model_copy(update={"labels": run.judge.labels}))
    served, baselines = served_evaluation(run, finished), _finished_baselines(run, finished)
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
            yield call(call_id, "judge", config, candidate=served.ref, baseline=baselines[name].ref)


def _finished_baselines(run: ResolvedRun, finished: Finished) -> dict[str, Stored[Any]]:
    """Return every baseline by name; none before all of them are there."""
    wanted = [call.id for call in baselines(run, finished)]
    if any(call_id not in finished for call_id in wanted):
        return {}
    return {call_id.removeprefix("evaluate.baseline-"): finished[call_id] for call_id in wanted}


def base_of(run: ResolvedRun) -> BaseModelRef | None:
    """Return the base that an adapter needs, None where the base had no weights."""
    return run.base if run.base.weights is not None else None


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
        measures=evaluate.measures if metrics is None else (),
        generation=_by_vllm(evaluate.generation) if by_vllm else evaluate.generation,
        chat_template=run.spec.train.chat_template if isinstance(subject, BaseSubject) else None,
        max_items=evaluate.max_items if harness is None else None,
        harness=harness,
        ranks=run.spec.ranks,
        seed=evaluate.seed,
    )
    return call(call_id, "evaluate", config, data=data, model=model)


def _by_vllm(generation: GenerationConfig) -> GenerationConfig:
    """Return the same generation by vLLM; a dtype that was chosen for another backend does not hold there."""
    if generation.backend == "vllm":
        return generation
    return generation.model_copy(update={"backend": "vllm", "dtype": "auto"})
