"""The first steps: the plan, then the data that it was made for."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.flow.parts import (
    Finished,
    call,
    decided,
    retention_data,
    served_variant,
)
from pipeline.resolve import data_options
from schemas.artifacts import StageCall
from schemas.base import ArtifactRef
from schemas.data import DataConfig
from schemas.plan import GateWishes, PlanArtifact, PlanConfig
from schemas.preflight import PreflightConfig
from schemas.render import RenderConfig, RenderOptions
from schemas.resolved import ResolvedRun
from schemas.retention import Replay


def plan(run: ResolvedRun, _finished: Finished) -> Iterator[StageCall]:
    """The plan needs nothing but the description."""
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
        evaluations=1 + len(spec.train.seeds) + len(spec.variants) + 2 * (len(run.retention) + len(run.bias)),
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
    yield call("plan", "plan", config)


def data(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """The data, and those of the base's own tasks, once the plan says how long a row may be."""
    if "plan" not in finished:
        return
    trained = _trained(run, finished)
    if trained is not None:
        render = None
        if run.base.weights is not None:
            render = RenderConfig(
                tokenizer=run.base.weights,
                options=_render_options(run),
                max_length=decided(finished).max_length,
            )
        options = data_options(run.spec.data)
        config = DataConfig(files=run.data, options=options, render=render, preflight=_preflight(run, finished))
        yield call("data", "data", config, trained=trained)
    for task in run.retention:
        if task.files is not None:
            yield call(f"data.retention-{task.name}", "data", DataConfig(files=task.files, options=task.options))


def _trained(run: ResolvedRun, finished: Finished) -> dict[str, ArtifactRef] | None:
    """Return the other data that the model learns from, so that the run's own tells which of it is held out.

    None while data to be replayed are not there.
    """
    trained = dict(run.trained)
    if not any(isinstance(method, Replay) for method in run.spec.train.retention):
        return trained
    for task in run.retention:
        replayed = retention_data(task, finished)
        if replayed is None and task.harness is None:
            return None
        if replayed is not None and replayed not in trained.values():
            trained[task.name] = replayed
    return trained


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
