"""The register stage: compare, decide, trace; nothing is measured here that an evaluation did not leave."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.context import CallContext
from pipeline.core.errors import IntegrityError
from pipeline.core.workspace import Workspace, write_record
from pipeline.registry.evidence import count_comparisons, gather
from pipeline.registry.gate import decide
from pipeline.registry.items import check_same_split
from pipeline.registry.lineage import trace
from pipeline.registry.losses import Loss
from pipeline.registry.protected import Protected
from schemas.register import Comparison, RegisterArtifact, RegisterConfig, RegisterInputs


def run(config: RegisterConfig, inputs: RegisterInputs, context: CallContext, workspace: Workspace) -> RegisterArtifact:
    """Compare the shipped model with every baseline, variants with their parents, retention before and after; decide.

    Raises:
        IntegrityError: evaluations were not made on the same items, or a file does not hold what its artifact states.
    """
    shipped = f"seed-{config.shipped_seed}"
    _check_inputs(inputs, shipped)
    with context.progress("comparing", count_comparisons(config, inputs)) as advance:
        evidence = gather(config, inputs, shipped, advance)
    artifact = RegisterArtifact(
        name=config.name,
        base=config.base,
        metric=config.metric,
        target=config.target,
        shipped=shipped,
        served_variant=config.served_variant,
        decision=decide(evidence),
        baseline_comparisons=evidence.baselines,
        variant_comparisons=_measured(evidence.variants),
        retention_comparisons=(*_measured(evidence.retention), *evidence.reported),
        protected_comparisons=_measured(evidence.protected),
        bias_comparisons=evidence.probes,
        bias={name: probed.artifact for name, probed in sorted(inputs.bias.items())},
        judgements={name: judged.artifact for name, judged in sorted(inputs.judgements.items())},
        seeds=evidence.seeds,
        lineage=trace(config, inputs, shipped),
    )
    _write(artifact, workspace)
    return artifact


def _check_inputs(inputs: RegisterInputs, shipped: str) -> None:
    for what, members in (("models", inputs.models), ("evaluations", inputs.evaluations)):
        if shipped not in members:
            raise IntegrityError(
                f"{shipped} is to be shipped, but {what} hold {', '.join(sorted(members)) or 'nothing'}",
                where=what,
                fix="ship one of the seeds that were trained",
            )
    check_same_split({**inputs.evaluations, **inputs.baselines, **inputs.variant_evaluations})
    for name in sorted(inputs.retention_before.keys() & inputs.retention_after.keys()):
        check_same_split(
            {
                f"{name} before": inputs.retention_before[name],
                f"{name} after": inputs.retention_after[name],
            }
        )


def _measured(found: Iterable[Loss | Protected]) -> tuple[Comparison, ...]:
    return tuple(each.comparison for each in found if each.comparison is not None)


def _write(artifact: RegisterArtifact, workspace: Workspace) -> None:
    write_record(workspace.file("decision.json"), artifact.decision.model_dump(mode="json", exclude={"budget"}))
    write_record(
        workspace.file("comparisons.json"),
        {
            "baselines": [comparison.model_dump(mode="json") for comparison in artifact.baseline_comparisons],
            "variants": [comparison.model_dump(mode="json") for comparison in artifact.variant_comparisons],
            "retention": [comparison.model_dump(mode="json") for comparison in artifact.retention_comparisons],
            "protected": [comparison.model_dump(mode="json") for comparison in artifact.protected_comparisons],
            "judgements": {name: judged.model_dump(mode="json") for name, judged in artifact.judgements.items()},
            "probes": [comparison.model_dump(mode="json") for comparison in artifact.bias_comparisons],
            "bias": {name: probed.model_dump(mode="json") for name, probed in artifact.bias.items()},
            "seeds": artifact.seeds.model_dump(mode="json"),
        },
    )
    write_record(workspace.file("lineage.json"), artifact.lineage.model_dump(mode="json"))
