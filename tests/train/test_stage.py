"""The train stage from rows to a model that reloads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, DataError, ModelError
from pipeline.core.workspace import hash_file
from pipeline.render import template_digest
from schemas.artifacts import Stored
from schemas.base import Reference
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from tests.support.tiny_model import tiny_base_tokenizer, write_tiny_base
from tests.support.training import (
    base,
    conversation,
    data_artifact,
    reloaded_loss,
    run_stage,
    text_row,
    train_config,
)

INIT: dict[str, Any] = {
    "config": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "tokenizer": {"vocab_size": 320},
}


def test_lora_leaves_an_adapter_that_reloads(tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
    trained = run_stage(work, train_config(tiny), rows)
    artifact, model = trained.artifact, trained.workspace.output / "model"
    assert {path.name for path in model.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    # r 4 on 2 layers: q, k, v, o: 4 * (64 + 64); gate, up, down: 4 * (64 + 128)
    assert artifact.trainable_parameters == 2 * (4 * 4 * 128 + 3 * 4 * 192)
    assert (artifact.kind, artifact.steps, artifact.epochs, artifact.dtype) == ("adapter", 6, 1.0, "float32")
    assert artifact.rendered.kept == 24
    assert artifact.tokenizer_digest == hash_file(model / "tokenizer.json")
    assert artifact.template_digest == template_digest(tiny_base_tokenizer(model))
    losses = [line["loss"] for line in trained.log if "loss" in line]
    assert len(losses) == 6
    assert math.isclose(artifact.train_loss, sum(losses) / 6)
    assert losses[-1] < losses[0]
    assert artifact.eval_loss is not None
    assert tiny.weights is not None
    assert math.isclose(artifact.eval_loss, reloaded_loss(tiny.weights.location, model, rows), rel_tol=1e-5)


def test_full_training_keeps_tied_embeddings_and_reloads(
    tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path
) -> None:
    from transformers import AutoModelForCausalLM

    trained = run_stage(work, train_config(tiny, adapter="full"), rows)
    model = trained.workspace.output / "model"
    assert trained.artifact.parameters == trained.artifact.trainable_parameters
    loaded = AutoModelForCausalLM.from_pretrained(model)
    assert loaded.lm_head.weight.data_ptr() == loaded.model.embed_tokens.weight.data_ptr()
    assert loaded.num_parameters() == trained.artifact.parameters
    assert loaded.generation_config.eos_token_id == [2]
    assert trained.artifact.eval_loss is not None
    assert math.isclose(trained.artifact.eval_loss, reloaded_loss(str(model), None, rows), rel_tol=1e-5)


@pytest.mark.slow
def test_equal_calls_leave_equal_bytes_that_name_no_place(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    config = train_config(tiny, lora={"r": 4, "lora_alpha": 8, "lora_dropout": 0.2})
    first, second = run_stage(tmp_path / "a", config, rows), run_stage(tmp_path / "b", config, rows)
    assert first.digest == second.digest
    assert tiny.weights is not None
    places = [str(tmp_path).encode(), tiny.weights.location.encode()]
    for path in first.workspace.output.rglob("*"):
        if path.is_file():
            assert not any(place in path.read_bytes() for place in places), path
    other = run_stage(tmp_path / "c", config.model_copy(update={"seed": 1}), rows)
    assert other.digest != first.digest


def test_a_base_is_made_from_a_config(rows: Stored[DataArtifact], work: Path) -> None:
    from transformers import AutoModelForCausalLM

    fresh = BaseModelRef.model_validate({"name": "fresh", "init": INIT})
    trained = run_stage(work, train_config(fresh, adapter="full"), rows)
    model = trained.workspace.output / "model"
    tokenizer = tiny_base_tokenizer(model)
    assert len(tokenizer) == 320
    loaded = AutoModelForCausalLM.from_pretrained(model)
    assert loaded.get_input_embeddings().weight.shape == (320, 64)
    assert loaded.config.eos_token_id == tokenizer.eos_token_id == 2


def test_text_rows_pretrain_with_a_tokenizer_from_elsewhere(tiny: BaseModelRef, work: Path, tmp_path: Path) -> None:
    assert tiny.weights is not None
    init = {**INIT, "tokenizer": None, "tokenizer_from": tiny.weights.model_dump()}
    fresh = BaseModelRef.model_validate({"name": "fresh", "init": init})
    data = data_artifact(tmp_path / "texts", [text_row(n) for n in range(12)], kind="text")
    artifact = run_stage(work, train_config(fresh, adapter="full"), data).artifact
    assert artifact.rendered.trained_tokens == artifact.rendered.tokens
    assert artifact.eval_loss is None
    assert artifact.tokenizer_digest == hash_file(Path(tiny.weights.location) / "tokenizer.json")


def test_turns_that_are_left_out_of_the_loss_are_said(tiny: BaseModelRef, work: Path, tmp_path: Path) -> None:
    rows = [conversation(n) for n in range(12)]
    twice = [row.model_copy(update={"messages": row.messages * 2}) for row in rows]
    data = data_artifact(tmp_path / "data", twice)
    trained = run_stage(work, train_config(tiny, max_steps=1, max_length=128), data)
    assert trained.artifact.rendered.turns_left_out == 12
    (warning,) = [event for event in trained.events if event.kind == "warning"]
    assert "12 assistant turns before the last of their row are not trained" in warning.message
    assert "train.assistant_only_loss to true" in warning.message


@pytest.mark.slow
def test_rows_that_are_cut_say_how_many_still_end(tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
    trained = run_stage(work, train_config(tiny, max_steps=1, max_length=32, long_rows="truncate"), rows)
    report = trained.artifact.rendered
    assert 0 < report.ended < report.kept == 24
    warnings = [event.message for event in trained.events if event.kind == "warning"]
    assert any(f"{report.ended} of 24 train an end of turn" in message for message in warnings)


@pytest.mark.slow
def test_live_metrics_and_progress_are_sent(tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
    events = run_stage(work, train_config(tiny), rows).events
    metrics = [event.data for event in events if event.kind == "metric"]
    assert [data["step"] for data in metrics if "loss" in data] == [1, 2, 3, 4, 5, 6]
    progress = [event.data for event in events if event.kind == "progress" and event.data["label"] == "training"]
    assert (progress[0]["total"], progress[-1]["done"]) == (6, 6)
    assert [event.data["step"] for event in events if event.kind == "checkpoint"] == [1, 2, 3, 4, 5, 6]


class TestErrors:
    """Each names the key and the way out."""

    def test_unknown_target_module(self, tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
        config = train_config(tiny, lora={"r": 4, "lora_alpha": 8, "target_modules": ["q_porj"]})
        with pytest.raises(ConfigError, match="'q_porj' names no module") as caught:
            run_stage(work, config, rows)
        assert caught.value.where == "train.lora.target_modules"
        assert "q_proj" in str(caught.value.fix)

    def test_adapter_on_the_output_layer(self, tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
        config = train_config(tiny, lora={"r": 4, "lora_alpha": 8, "target_modules": ["lm_head"]})
        with pytest.raises(ConfigError, match="lm_head would not be trained"):
            run_stage(work, config, rows)

    def test_missing_base(self, rows: Stored[DataArtifact], work: Path, tmp_path: Path) -> None:
        absent = BaseModelRef(name="x", weights=Reference(location=str(tmp_path / "absent"), digest="0" * 64))
        with pytest.raises(ModelError, match="does not exist"):
            run_stage(work, train_config(absent), rows)

    @pytest.mark.slow
    def test_base_that_is_an_adapter(
        self, tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path, tmp_path: Path
    ) -> None:
        model = run_stage(work, train_config(tiny), rows).workspace.output / "model"
        wrong = base(model)
        with pytest.raises(ModelError, match="holds an adapter"):
            run_stage(tmp_path / "second", train_config(wrong), rows)

    def test_base_without_a_chat_template(self, rows: Stored[DataArtifact], work: Path, tmp_path: Path) -> None:
        folder = write_tiny_base(tmp_path / "mute")
        (folder / "chat_template.jinja").unlink()
        mute = base(folder)
        with pytest.raises(ConfigError, match="has no chat template") as caught:
            run_stage(work, train_config(mute), rows)
        assert caught.value.where == "train.chat_template"

    def test_weights_that_are_pickled(self, rows: Stored[DataArtifact], work: Path, tmp_path: Path) -> None:
        import torch

        folder = write_tiny_base(tmp_path / "pickled")
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")
        pickled = base(folder)
        with pytest.raises(ModelError, match="cannot be loaded") as caught:
            run_stage(work, train_config(pickled), rows)
        assert "safetensors" in str(caught.value.fix)

    def test_wrong_kind_of_rows(
        self, tiny: BaseModelRef, rows: Stored[DataArtifact], pairs: Stored[DataArtifact], work: Path
    ) -> None:
        with pytest.raises(DataError, match="dpo learns from preference rows") as caught:
            run_stage(work, train_config(tiny, method="dpo"), rows)
        assert "train.method to sft" in str(caught.value.fix)
        with pytest.raises(DataError, match="sft learns from conversation or text rows"):
            run_stage(work, train_config(tiny), pairs)

    def test_rows_longer_than_the_models_positions(self, rows: Stored[DataArtifact], work: Path) -> None:
        short = {**INIT, "config": {**INIT["config"], "max_position_embeddings": 8}}
        fresh = BaseModelRef.model_validate({"name": "fresh", "init": short})
        with pytest.raises(ConfigError, match="the model has 8 positions") as caught:
            run_stage(work, train_config(fresh, adapter="full"), rows)
        assert caught.value.where == "train.max_length"

    def test_unknown_key_of_a_model_config(self, rows: Stored[DataArtifact], work: Path) -> None:
        fresh = BaseModelRef.model_validate({"name": "fresh", "init": {**INIT, "config": {"hiden_size": 64}}})
        with pytest.raises(ConfigError, match="no key 'hiden_size'") as caught:
            run_stage(work, train_config(fresh, adapter="full"), rows)
        assert "hidden_size" in str(caught.value.fix)

    def test_early_stopping_without_validation_rows(self, tiny: BaseModelRef, work: Path, tmp_path: Path) -> None:
        data = data_artifact(tmp_path / "texts", [text_row(n) for n in range(12)], kind="text")
        with pytest.raises(ConfigError, match="no validation rows") as caught:
            run_stage(work, train_config(tiny, early_stopping_patience=2), data)
        assert caught.value.where == "train.early_stopping_patience"
