"""Lineage: from the data's digest to the decision, every artifact that a version came from."""

from __future__ import annotations

from schemas.artifacts import Stored
from schemas.base import ArtifactRef, Digest
from schemas.evaluate import EvaluateArtifact
from schemas.register import Lineage, RegisterConfig, RegisterInputs


def trace(config: RegisterConfig, inputs: RegisterInputs, shipped: str) -> Lineage:
    """Return the lineage. Evaluations are named ``model.seed-0``, ``baseline.base`` ..."""
    groups: dict[str, dict[str, Stored[EvaluateArtifact]]] = {
        "model": inputs.evaluations,
        "baseline": inputs.baselines,
        "variant": inputs.variant_evaluations,
        "retention_before": inputs.retention_before,
        "retention_after": inputs.retention_after,
    }
    evaluations: dict[str, ArtifactRef] = {
        f"{group}.{name}": evaluation.ref
        for group, members in groups.items()
        for name, evaluation in sorted(members.items())
    }
    return Lineage(
        data=inputs.data.ref,
        data_source_digest=inputs.data.artifact.source_digest,
        template_digest=inputs.models[shipped].artifact.template_digest,
        models={name: model.ref for name, model in sorted(inputs.models.items())},
        variants={name: variant.ref for name, variant in sorted(inputs.variants.items())},
        evaluations=evaluations,
        judgements={name: judged.ref for name, judged in sorted(inputs.judgements.items())},
        bias={name: probed.ref for name, probed in sorted(inputs.bias.items())},
        serve=inputs.serve.ref if inputs.serve is not None else None,
        contents=_contents(inputs),
        spec_digest=config.spec_digest,
    )


def _contents(inputs: RegisterInputs) -> dict[Digest, Digest]:
    found: dict[Digest, Digest] = {}
    for name in type(inputs).model_fields:
        value = getattr(inputs, name)
        for item in value.values() if isinstance(value, dict) else (value,):
            if isinstance(item, Stored):
                found[item.ref.fingerprint] = item.content_digest
    return dict(sorted(found.items()))
