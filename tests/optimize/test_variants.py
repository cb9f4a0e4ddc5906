"""Variants as a run describes them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.catalog import CATALOG
from pipeline.core.variants import archived_note
from schemas.base import Reference
from schemas.base_model import BaseModelRef
from schemas.optimize import PRESETS, OptimizeConfig, VariantSpec


@pytest.mark.parametrize(
    ("written", "name", "scheme", "bits"),
    [
        ({"backend": "auto_gptq", "bits": 4}, "gptq-4bit", "GPTQ", 4),
        ({"backend": "autoawq"}, "awq-4bit", "AWQ", 4),
        ({"backend": "autoawq", "name": "small", "group_size": 64}, "small", "AWQ", 4),
        ({"backend": "merge"}, "merged", "merged", None),
        ({"backend": "llmcompressor", "scheme": "W4A16"}, "w4a16", "W4A16", None),
    ],
)
def test_what_follows_from_the_backend_need_not_be_written(
    written: dict[str, Any], name: str, scheme: str, bits: int | None
) -> None:
    variant = VariantSpec.model_validate(written)
    assert (variant.name, variant.scheme, variant.bits) == (name, scheme, bits)
    assert VariantSpec.model_validate(variant.model_dump()) == variant


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_called_as_it_is_written(preset: str) -> None:
    written = PRESETS[preset]
    assert VariantSpec.model_validate(preset) == VariantSpec.model_validate({"name": preset, **written})
    assert VariantSpec.model_validate(written).name == preset


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ({"backend": "auto_gptq", "bits": 3}, "bits"),
        ({"backend": "auto_gptq", "scheme": "AWQ"}, "auto_gptq does not make scheme AWQ; it makes GPTQ"),
        ({"backend": "llmcompressor", "scheme": "GPTQ"}, "it makes FP8_DYNAMIC, FP8, W8A8, W8A16, W4A16, NVFP4"),
        ({"backend": "llmcompressor", "scheme": "W4A16", "bits": 4}, "bits: the scheme W4A16 says how many"),
        ({"backend": "gptq"}, "backend"),
        ("gptq-3bit", "unknown variant 'gptq-3bit'; known: .*gptq-4bit"),
    ],
)
def test_what_no_backend_makes_is_refused(written: Any, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        VariantSpec.model_validate(written)


@pytest.mark.parametrize(
    ("preset", "environment"),
    [("merged", "main"), ("w4a16", "main"), ("gptq-4bit", "optimize-legacy"), ("awq-4bit", "optimize-legacy")],
)
def test_the_environment_follows_from_the_backend(preset: str, environment: str) -> None:
    base = BaseModelRef(name="base", weights=Reference(location="base"))
    config = OptimizeConfig(variant=VariantSpec.model_validate(preset).made(), base=base)
    assert CATALOG["optimize"].environment(config) == (environment, "cpu")


def test_what_is_archived_names_its_successor_and_its_engine() -> None:
    said = archived_note(VariantSpec.model_validate("gptq-4bit"))
    assert said is not None and "auto-gptq, which is archived upstream and succeeded by gptqmodel" in said
    assert "llm-compressor" in (archived_note(VariantSpec.model_validate("awq-4bit")) or "")
    assert archived_note(VariantSpec.model_validate("w4a16")) is None
