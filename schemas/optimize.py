"""The optimize stage: one variant of a trained model, reloaded, measured, and still the same model."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import NotFingerprinted, RelativePath, Schema, Slug
from schemas.data import DataArtifact
from schemas.train import BaseModelRef, TrainArtifact

VariantBackend = Literal["merge", "llmcompressor"]
Scheme = Literal["merged", "FP8_DYNAMIC", "W4A16", "W8A8"]

PRESETS: dict[str, dict[str, Any]] = {
    "merged": {"backend": "merge", "scheme": "merged"},
    "fp8_dynamic": {"backend": "llmcompressor", "scheme": "FP8_DYNAMIC"},
    "w4a16": {"backend": "llmcompressor", "scheme": "W4A16"},
    "w8a8": {"backend": "llmcompressor", "scheme": "W8A8"},
}
"""Variants that a spec may name by one word."""


class Variant(Schema):
    """One form of the model, as it is made.

    ``calibration_samples`` training rows are rendered and shown to a calibrated quantizer; ``group_size`` applies
    to W4A16. What it is called changes nothing in it.
    """

    name: Annotated[Slug, NotFingerprinted()]
    backend: VariantBackend
    scheme: Scheme
    calibration_samples: Annotated[int, Field(gt=0)] = 128
    group_size: Annotated[int, Field(gt=0)] = 128

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in PRESETS:
                raise ValueError(f"unknown variant {value!r}; known: {', '.join(PRESETS)}")
            return {"name": value, **PRESETS[value]}
        if isinstance(value, dict) and "name" not in value and "scheme" in value:
            return {"name": str(value["scheme"]).lower(), **value}
        return value

    @model_validator(mode="after")
    def _scheme_fits(self) -> Self:
        if (self.backend == "merge") != (self.scheme == "merged"):
            raise ValueError(f"backend {self.backend} does not make scheme {self.scheme}")
        return self


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
    vllm_dtype: Literal["float32", "bfloat16", "float16"] | None
    template_digest: str


OptimizeInputs.model_rebuild()
