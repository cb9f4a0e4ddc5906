"""The optimize stage: make one variant, load it again, measure how far it is from its parent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError
from pipeline.core.models import ModelFiles, model_files
from pipeline.core.variants import archived_note
from pipeline.core.workspace import Workspace
from pipeline.optimize import backends
from pipeline.optimize.carry import carry_tokenizer, copy_model
from pipeline.optimize.check import (
    check_group_size,
    check_merge,
    check_tied,
    linear_widths,
    relative_difference,
    weight_bytes,
)
from pipeline.optimize.rows import calibration_rows, probe_prompts
from pipeline.render import Tokenizer, end_of_turn_ids
from schemas.optimize import OptimizeArtifact, OptimizeConfig, OptimizeInputs
from schemas.render import RenderOptions
from schemas.schemes import SCHEMES


@dataclass(frozen=True)
class _Made:
    difference: float
    parameters: int
    tied: bool
    calibration_rows: int = 0


@dataclass(frozen=True)
class _Job:
    """One call: the parent's files and tokenizer, and where the variant goes."""

    config: OptimizeConfig
    inputs: OptimizeInputs
    context: CallContext
    parent: ModelFiles
    tokenizer: Tokenizer
    target: Path

    @property
    def options(self) -> RenderOptions:
        return RenderOptions(chat_template=self.config.chat_template)

    @property
    def variant_files(self) -> ModelFiles:
        folder = str(self.target)
        return ModelFiles(folder, None, None, folder, self.parent.trust_remote_code)

    def probes(self) -> list[list[int]]:
        return probe_prompts(self.inputs.data, self.tokenizer, self.options, max_length=self.config.max_length)


def run(config: OptimizeConfig, inputs: OptimizeInputs, context: CallContext, workspace: Workspace) -> OptimizeArtifact:
    """Make the variant that ``config`` names from ``inputs.parent``.

    Raises:
        ConfigError: an option does not fit the model, or a quantizer was given an adapter.
        EnvironmentMissing: this environment lacks the quantizer.
        ModelError: the parent does not load, a library does not take it, or the merge is further from the adapter than
            the tolerance.
        IntegrityError: the variant does not load as it was saved.
    """
    parent = model_files(config.base, inputs.parent)
    target = workspace.file("model/config.json").parent
    source = inputs.parent.file(inputs.parent.artifact.model)
    tokenizer = backends.tokenizer(parent.tokenizer, config.variant)
    job = _Job(config, inputs, context, parent, tokenizer, target)
    made = _make(job, source)
    digest = carry_tokenizer(source, target, tokenizer, config.chat_template, config.variant)
    size = weight_bytes(target)
    return OptimizeArtifact(
        variant=config.variant,
        size_bytes=size,
        parent_size_bytes=_parent_bytes(parent, source),
        weight_bytes_per_parameter=size / made.parameters,
        logit_difference=made.difference,
        reloaded=True,  # all that is measured here was measured on the reloaded files
        tied_embeddings=made.tied,
        calibration_rows=made.calibration_rows,
        vllm_dtype=SCHEMES[config.variant.scheme].vllm_dtype,
        template_digest=digest,
    )


def _make(job: _Job, source: Path) -> _Made:
    if job.config.variant.backend != "merge":
        return _quantize(job, source)
    return _copy(job, source) if job.parent.adapter is None else _merge(job)


def _merge(job: _Job) -> _Made:
    """Merge; the tolerance holds for the merge itself, ``difference`` is that of the saved model."""
    with job.context.progress("merge", 1) as advance:
        stop_ids = end_of_turn_ids(job.tokenizer, job.options)
        merge = backends.merge(job.parent, job.target, job.probes(), stop_ids)
        advance(1)
    check_merge(relative_difference(merge.adapter.logits, merge.merged.logits), job.config.logit_tolerance)
    check_tied(merge.merged.tied_embeddings, merge.saved.tied_embeddings)
    if merge.base_tied and not merge.saved.tied_embeddings:
        job.context.warn("the adapter trained input and output embeddings apart; the merged model holds both")
    difference = relative_difference(merge.adapter.logits, merge.saved.logits)
    if difference > job.config.logit_tolerance:
        job.context.warn(
            f"saving the merged model in the base's precision moved its logits by {difference:.1e} of the largest"
        )
    return _Made(difference, merge.saved.parameters, merge.saved.tied_embeddings)


def _copy(job: _Job, source: Path) -> _Made:
    """A model that was trained whole needs no merge: its copy is checked like one."""
    copy_model(source, job.target)
    probes = job.probes()
    parent = backends.measure(job.parent, probes)
    copied = backends.measure(job.variant_files, probes)
    difference = relative_difference(parent.logits, copied.logits)
    check_merge(difference, job.config.logit_tolerance)
    return _Made(difference, copied.parameters, copied.tied_embeddings)


def _quantize(job: _Job, source: Path) -> _Made:
    variant, context = job.config.variant, job.context
    if job.parent.adapter is not None:
        raise ConfigError(
            "a quantizer takes a whole model, this is an adapter",
            where=f"variants.{variant.name}",
            fix="merge it first",
        )
    quantizer = backends.quantizer(variant)
    if quantizer.grouped:
        check_group_size(variant, linear_widths(source))
    rows: list[list[int]] = []
    if quantizer.passes:
        rows = calibration_rows(
            job.inputs.data,
            job.tokenizer,
            job.options,
            count=variant.calibration_samples,
            max_length=job.config.max_length,
            seed=job.config.seed,
        )
        if len(rows) < variant.calibration_samples:
            context.warn(f"{variant.name}: {len(rows)} rows calibrate it, {variant.calibration_samples} were asked for")
    if note := archived_note(variant):
        context.warn(note)
    probes = job.probes()
    parent = quantizer.measure(job.parent, probes)
    steps = quantizer.passes * len(rows) * quantizer.layers(job.parent)
    with context.progress(f"quantize {variant.name}", steps + 1) as advance:
        quantizer.run(job.parent, job.target, rows, advance)
        advance(1)
    made = quantizer.measure(job.variant_files, probes)
    check_tied(parent.tied_embeddings, made.tied_embeddings)
    difference = relative_difference(parent.logits, made.logits)
    return _Made(difference, parent.parameters, made.tied_embeddings, len(rows))


def _parent_bytes(parent: ModelFiles, source: Path) -> int:
    """Return the size of the parent's weight files; an adapter needs its base as well."""
    size = weight_bytes(source)
    if parent.adapter is None:
        return size
    return size + weight_bytes(backends.weights_folder(parent))
