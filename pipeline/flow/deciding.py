"""The last steps: the model is tried as it will be served, and the gate decides."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.flow.parts import (
    Finished,
    call,
    refs,
    served_evaluation,
    served_model,
    served_variant,
    shipped_seed,
)
from schemas.artifacts import StageCall
from schemas.evaluate import (
    RetentionSpec,
)
from schemas.register import RegisterConfig
from schemas.resolved import ResolvedRun
from schemas.serve import ServeConfig


def serve(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """The served form is tried once its evaluation is there to compare with."""
    if run.spec.serve is False:
        return
    model, evaluation = served_model(run, finished), served_evaluation(run, finished)
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
    yield call("serve", "serve", config, model=model.ref, data=finished["data"].ref, evaluation=evaluation.ref)


def register(run: ResolvedRun, finished: Finished) -> Iterator[StageCall]:
    """The gate decides once every seed, variant and server has been measured."""
    seed = shipped_seed(run, finished)
    if seed is None:
        return
    evaluations = refs(finished, "evaluate.seed-")
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
    yield call(
        "register",
        "register",
        config,
        plan=finished["plan"].ref,
        data=finished["data"].ref,
        models={f"seed-{n}": finished[f"train.seed-{n}"].ref for n in run.spec.train.seeds},
        evaluations={f"seed-{name}": ref for name, ref in evaluations.items()},
        baselines=refs(finished, "evaluate.baseline-"),
        variants={v.name: finished[f"optimize.{v.name}"].ref for v in run.spec.variants},
        variant_evaluations=refs(finished, "evaluate.variant-"),
        retention_before=refs(finished, "evaluate.retention-", "-before"),
        retention_after=refs(finished, "evaluate.retention-", "-after"),
        judgements=refs(finished, "judge."),
        bias=refs(finished, "bias."),
        serve=finished["serve"].ref if "serve" in finished else None,
    )


def _retention_waived(run: ResolvedRun) -> str | None:
    if run.retention_waived is not None:
        return run.retention_waived
    if run.base.weights is None:
        return "the base had no weights: there was nothing to forget"
    if run.spec.ranks:
        return "a reward model answers nothing: there is nothing to forget"
    return None
