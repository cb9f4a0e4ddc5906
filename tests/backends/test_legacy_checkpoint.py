"""A checkpoint in the words of transformers 4, and the calibration chunks of autoawq."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.backends.legacy_checkpoint import downgrade_config, downgrade_tokenizer_config, layers_of, readable
from pipeline.backends.quantize_autoawq import CHUNK, chunks
from pipeline.core.errors import ModelError
from pipeline.core.models import ModelFiles


def test_a_config_is_said_in_old_words() -> None:
    config = {"dtype": "bfloat16", "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "head_dim": 32}
    assert downgrade_config(config) == {"torch_dtype": "bfloat16", "rope_theta": 5e5, "head_dim": 32}
    assert config["dtype"] == "bfloat16"  # the caller's stays


def test_scaled_positions_keep_their_scaling() -> None:
    rope = {"rope_theta": 1e4, "rope_type": "llama3", "factor": 8.0}
    expected = {"rope_theta": 1e4, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    assert downgrade_config({"rope_parameters": rope}) == expected


def test_a_config_in_old_words_stays() -> None:
    old = {"torch_dtype": "float32", "rope_theta": 1e4, "rope_scaling": None}
    assert downgrade_config(old) == old


def test_positions_that_differ_by_layer_have_no_old_words() -> None:
    with pytest.raises(ModelError, match="differ by layer") as caught:
        downgrade_config({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}})
    assert "w4a16" in (caught.value.fix or "")


def test_a_tokenizer_is_its_file_with_the_same_special_tokens() -> None:
    config = {
        "backend": "tokenizers",
        "eos_token": "<|im_end|>",
        "extra_special_tokens": ["<|im_start|>"],
        "tokenizer_class": "TokenizersBackend",
    }
    assert downgrade_tokenizer_config(config) == {
        "additional_special_tokens": ["<|im_start|>"],
        "eos_token": "<|im_end|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def test_the_copy_is_private_and_links_the_weights(tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    texts = {"config.json": '{"dtype": "float32"}', "generation_config.json": "{}", "model.safetensors": "weights"}
    for name, text in texts.items():
        (source / name).write_text(text, encoding="utf-8")
    with readable(source) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
        assert json.loads((folder / "config.json").read_text(encoding="utf-8")) == {"torch_dtype": "float32"}
        assert (folder / "model.safetensors").is_symlink()
    assert not folder.exists()
    assert {path.name: path.read_text(encoding="utf-8") for path in source.iterdir()} == texts


def test_layers_are_those_of_the_config(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"num_hidden_layers": 3}', encoding="utf-8")
    files = ModelFiles(str(tmp_path), None, None, str(tmp_path), False)
    assert layers_of(files) == 3
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="num_hidden_layers"):
        layers_of(files)


def test_rows_are_joined_into_chunks_of_one_length() -> None:
    """Few tokens are one chunk; 300 rows of 5 tokens are two chunks of 512, and 476 tokens are left out."""
    assert chunks([[1, 2], [3]]) == [[1, 2, 3]]
    found = chunks([list(range(5)) for _ in range(300)])
    assert [len(chunk) for chunk in found] == [CHUNK, CHUNK]
    assert found[1][0] == CHUNK % 5
