from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from pipeline.backends.model_transformers import load_causal_lm, read_facts
from pipeline.core.errors import ModelError
from pipeline.core.models import ModelFiles
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import random_adapter


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_tiny_base(tmp_path / "base")


def files(folder: Path, adapter: Path | None = None) -> ModelFiles:
    return ModelFiles(str(folder), None, adapter, str(folder), False)


def test_a_model_loads_for_inference_in_full_precision_on_a_cpu(base: Path) -> None:
    model = load_causal_lm(files(base), device="cpu")

    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert load_causal_lm(files(base), dtype="bfloat16", device="cpu").dtype == torch.bfloat16


def test_facts_come_from_the_configs(base: Path) -> None:
    facts = read_facts(files(base))
    assert facts.context_length == 512
    assert len(facts.stop_ids) == 1

    generation = base / "generation_config.json"
    settings = json.loads(generation.read_text(encoding="utf-8"))
    generation.write_text(json.dumps({**settings, "eos_token_id": [2, 0]}), encoding="utf-8")
    assert read_facts(files(base)).stop_ids == (2, 0)

    generation.unlink()
    assert read_facts(files(base)).stop_ids == facts.stop_ids


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere: the folder does not exist"):
        load_causal_lm(files(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="the model cannot be loaded"):
        read_facts(files(tmp_path))


def test_pickled_weights_are_refused(base: Path) -> None:
    model = load_causal_lm(files(base))
    torch.save(model.state_dict(), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()

    with pytest.raises(ModelError, match="the model cannot be loaded"):
        load_causal_lm(files(base))


def test_damaged_weights_are_refused(base: Path) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="the model cannot be loaded"):
        load_causal_lm(files(base))


def test_a_checkpoint_that_lacks_weights_is_refused_and_not_filled_at_random(base: Path) -> None:
    config = base / "config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**settings, "num_hidden_layers": 3}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"the checkpoint lacks 9 weights, first model.layers.2"):
        load_causal_lm(files(base))


def test_an_adapter_is_injected_and_not_merged(base: Path, tmp_path: Path) -> None:
    adapter = random_adapter(tmp_path / "adapter", base).path / "model"

    model = load_causal_lm(files(base, adapter))

    assert type(model).__name__ == "LlamaForCausalLM"
    assert any("lora_A" in name for name, _ in model.named_parameters())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_an_adapter_of_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = random_adapter(tmp_path / "adapter", base, target_modules=["q_proj", "v_proj"]).path / "model"
    wider = write_tiny_base(tmp_path / "wider", hidden_size=128, num_attention_heads=4, num_key_value_heads=4)
    deeper = write_tiny_base(tmp_path / "deeper", num_hidden_layers=3)
    shallower = write_tiny_base(tmp_path / "shallower", num_hidden_layers=1)
    # A layer has 2 target modules, each with an A and a B.
    for other, problem in (
        (wider, "size mismatch|Error"),
        (deeper, "it lacks 4 weights"),
        (shallower, "the base has no place for 4 of its weights"),
    ):
        with pytest.raises(ModelError, match=f"the adapter does not fit the base: ({problem})"):
            load_causal_lm(files(other, adapter))


def test_an_adapter_without_safetensors_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = random_adapter(tmp_path / "adapter", base).path / "model"
    shutil.move(adapter / "adapter_model.safetensors", adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model.safetensors: the adapter has no such file"):
        load_causal_lm(files(base, adapter))
