"""What must hold for a variant, on values worked out by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import ConfigError, IntegrityError, ModelError
from pipeline.optimize.check import (
    check_group_size,
    check_merge,
    check_tied,
    linear_widths,
    relative_difference,
    weight_bytes,
)
from schemas.optimize import VariantSpec


def test_the_difference_is_the_largest_over_all_probes_by_the_parents_largest() -> None:
    """Largest parent logit |-4|; differences 0.5 and 1.0: 1.0 / 4 = 0.25."""
    parent = [np.array([[1.0, -4.0]]), np.array([[2.0, 2.0]])]
    other = [np.array([[1.5, -4.0]]), np.array([[2.0, 1.0]])]
    assert relative_difference(parent, other) == 0.25


def test_equal_logits_differ_by_nothing() -> None:
    zeros = [np.zeros((2, 3))]
    assert relative_difference(zeros, zeros) == 0.0


@pytest.mark.parametrize("broken", [np.array([[np.nan, 1.0]]), np.array([[np.inf, 1.0]])])
def test_logits_that_are_no_numbers_are_refused(broken: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(ModelError, match="NaN or infinite"):
        relative_difference([np.ones((1, 2))], [broken])


def test_another_vocabulary_is_refused() -> None:
    with pytest.raises(ModelError, match="another vocabulary"):
        relative_difference([np.ones((1, 2))], [np.ones((1, 3))])


def test_the_tolerance_is_inclusive() -> None:
    check_merge(1e-3, 1e-3)
    with pytest.raises(ModelError, match=r"1\.10e-03 of the largest, more than 1\.00e-03"):
        check_merge(1.1e-3, 1e-3)


def test_embeddings_stay_as_they_were() -> None:
    check_tied(True, True)
    with pytest.raises(IntegrityError, match="the parent's embeddings are tied"):
        check_tied(True, False)


def _safetensors(path: Path, shapes: dict[str, list[int]]) -> None:
    table = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **table}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def test_the_widths_are_those_of_linear_layers_over_all_shards(tmp_path: Path) -> None:
    _safetensors(
        tmp_path / "model-00001-of-00002.safetensors",
        {"model.embed_tokens.weight": [100, 96], "model.layers.0.self_attn.q_proj.weight": [64, 96]},
    )
    _safetensors(
        tmp_path / "model-00002-of-00002.safetensors",
        {"model.layers.0.mlp.down_proj.weight": [96, 240], "model.norm.weight": [96], "lm_head.weight": [100, 96]},
    )
    assert linear_widths(tmp_path) == {"model.layers.0.self_attn.q_proj": 96, "model.layers.0.mlp.down_proj": 240}
    assert weight_bytes(tmp_path) == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\xff" * 16)
    with pytest.raises(IntegrityError) as caught:
        linear_widths(tmp_path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("widths", "fix"),
    [
        # gcd(96, 240) = 48: of the multiples of 16 up to 48, 16 and 48 divide it
        ({"q_proj": 96, "down_proj": 240}, "give one of 16, 48"),
        ({"q_proj": 40, "down_proj": 40}, "no group size fits; use fp8_dynamic"),
    ],
)
def test_a_group_size_that_fits_not_every_layer(widths: dict[str, int], fix: str) -> None:
    variant = VariantSpec(name="four", backend="llmcompressor", scheme="W4A16", group_size=32)
    with pytest.raises(ConfigError) as caught:
        check_group_size(variant, widths)
    assert caught.value.where == "variants.four.group_size"
    assert caught.value.fix == fix


def test_a_group_size_that_fits() -> None:
    variant = VariantSpec(name="four", backend="llmcompressor", scheme="W4A16", group_size=48)
    check_group_size(variant, {"q_proj": 96, "down_proj": 240})
