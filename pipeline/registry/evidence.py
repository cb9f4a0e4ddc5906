"""Evidence: from stored evaluations to the numbers that the gate looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.registry.comparisons import best_baseline, compare_items, lower_bound
from pipeline.registry.gate import Candidate, Contamination, Evidence
from pipeline.registry.items import Items, read_items, read_near_train
from pipeline.registry.losses import Loss
from pipeline.registry.probes import probe_comparisons
from pipeline.registry.protected import Protected, protect
from schemas.artifacts import Stored
from schemas.evaluate import BaseSubject, EndpointSubject, EvaluateArtifact, RetentionSpec
from schemas.methods import METHODS
from schemas.register import Comparison, RegisterConfig, RegisterInputs, SeedSpread

UNMERGED = ("adapter", "model")
"""Names under which the trained model itself is served."""


def count_comparisons(config: RegisterConfig, inputs: RegisterInputs) -> int:
    """Return how often `gather` will call ``advance``."""
    return len(inputs.baselines) + len(inputs.variants) + len(config.retention)


def gather(config: RegisterConfig, inputs: RegisterInputs, shipped: str, advance: Callable[[int], None]) -> Evidence:
    """Compare the shipped model with every baseline, each variant with its parent, each retention task with before.

    Raises:
        IntegrityError: two sides hold different items, or a metric was not scored.
    """
    metric = config.primary_metric
    model = read_items(shipped, inputs.evaluations[shipped], metric)
    comparisons = []
    for name, evaluation in sorted(inputs.baselines.items()):
        comparisons.append(compare_items(model, read_items(name, evaluation, metric), metric, config.gate))
        advance(1)
    variants = []
    for name in sorted(inputs.variants):
        variants.append(_variant_loss(config, inputs, name, model))
        advance(1)
    retention, reported = [], []
    for spec in config.retention:
        if spec.margin is not None:
            retention.append(_retention_loss(config, inputs, spec, spec.margin, shipped))
        elif (sides := _retention_sides(config, inputs, spec, shipped)) is not None:
            reported.append(compare_items(*sides, spec.metric.name, config.gate, task=spec.name))
        advance(1)
    return Evidence(
        target=config.target,
        gate=config.gate,
        baselines=tuple(comparisons),
        uninstructed=_uninstructed(inputs.baselines),
        candidates=_candidates(config, inputs, shipped, comparisons),
        protected=_protected(config, inputs, shipped, best_baseline(comparisons)),
        contamination=_contamination(inputs, shipped),
        retention=tuple(retention),
        reported=tuple(reported),
        retention_waived=config.retention_waived,
        variants=tuple(variants),
        serve=inputs.serve.artifact if inputs.serve is not None else None,
        max_answer_mismatches=config.max_answer_mismatches,
        probes=tuple(probe_comparisons(inputs.bias, _served_name(config, inputs, shipped), config.gate)),
        bias={name: probed.artifact for name, probed in sorted(inputs.bias.items())},
        judgements=tuple(judged.artifact for _, judged in sorted(inputs.judgements.items())),
        seeds=_seed_spread(config, inputs.evaluations),
        budget=config.budget,
        answers=not METHODS[inputs.models[shipped].artifact.method].scores,
    )


def _candidates(
    config: RegisterConfig,
    inputs: RegisterInputs,
    shipped: str,
    comparisons: Sequence[Comparison],
) -> tuple[Candidate, ...]:
    """Return the shipped model, and the served variant if it is another: what takes traffic has to show the gain."""
    best = best_baseline(comparisons)
    first = Candidate(shipped, inputs.evaluations[shipped].artifact.scores, best)
    served = config.served_variant
    if served in UNMERGED:
        return (first,)
    evaluation = inputs.variant_evaluations.get(served)
    if evaluation is None:
        return (first, Candidate(served, {}, None))
    gain = None
    if best is not None:
        metric = config.primary_metric
        reference = read_items(best.reference, inputs.baselines[best.reference], metric)
        gain = compare_items(read_items(served, evaluation, metric), reference, metric, config.gate)
    return (first, Candidate(served, evaluation.artifact.scores, gain))


def _protected(
    config: RegisterConfig, inputs: RegisterInputs, shipped: str, best: Comparison | None
) -> tuple[Protected, ...]:
    if best is None:
        return ()
    served = inputs.variant_evaluations.get(config.served_variant)
    model = (shipped, inputs.evaluations[shipped]) if served is None else (config.served_variant, served)
    return protect(config.gate, config.primary_metric, model, (best.reference, inputs.baselines[best.reference]))


def _contamination(inputs: RegisterInputs, shipped: str) -> Contamination:
    """Count among the rows that were evaluated: ``evaluate.max_items`` may have taken the contaminated ones."""
    data, near = inputs.data.artifact, read_near_train(shipped, inputs.evaluations[shipped])
    whole = len(near) == data.rows.get("test", 0)
    return Contamination(len(near), data.leaked.get("test", 0) if whole else None, sum(near))


def _uninstructed(baselines: Mapping[str, Stored[EvaluateArtifact]]) -> tuple[str, ...]:
    """Return the language models among the baselines that were given no instruction."""
    subjects = {name: evaluation.artifact.subject for name, evaluation in sorted(baselines.items())}
    return tuple(
        name
        for name, subject in subjects.items()
        if isinstance(subject, (BaseSubject, EndpointSubject)) and not subject.instruction
    )


def _variant_loss(config: RegisterConfig, inputs: RegisterInputs, name: str, model: Items) -> Loss:
    """Measure a variant against its parent: a quantized one against the merged model if that was evaluated."""
    made = inputs.variants[name].artifact
    margin, metric = config.margins[name], config.primary_metric
    evaluation = inputs.variant_evaluations.get(name)
    if evaluation is None:
        return Loss(name, margin, None, None)
    items = read_items(name, evaluation, metric)
    merged = made.variant.scheme == "merged"
    parent = model if merged else _merged_items(config, inputs) or model
    return Loss(
        name=name,
        margin=margin,
        comparison=compare_items(items, parent, metric, config.gate),
        low=lower_bound(items, parent, metric, margin, config.gate),
        merge_difference=made.logit_difference if merged and items.predictions == parent.predictions else None,
    )


def _merged_items(config: RegisterConfig, inputs: RegisterInputs) -> Items | None:
    for name in sorted(inputs.variants):
        evaluation = inputs.variant_evaluations.get(name)
        if inputs.variants[name].artifact.variant.scheme == "merged" and evaluation is not None:
            return read_items(name, evaluation, config.primary_metric)
    return None


def _retention_loss(
    config: RegisterConfig, inputs: RegisterInputs, spec: RetentionSpec, margin: float, shipped: str
) -> Loss:
    sides, metric = _retention_sides(config, inputs, spec, shipped), spec.metric.name
    if sides is None:
        return Loss(spec.name, margin, None, None)
    return Loss(
        name=spec.name,
        margin=margin,
        comparison=compare_items(*sides, metric, config.gate, task=spec.name),
        low=lower_bound(*sides, metric, margin, config.gate),
        base_low=inputs.retention_before[spec.name].artifact.scores[metric].low,
    )


def _retention_sides(
    config: RegisterConfig, inputs: RegisterInputs, spec: RetentionSpec, shipped: str
) -> tuple[Items, Items] | None:
    """Return what is served and the base on a retention task, None where one of them was not measured."""
    before, after = inputs.retention_before.get(spec.name), inputs.retention_after.get(spec.name)
    if before is None or after is None:
        return None
    served = _served_name(config, inputs, shipped)
    return read_items(served, after, spec.metric.name), read_items("base", before, spec.metric.name)


def _served_name(config: RegisterConfig, inputs: RegisterInputs, shipped: str) -> str:
    return config.served_variant if config.served_variant in inputs.variants else shipped


def _seed_spread(config: RegisterConfig, evaluations: Mapping[str, Stored[EvaluateArtifact]]) -> SeedSpread:
    from pipeline.statistics import summarize_seeds

    values = {
        name: evaluation.artifact.scores[config.primary_metric].value
        for name, evaluation in sorted(evaluations.items())
    }
    summary = summarize_seeds(list(values.values()), alpha=config.gate.alpha)
    return SeedSpread(
        values=values, mean=summary.mean, standard_deviation=summary.std, low=summary.low, high=summary.high
    )
