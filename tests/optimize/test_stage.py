"""Variants of real (tiny) models: merged, copied, quantized; loaded again and compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, ModelError
from pipeline.core.workspace import content_digest, list_files
from pipeline.optimize.stage import run
from pipeline.render import template_digest
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.events import Event
from schemas.optimize import OptimizeArtifact, OptimizeConfig, OptimizeInputs, VariantSpec
from schemas.train import TrainArtifact
from tests.support.served import evaluated
from tests.support.stored import stored, workspace
from tests.support.tiny_model import tiny_base_tokenizer, write_tiny_base
from tests.support.variants import base_ref, random_adapter, split_data, whole_model

PARAMETERS = 384 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64
"""Tied embeddings; per layer four attention and three MLP matrices and two norms; the last norm."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored[TrainArtifact]:
    return random_adapter(tmp_path_factory.mktemp("adapter"), base)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Stored[DataArtifact]:
    return split_data(tmp_path_factory.mktemp("data"))


def _make(
    directory: Path,
    base: Path,
    parent: Stored[TrainArtifact] | Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    variant: object = "merged",
    events: list[Event] | None = None,
    **options: object,
) -> Stored[OptimizeArtifact]:
    config = OptimizeConfig.model_validate(
        {"variant": VariantSpec.model_validate(variant), "base": base_ref(base), **options}
    )
    context = CallContext() if events is None else CallContext(sink=events.append)
    place = workspace(directory)
    artifact = run(config, OptimizeInputs(parent=parent, data=data), context, place)
    return stored("optimize", place.output, artifact)


@pytest.fixture(scope="module")
def merged(
    base: Path,
    adapter: Stored[TrainArtifact],
    data: Stored[DataArtifact],
    tmp_path_factory: pytest.TempPathFactory,
) -> Stored[OptimizeArtifact]:
    return _make(tmp_path_factory.mktemp("merged"), base, adapter, data)


def test_a_merge_computes_what_the_adapter_does(merged: Stored[OptimizeArtifact], base: Path) -> None:
    artifact = merged.artifact
    assert 0 < artifact.logit_difference < 1e-4
    assert artifact.tied_embeddings
    assert artifact.calibration_rows == 0
    # float32 is four bytes a weight; the file's header is less than a tenth of this small model
    assert 4 * PARAMETERS < artifact.size_bytes < 4.4 * PARAMETERS
    assert artifact.weight_bytes_per_parameter == artifact.size_bytes / PARAMETERS
    assert artifact.parent_size_bytes > (base / "model.safetensors").stat().st_size
    assert artifact.template_digest == template_digest(tiny_base_tokenizer(base))


def test_a_merged_model_loads_without_hone_and_differs_from_its_base(
    merged: Stored[OptimizeArtifact], base: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = merged.file("model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    with torch.inference_mode():
        ours = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        theirs = AutoModelForCausalLM.from_pretrained(base)(ids).logits
    assert (ours - theirs).abs().max() > 0.01
    assert not list(folder.glob("adapter*"))


def test_the_same_merge_has_the_same_bytes_and_no_path(
    merged: Stored[OptimizeArtifact],
    base: Path,
    adapter: Stored[TrainArtifact],
    data: Stored[DataArtifact],
    tmp_path: Path,
) -> None:
    elsewhere = shutil.copytree(base, tmp_path / "another base")
    again = _make(tmp_path / "again", elsewhere, adapter, data)
    assert again.content_digest == merged.content_digest
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        assert str(tmp_path) not in again.file(f"model/{name}").read_text(encoding="utf-8")


def test_the_merged_generation_config_ends_where_a_turn_ends(merged: Stored[OptimizeArtifact], base: Path) -> None:
    settings = json.loads(merged.file("model/generation_config.json").read_text(encoding="utf-8"))
    assert settings["eos_token_id"] == [tiny_base_tokenizer(base).eos_token_id]


def test_a_merge_beyond_the_tolerance_is_refused(
    base: Path, adapter: Stored[TrainArtifact], data: Stored[DataArtifact], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="merged and adapter logits differ"):
        _make(tmp_path, base, adapter, data, logit_tolerance=1e-12)


def test_an_adapter_of_another_base_is_refused(
    adapter: Stored[TrainArtifact], data: Stored[DataArtifact], tmp_path: Path
) -> None:
    other = write_tiny_base(tmp_path / "other", hidden_size=96, num_attention_heads=3, num_key_value_heads=3)
    with pytest.raises(ModelError, match="does not fit the base"):
        _make(tmp_path, other, adapter, data)


def test_embeddings_trained_apart_from_a_tied_head_are_both_kept(
    base: Path, data: Stored[DataArtifact], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    apart = random_adapter(tmp_path / "adapter", base, modules_to_save=["lm_head"])
    path = apart.file("model/adapter_model.safetensors")
    weights = load_file(path)
    head = next(name for name in weights if "lm_head" in name)
    weights[head] = torch.randn_like(weights[head])
    save_file(weights, path)
    events: list[Event] = []
    made = _make(tmp_path / "merged", base, apart, data, events=events)
    assert not made.artifact.tied_embeddings
    assert made.artifact.logit_difference < 1e-4
    assert [event.message for event in events if event.kind == "warning"] == [
        "the adapter trained input and output embeddings apart; the merged model holds both"
    ]


def test_a_model_in_bfloat16_stays_so_and_the_rounding_is_said(
    adapter: Stored[TrainArtifact], base: Path, data: Stored[DataArtifact], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    half = shutil.copytree(base, tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(half)
    events: list[Event] = []
    made = _make(tmp_path / "merged", half, adapter, data, events=events)
    assert made.artifact.weight_bytes_per_parameter < 2.4
    assert made.artifact.logit_difference > 1e-3
    assert [event.kind for event in events if "precision" in event.message] == ["warning"]


def test_a_model_that_was_trained_whole_is_copied(base: Path, data: Stored[DataArtifact], tmp_path: Path) -> None:
    parent = whole_model(tmp_path / "parent", base)
    made = _make(tmp_path / "copy", base, parent, data)
    assert made.artifact.logit_difference == 0.0
    assert content_digest(list_files(made.path)) == content_digest(list_files(parent.path))


def test_another_chat_template_travels_with_the_variant(
    base: Path, adapter: Stored[TrainArtifact], data: Stored[DataArtifact], tmp_path: Path
) -> None:
    template = (
        "{%- for m in messages %}{{ '<|im_start|>' + m.role + ': ' + m.content + '<|im_end|>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant: ' }}{%- endif %}"
    )
    made = _make(tmp_path, base, adapter, data, chat_template=template)
    assert made.file("model/chat_template.jinja").read_text(encoding="utf-8") == template
    assert made.artifact.template_digest != template_digest(tiny_base_tokenizer(base))


def test_an_adapter_cannot_be_quantized(
    base: Path, adapter: Stored[TrainArtifact], data: Stored[DataArtifact], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="merge it first"):
        _make(tmp_path, base, adapter, data, "fp8_dynamic")


def test_a_group_size_that_does_not_divide_is_named_with_those_that_do(
    base: Path, merged: Stored[OptimizeArtifact], data: Stored[DataArtifact], tmp_path: Path
) -> None:
    """The layers have 64 and 128 inputs: 16, 32 and 64 divide both."""
    with pytest.raises(ConfigError, match="16, 32, 64") as caught:
        _make(tmp_path, base, merged, data, "w4a16")
    assert caught.value.where == "variants.w4a16.group_size"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "bytes_per_linear_weight", "passes", "dtype"),
    [
        ("fp8_dynamic", 1.0, 0, "float32"),
        ({"scheme": "W4A16", "backend": "llmcompressor", "group_size": 32}, 0.5, 2, "float16"),
        ("w8a8", 1.0, 4, "bfloat16"),
        ("fp8", 1.0, 2, None),
        ({"scheme": "W8A16", "backend": "llmcompressor", "group_size": 32}, 1.0, 2, None),
        ("nvfp4", 0.5, 2, None),
        ("mxfp4", 0.5, 0, None),
    ],
)
def test_a_quantized_model_is_smaller_close_and_the_same_every_time(
    base: Path,
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tmp_path: Path,
    variant: str | dict[str, object],
    bytes_per_linear_weight: float,
    passes: int,
    dtype: str | None,
) -> None:
    spec = VariantSpec.model_validate(variant).model_copy(update={"calibration_samples": 16})
    events: list[Event] = []
    made = _make(tmp_path / "one", base, merged, data, spec, events)
    artifact = made.artifact
    assert artifact.calibration_rows == (16 if passes else 0)
    assert artifact.vllm_dtype == dtype
    assert artifact.tied_embeddings
    assert 0 < artifact.logit_difference < 0.5
    linear = 2 * (4 * 64 * 64 + 3 * 64 * 128)
    exact = 4 * (PARAMETERS - linear) + bytes_per_linear_weight * linear
    assert exact < artifact.size_bytes < 1.35 * exact  # scales and the file's header
    assert artifact.parent_size_bytes == merged.artifact.size_bytes
    assert artifact.template_digest == merged.artifact.template_digest
    bar = [event.data for event in events if event.kind == "progress"]
    assert bar[-1]["done"] == bar[-1]["total"] == passes * 16 * 2 + 1
    again = _make(tmp_path / "two", base, merged, data, spec)
    assert again.content_digest == made.content_digest


@pytest.mark.slow
def test_weights_in_fp4_are_evaluated_on_a_cpu(
    base: Path, merged: Stored[OptimizeArtifact], data: Stored[DataArtifact], tmp_path: Path
) -> None:
    made = _make(tmp_path / "variant", base, merged, data, "nvfp4")
    before, after = (evaluated(tmp_path / name, base, one, data) for name, one in (("before", merged), ("after", made)))
    assert after.artifact.n == before.artifact.n > 0


@pytest.mark.slow
def test_fewer_rows_than_asked_for_are_said(base: Path, merged: Stored[OptimizeArtifact], tmp_path: Path) -> None:
    few = split_data(tmp_path / "data", train=4, test=2)
    events: list[Event] = []
    made = _make(tmp_path / "out", base, merged, few, "w8a8", events)
    assert made.artifact.calibration_rows == 4
    assert [event.message for event in events if event.kind == "warning"] == [
        "w8a8: 4 rows calibrate it, 128 were asked for"
    ]
