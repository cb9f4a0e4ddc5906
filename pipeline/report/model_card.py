"""The model card of one form of a version: Hugging Face metadata, what was measured, how it was made, its limits.

Metadata follow the Hub's model card specification (https://github.com/huggingface/hub-docs/blob/main/modelcard.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.numbers import p_value, percent, points
from pipeline.core.variants import LOADERS
from pipeline.core.yaml_text import load_yaml
from pipeline.report import bias, limits, measures
from pipeline.report.conditions import outcome_text
from pipeline.report.configuration import shown
from pipeline.report.evidence import score_cells
from pipeline.report.helm import TITLE, helm_blocks, helm_runs
from pipeline.report.human import human_blocks, human_evaluations
from pipeline.report.judged import judged_blocks
from pipeline.report.page import Table
from pipeline.report.report_markdown import block_lines, plain, table_lines
from pipeline.report.types import Registration
from pipeline.report.version import VersionRecord, hub_base
from pipeline.report.wording import difference_range, level
from schemas.evaluate import EvaluateArtifact
from schemas.optimize import Variant
from schemas.register import Comparison

_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LOADING = {
    "adapter": """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained({base!r}{revision})
model = PeftModel.from_pretrained(base, {folder!r})
tokenizer = AutoTokenizer.from_pretrained({folder!r})""",
    "model": """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({folder!r})
tokenizer = AutoTokenizer.from_pretrained({folder!r})""",
}


def model_card(version: VersionRecord, variant: str, registration: Registration | None = None) -> str:
    """Return the card (``README.md``) of a form of a version.

    Raises:
        ConfigError: there is no such form.
        IntegrityError: the version's manifests are damaged.
    """
    version.check_variant(variant)
    evaluation = version.evaluation(variant)
    parts = [
        *_front_matter(version, variant, evaluation),
        f"# {version.register.artifact.name}: {variant}",
        "",
        *_opening(version, variant, registration or Registration()),
        *_decision(version, registration or Registration()),
        *_scores(version, evaluation),
        *_other_scores(version, variant),
        *_bias(version),
        *_judged(version),
        *_human(version),
        *_helm(version),
        *_limits(version, variant),
        *_making(version),
        *_use(version, variant),
    ]
    return "\n".join(parts) + "\n"


def base_license(folder: Path) -> str | None:
    """Return the license that a base's own card states, None where it states none."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
        found = _FRONT_MATTER.match(text)
        metadata = load_yaml(found.group(1)) if found else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    license_ = metadata.get("license") if isinstance(metadata, dict) else None
    return license_ if isinstance(license_, str) else None


def _front_matter(version: VersionRecord, variant: str, evaluation: EvaluateArtifact | None) -> Iterator[str]:
    weights, on_hub = version.base.weights, hub_base(version.base)
    adapter = variant == "adapter"
    made = _made(version, variant)
    quantized = made is not None and made.backend != "merge"
    tags = ["hone", version.model.artifact.method, *(["lora"] if version.own_variant == "adapter" else [])]
    if made is not None and made.bits is not None:
        tags += [made.scheme.lower(), f"{made.bits}-bit"]
    metadata: dict[str, Any] = {
        "license": base_license(Path(weights.location)) if weights is not None and on_hub is None else None,
        "base_model": on_hub[0] if on_hub is not None else None,
        "base_model_relation": ("adapter" if adapter else "quantized" if quantized else "finetune") if on_hub else None,
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": tags,
        "datasets": [version.hub_data_set()] if version.hub_data_set() is not None else None,
        "model-index": [_results(version, variant, evaluation)] if evaluation is not None else None,
    }
    given = {key: value for key, value in metadata.items() if value is not None}
    yield from ("---", yaml.safe_dump(given, sort_keys=False, allow_unicode=True).rstrip(), "---", "")


def _made(version: VersionRecord, variant: str) -> Variant | None:
    """Return how a form was made; None for what training left."""
    return version.variants[variant].artifact.variant if variant in version.variants else None


def _results(version: VersionRecord, variant: str, evaluation: EvaluateArtifact) -> dict[str, Any]:
    name = version.register.artifact.name
    data_set = version.hub_data_set()
    result = {
        "task": {"type": "text-generation"},
        "dataset": {"type": data_set or name, "name": data_set or name, "split": evaluation.split},
        "metrics": [
            {"type": metric, "value": score.value, "name": f"{metric} (n = {score.n})"}
            for metric, score in evaluation.scores.items()
        ],
    }
    return {"name": name, "results": [result, *map(_task_result, _other_tasks(version, variant))]}


def _other_tasks(version: VersionRecord, variant: str) -> tuple[Comparison, ...]:
    """Return the tasks beside the run's own, which are measured on the form that is served."""
    decided = version.register.artifact
    served = decided.served_variant if decided.served_variant in version.variants else version.own_variant
    return decided.retention_comparisons if variant == served else ()


def _task_result(compared: Comparison) -> dict[str, Any]:
    named = f"{compared.metric} (n = {compared.n})"
    return {
        "task": {"type": "text-generation"},
        "dataset": {"type": compared.task, "name": compared.task},
        "metrics": [{"type": compared.metric, "value": compared.candidate_value, "name": named}],
    }


def _opening(version: VersionRecord, variant: str, registration: Registration) -> Iterator[str]:
    description = version.register.config().get("description")
    if description:
        yield from (plain(description), "")
    aliases = f", {' and '.join(registration.aliases)} now" if registration.aliases else ""
    named = f"Version {plain(registration.version)}{plain(aliases)}. " if registration.version is not None else ""
    yield f"{named}Form: {plain(variant)}. Base model: {plain(shown(version.base.name))}."
    if hub_base(version.base) is None and version.base.weights is not None:
        license_ = base_license(Path(version.base.weights.location))
        said = f"is {plain(license_)}" if license_ is not None else "was not stated in its files"
        yield f"The base's license {said}; it holds for this model too."
    elif hub_base(version.base) is not None:
        yield "The license of the base holds for this model too; the base's page on the Hub states it."
    yield ""


def _decision(version: VersionRecord, registration: Registration) -> Iterator[str]:
    decision = version.register.artifact.decision
    yield from ("## Decision of the gate", "")
    yield (
        f"**{decision.verdict.capitalize()}.** "
        + (
            "Better than the best baseline"
            if decision.better_than_baseline
            else "Not shown to be better than the best baseline"
        )
        + (
            "; no target was set."
            if decision.target_reached is None
            else f"; the target is {'reached' if decision.target_reached else 'not reached'}."
        )
    )
    yield ""
    for note in registration.overrides:
        yield from (f"**Overridden by a person** ({note.time}), with this reason: {plain(note.reason)}", "")
    for condition in decision.all_conditions:
        yield f"- {plain(condition.name)}, {outcome_text(condition)}: {plain(condition.text)}"
    yield ""


def _scores(version: VersionRecord, evaluation: EvaluateArtifact | None) -> Iterator[str]:
    yield from ("## Evaluation", "")
    if evaluation is None:
        yield from ("This form was not evaluated.", "")
        return
    yield from (f"On the {evaluation.split} split, {evaluation.n:,} items that training never saw:", "")
    numeric = ("Score", "95% interval", "n")
    rows = tuple((metric, *score_cells(score)) for metric, score in evaluation.scores.items())
    yield from (*table_lines(Table("", ("Metric", *numeric), rows, frozenset(numeric))), "")
    if evaluation.measures:
        told = tuple((name, *measures.measure_cells(name, score)) for name, score in evaluation.measures.items())
        yield from (*table_lines(Table("", ("Measure", "Value", *numeric[1:]), told, frozenset(numeric[1:]))), "")
    gain = version.gain
    if gain is not None:
        gate = version.register.config().get("gate", {})
        yield (
            f"The trained model against the best baseline, {plain(gain.reference)}, on the same items: "
            f"{plain(gain.metric)} {percent(gain.reference_value)} to {percent(gain.candidate_value)}, "
            f"{points(gain.difference)}, {level(gate.get('alpha', 0.05))} interval {difference_range(gain)} "
            f"({gain.test}, {plain(p_value(gain.p_value))}, n = {gain.n:,})."
        )
        yield ""


def _other_scores(version: VersionRecord, variant: str) -> Iterator[str]:
    """Tell how the tasks beside the run's own went with the base and with this form, on the same items."""
    compared = _other_tasks(version, variant)
    if not compared:
        return
    numeric = ("Base", "This model", "Difference", "Interval", "n")
    rows = tuple(
        (
            found.task or "",
            found.metric,
            percent(found.reference_value),
            percent(found.candidate_value),
            points(found.difference),
            difference_range(found),
            f"{found.n:,}",
        )
        for found in compared
    )
    yield from ("On other tasks, the same items asked of the base and of this model:", "")
    yield from (*table_lines(Table("", ("Task", "Metric", *numeric), rows, frozenset(numeric))), "")


def _bias(version: VersionRecord) -> Iterator[str]:
    """What probes found in the base and in the form that is served."""
    decided = version.register.artifact
    if decided.bias:
        alpha = version.register.config().get("gate", {}).get("alpha", 0.05)
        blocks = bias.bias_blocks(decided.bias, decided.bias_comparisons, alpha, plot=False)
        yield from (f"## {bias.TITLE}", "", *block_lines(blocks))


def _judged(version: VersionRecord) -> Iterator[str]:
    """What a judge said of the form that is served."""
    judgements = version.register.artifact.judgements
    if judgements:
        alpha = version.register.config().get("gate", {}).get("alpha", 0.05)
        yield from ("## What the judge says", "", *block_lines(judged_blocks(judgements, alpha)))


def _human(version: VersionRecord) -> Iterator[str]:
    """What people said of the form that is served, as far as this workspace knows."""
    found = human_evaluations(version.store.root, version.register.ref)
    if found:
        yield from ("## What people say", "", *block_lines(human_blocks(found)))


def _helm(version: VersionRecord) -> Iterator[str]:
    """What HELM measured of this version, as far as this workspace knows."""
    found = helm_runs(version.store.root, version.register.ref)
    if found:
        yield from (f"## {TITLE}", "", *block_lines(helm_blocks(found)))


def _limits(version: VersionRecord, variant: str) -> Iterator[str]:
    decided = version.register.artifact
    tuned = version.evaluation(version.own_variant)
    found = [*limits.seed_limits(len(decided.lineage.models))]
    if tuned is not None:
        found += limits.answer_limits(tuned, decided.primary_metric, version.gain)
    found += limits.data_limits(version.data.artifact)
    found += limits.preflight_limits(version.data.artifact)
    waived = version.register.config().get("retention_waived")
    found += limits.forgetting_limits(waived, bool(decided.retention_comparisons))
    found += limits.bias_limits(bool(decided.bias))
    found += limits.training_limits(version.model.artifact)
    found += limits.serving_limits(version.serve.artifact if version.serve is not None else None)
    found += limits.archived_limits([made] if (made := _made(version, variant)) is not None else [])
    yield from ("## Limits", "", *(f"- {plain(text)}" for text in found), "")


def _kept_change(alpha: float | None) -> list[tuple[str, str]]:
    return [] if alpha is None else [("Part of the change that was kept", f"{alpha:g}")]


def _making(version: VersionRecord) -> Iterator[str]:
    model, lineage = version.model.artifact, version.register.artifact.lineage
    config = {key: value for key, value in version.model.config().items() if key != "base" and value is not None}
    rows = (
        ("Data source digest", lineage.data_source_digest),
        ("Data artifact digest", version.data.manifest.content_digest),
        ("Chat template digest", lineage.template_digest),
        ("Model artifact digest", version.model.manifest.content_digest),
        ("Run description digest", lineage.spec_digest),
        ("hone", version.register.manifest.code_version),
        ("Rows trained", f"{model.rendered.kept:,}"),
        ("Rows replayed from the base's own tasks", f"{sum(model.replay_rows.values()):,}"),
        *(
            [("Part of the change that was kept", f"{model.interpolation:g}")]
            if model.interpolation is not None
            else []
        ),
        ("Tokens trained", f"{model.rendered.trained_tokens:,} of {model.rendered.tokens:,}"),
        ("Weights trained", f"{model.trainable_parameters:,} of {model.parameters:,}"),
        ("Steps", f"{model.steps:,}"),
        *((key, shown(value)) for key, value in sorted(config.items())),
    )
    yield from ("## How it was made", "", *table_lines(Table("", ("", ""), rows)), "")


def _use(version: VersionRecord, variant: str) -> Iterator[str]:
    on_hub = hub_base(version.base)
    revision = f", revision={on_hub[1]!r}" if on_hub is not None else ""
    template = _LOADING["adapter" if variant == "adapter" else "model"]
    code = template.format(base=on_hub[0] if on_hub is not None else "base", revision=revision, folder=".")
    made = _made(version, variant)
    needed = LOADERS.get(made.backend) if made is not None else None
    libraries = "transformers" if needed is None else f"transformers ({needed} installed)"
    yield from ("## Use", "", f"From this folder, with {libraries}:", "", "```python", code, "```", "")
    yield "With vLLM: `docker compose up`, then `sh smoke.sh` sends the request of `smoke_request.json`."
    yield "Conversations are rendered with the chat template in this folder; training and evaluation used the same."
