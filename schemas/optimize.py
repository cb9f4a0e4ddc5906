"""The optimize stage: one variant of a trained model, reloaded, measured, and still the same model."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import NotFingerprinted, RelativePath, Schema, Slug
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.schemes import Dtype, Scheme, VariantBackend, made_by
from schemas.train import TrainArtifact

SUCCESSORS: dict[VariantBackend, str] = {"auto_gptq": "gptqmodel", "autoawq": "llm-compressor"}
"""Backends that are archived upstream, and what succeeds them.

transformers 5 loads what they write only with gptqmodel, which is none of hone's packages; vLLM loads it as it is.
"""

PRESETS: dict[str, dict[str, Any]] = {
    "merged": {"backend": "merge", "scheme": "merged"},
    "fp8_dynamic": {"backend": "llmcompressor", "scheme": "FP8_DYNAMIC"},
    "w4a16": {"backend": "llmcompressor", "scheme": "W4A16"},
    "w8a8": {"backend": "llmcompressor", "scheme": "W8A8"},
    "fp8": {"backend": "llmcompressor", "scheme": "FP8"},
    "w8a16": {"backend": "llmcompressor", "scheme": "W8A16"},
    "nvfp4": {"backend": "llmcompressor", "scheme": "NVFP4"},
    "mxfp4": {"backend": "llmcompressor", "scheme": "MXFP4"},
    "gptq-4bit": {"backend": "auto_gptq", "bits": 4},
    "awq-4bit": {"backend": "autoawq", "bits": 4},
}
"""Variants that a spec may name by one word."""


def _completed(given: dict[str, Any]) -> dict[str, Any]:
    """Return a variant as it was written with what follows from it: scheme, bits and name."""
    variant = dict(given)
    backend = str(variant.get("backend"))
    made = {name: schemes for name in get_args(VariantBackend) if len(schemes := made_by(name)) == 1}
    if backend in made:
        variant.setdefault("scheme", made[backend][0])
    if backend in SUCCESSORS:
        variant.setdefault("bits", 4)
    if "name" not in variant and "scheme" in variant:
        bits = f"-{variant['bits']}bit" if variant.get("bits") is not None else ""
        variant["name"] = f"{variant['scheme']}{bits}".lower()
    return variant


class Variant(Schema):
    """One form of the model, as it is made.

    ``calibration_samples`` training rows are rendered and shown to a calibrated quantizer; ``group_size`` applies
    to W8A16, W4A16, GPTQ and AWQ, ``bits`` to the last two (4 if left out). What it is called changes nothing in it.
    """

    name: Annotated[Slug, NotFingerprinted()]
    backend: VariantBackend
    scheme: Scheme
    calibration_samples: Annotated[int, Field(gt=0)] = 128
    group_size: Annotated[int, Field(gt=0)] = 128
    bits: Literal[4] | None = None

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in PRESETS:
                raise ValueError(f"unknown variant {value!r}; known: {', '.join(PRESETS)}")
            value = {"name": value, **PRESETS[value]}
        return _completed(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _scheme_fits(self) -> Self:
        made = made_by(self.backend)
        if self.scheme not in made:
            raise ValueError(f"backend {self.backend} does not make scheme {self.scheme}; it makes {', '.join(made)}")
        if self.bits is not None and self.backend not in SUCCESSORS:
            raise ValueError(f"bits: the scheme {self.scheme} says how many; remove the key")
        return self

    @property
    def only_vllm(self) -> bool:
        """Whether vLLM alone loads it: it is then evaluated and served by vLLM, whatever the run says elsewhere."""
        return self.backend in SUCCESSORS


class VariantSpec(Variant):
    """An entry of `variants:`, written as a preset's name, or as an object with a ``backend``.

    ``non_inferiority_margin`` is the most that the primary metric may lose against the parent.
    """

    name: Slug
    non_inferiority_margin: Annotated[float, Field(ge=0.0, le=1.0)] = 0.02

    def made(self) -> Variant:
        """Return what the optimize stage needs to know."""
        return Variant.model_validate({name: getattr(self, name) for name in Variant.model_fields})


class OptimizeConfig(Schema):
    """Config of the optimize stage. ``logit_tolerance`` bounds |adapter - merged| logits, relative to their largest."""

    variant: Variant
    base: BaseModelRef
    max_length: Annotated[int, Field(gt=0)] = 1024
    chat_template: str | None = None
    logit_tolerance: Annotated[float, Field(gt=0.0)] = 1e-3
    seed: int = 0


class OptimizeInputs(Inputs):
    """``parent`` is the trained model for a merge, the merged model for a quantizer.

    ``data`` gives calibration rows.
    """

    parent: Stored[TrainArtifact] | Stored[OptimizeArtifact]
    data: Stored[DataArtifact]


class OptimizeArtifact(Artifact):
    """What the optimize stage leaves: ``model/``, plain Hugging Face files with tokenizer and template.

    ``logit_difference`` is the largest absolute difference of logits to the parent over the probe prompts, divided
    by the parent's largest absolute logit. ``vllm_dtype`` is the dtype in which vLLM's CPU build loads it, null
    where it does not.
    """

    variant: Variant
    model: RelativePath = "model"
    size_bytes: int
    parent_size_bytes: int
    weight_bytes_per_parameter: float
    logit_difference: float
    reloaded: bool
    tied_embeddings: bool
    calibration_rows: int
    vllm_dtype: Dtype | None
    template_digest: str


def only_vllm(artifact: Artifact) -> bool:
    """Return whether vLLM alone loads the model of a stage's artifact."""
    return isinstance(artifact, OptimizeArtifact) and artifact.variant.only_vllm


OptimizeInputs.model_rebuild()
