"""SFT and DPO: what they compute, whatever the batches."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from schemas.adapters import ADAPTERS
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.render import RenderOptions
from tests.support.tiny_model import tiny_tokenizer
from tests.support.training import conversation, data_artifact, reloaded_loss, run_stage, train_config


@pytest.mark.slow
def test_first_dpo_loss_is_ln_2(tiny: BaseModelRef, pairs: Stored[DataArtifact], tmp_path: Path) -> None:
    # The policy is the reference, so every margin is 0 and the loss -log(sigmoid(0)) = ln 2.
    for adapter in ("lora", "full"):
        config = train_config(tiny, method="dpo", adapter=adapter, num_train_epochs=3)
        trained = run_stage(tmp_path / adapter, config, pairs)
        assert trained.log[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
        first = next(event.data for event in trained.events if event.kind == "metric")
        assert first["rewards/margins"] == 0.0
        assert trained.artifact.eval_loss is not None
        assert trained.artifact.eval_loss < math.log(2) - 0.05


@pytest.mark.slow
@pytest.mark.parametrize("init", ["gaussian", "pissa", "olora", "orthogonal"])
def test_first_dpo_loss_is_ln_2_however_the_adapter_begins(
    tiny: BaseModelRef, pairs: Stored[DataArtifact], work: Path, init: str
) -> None:
    lora = {"r": 4, "lora_alpha": 8, "init_lora_weights": init}
    trained = run_stage(work, train_config(tiny, method="dpo", lora=lora, num_train_epochs=3), pairs)
    # W split into W_res + A B and multiplied apart differs from W by rounding alone
    assert trained.log[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert trained.artifact.eval_loss is not None
    assert trained.artifact.eval_loss < math.log(2) - 0.05


@pytest.mark.slow
def test_dropout_is_said_to_be_off_in_dpo(tiny: BaseModelRef, pairs: Stored[DataArtifact], work: Path) -> None:
    config = train_config(tiny, method="dpo", lora={"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}, max_steps=1)
    events = run_stage(work, config, pairs).events
    assert any("without dropout" in event.message for event in events if event.kind == "warning")


def _rates_equal(first: list[dict[str, float]], second: list[dict[str, float]], tolerance: float) -> None:
    assert [line["step"] for line in first] == [line["step"] for line in second]
    assert [line.get("loss") for line in first] == pytest.approx([line.get("loss") for line in second], rel=tolerance)


@pytest.mark.slow
def test_accumulation_does_not_change_the_loss(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    whole = train_config(tiny, per_device_train_batch_size=4, gradient_accumulation_steps=1)
    parts = train_config(tiny, per_device_train_batch_size=1, gradient_accumulation_steps=4)
    first, second = run_stage(tmp_path / "4x1", whole, rows), run_stage(tmp_path / "1x4", parts, rows)
    _rates_equal(first.log[:-1], second.log[:-1], 1e-4)
    assert first.artifact.eval_loss == pytest.approx(second.artifact.eval_loss, rel=1e-4)


@pytest.mark.slow
def test_gradient_checkpointing_does_not_change_the_loss(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    for adapter in ("lora", "full"):
        plain = train_config(tiny, adapter=adapter)
        saving = plain.model_copy(update={"gradient_checkpointing": True})
        first = run_stage(tmp_path / f"{adapter}-plain", plain, rows)
        second = run_stage(tmp_path / f"{adapter}-saving", saving, rows)
        _rates_equal(first.log[:-1], second.log[:-1], 1e-5)


@pytest.mark.slow
def test_packed_rows_have_the_loss_of_rows_apart(tiny: BaseModelRef, tmp_path: Path) -> None:
    """One batch of all rows, packed and not: equal mean loss per trained token, so no document sees another."""
    data = data_artifact(tmp_path / "data", [conversation(n) for n in range(8)])
    apart = train_config(tiny, per_device_train_batch_size=8, max_length=200, warmup_ratio=0.0)
    packed = apart.model_copy(update={"packing": True})
    first, second = run_stage(tmp_path / "apart", apart, data), run_stage(tmp_path / "packed", packed, data)
    assert (first.artifact.steps, second.artifact.steps) == (1, 1)
    assert first.log[0]["loss"] == pytest.approx(second.log[0]["loss"], rel=1e-5)


@pytest.mark.slow
def test_guards_do_not_change_what_trl_trains(tiny: BaseModelRef, work: Path, tmp_path: Path) -> None:
    """The weights are those of a plain TRL script over the same tokens, bit for bit."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    from pipeline.backends.training.scoring import trained_positions_only
    from pipeline.render import Rendered, render_examples

    examples = [conversation(n) for n in range(24)]
    data = data_artifact(tmp_path / "data", examples)
    config = train_config(tiny, lora={"r": 4, "lora_alpha": 8, "lora_dropout": 0.1})
    ours = load_file(run_stage(work, config, data).workspace.output / "model/adapter_model.safetensors")
    rendered = render_examples(examples, tiny_tokenizer(), config, 64, source="train").rows
    columns: dict[str, list[Any]] = {
        "input_ids": [row.ids for row in rendered if isinstance(row, Rendered)],
        "labels": [row.labels for row in rendered if isinstance(row, Rendered)],
    }
    assert tiny.weights is not None
    arguments = SFTConfig(
        output_dir=str(tmp_path / "plain"),
        per_device_train_batch_size=4,
        num_train_epochs=1,
        learning_rate=1e-2,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        seed=0,
        data_seed=0,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
    )
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(tiny.weights.location, dtype=torch.float32),
        args=arguments,
        train_dataset=Dataset.from_dict(columns),
        processing_class=tiny_tokenizer(),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.1, target_modules="all-linear"),
    )
    with trained_positions_only():
        trainer.train()
    trainer.model.save_pretrained(tmp_path / "plain")
    theirs = load_file(tmp_path / "plain/adapter_model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_early_stopping_restores_the_best_weights(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    config = train_config(
        tiny,
        adapter="full",
        learning_rate=3e-2,
        num_train_epochs=40,
        lr_scheduler_type="constant",
        eval_steps=4,
        early_stopping_patience=3,
    )
    trained = run_stage(tmp_path / "stopped", config, rows)
    artifact = trained.artifact
    evaluations = {line["step"]: line["eval_loss"] for line in trained.log if "eval_loss" in line}
    best = min(evaluations, key=lambda step: evaluations[step])
    assert artifact.stopped_early
    assert artifact.best_step == best
    assert artifact.steps == best + 3 * 4
    assert artifact.eval_loss == evaluations[best]
    until_best = config.model_copy(update={"early_stopping_patience": None, "max_steps": int(best)})
    assert _weights(run_stage(tmp_path / "until", until_best, rows)) == _weights(trained)


def _weights(trained: Any) -> bytes:
    return bytes((trained.workspace.output / "model/model.safetensors").read_bytes())


@pytest.mark.slow
def test_qlora_learns_on_a_cpu_and_resumes(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from pipeline.core.errors import Cancelled

    config = train_config(tiny, adapter="qlora", learning_rate=3e-2, num_train_epochs=3)
    trained = run_stage(tmp_path / "whole", config, rows)
    losses = [line["loss"] for line in trained.log if "loss" in line]
    assert sum(losses[-3:]) < sum(losses[:3])
    stored = load_file(trained.workspace.output / "model/adapter_model.safetensors").values()
    assert {value.dtype for value in stored} == {torch.float32}
    # of float32 values next to none are bfloat16 values too: the adapter was not rounded on its way
    assert all((value != value.bfloat16().float()).float().mean() > 0.9 for value in stored)
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, rows, stop_at=7)
    assert run_stage(tmp_path / "parts", config, rows).digest == trained.digest


@pytest.mark.slow
def test_evaluating_changes_no_training_on_four_bits(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    """Bitsandbytes packs weights for evaluation where the CPU has AVX512-BF16, and loses their gradient."""
    config = train_config(tiny, adapter="qlora", num_train_epochs=2)
    stored = []
    for name, every in (("often", 2), ("once", None)):
        trained = run_stage(tmp_path / name, config.model_copy(update={"eval_steps": every}), rows)
        stored.append((trained.workspace.output / "model/adapter_model.safetensors").read_bytes())
    assert stored[0] == stored[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "lora",
    [
        {"init_lora_weights": "pissa", "use_rslora": True, "rank_pattern": {"q_proj": 2}},
        {"modules_to_save": ["norm"]},
        *(
            pytest.param(options, marks=pytest.mark.full)
            for options in (
                *(adapter.options for adapter in ADAPTERS.values() if adapter.options),
                {"init_lora_weights": "gaussian"},
                {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 2}},
                {"target_modules": r".*mlp\.(up|down)_proj"},
                {"bias": "lora_only"},
            )
        ),
    ],
    ids=str,
)
def test_every_lora_setting_trains_and_resumes(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, lora: dict[str, Any]
) -> None:
    from pipeline.core.errors import Cancelled

    config = train_config(tiny, lora={"r": 4, "lora_alpha": 8, **lora})
    trained = run_stage(tmp_path / "whole", config, rows)
    assert trained.log[-2]["loss"] < trained.log[0]["loss"]
    assert tiny.weights is not None
    assert trained.artifact.eval_loss is not None
    reloaded = reloaded_loss(tiny.weights.location, trained.workspace.output / "model", rows)
    assert math.isclose(trained.artifact.eval_loss, reloaded, rel_tol=1e-5)
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, rows, stop_at=3)
    assert run_stage(tmp_path / "parts", config, rows).digest == trained.digest


@pytest.mark.slow
def test_bf16_where_it_is_asked_for(tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
    assert run_stage(work, train_config(tiny, adapter="full", bf16=True), rows).artifact.dtype == "bfloat16"


def test_an_end_of_turn_that_pads_as_well_is_trained_and_the_padding_is_not() -> None:
    """The preflight warns of such a tokenizer for the sake of other tools: here padding is masked by its place."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from pipeline.render import Rendered, render_examples

    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.pad_token = tokenizer.eos_token
    examples = [conversation(number) for number in (0, 3)]  # of 3 and 6 words: one of the two is padded
    rendered = render_examples(examples, tokenizer, RenderOptions(), 64, source="train").rows
    rows = [row for row in rendered if isinstance(row, Rendered)]
    collator = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)
    labels = collator([{"input_ids": row.ids, "labels": row.labels} for row in rows])["labels"].tolist()
    assert len(rows[0].ids) != len(rows[1].ids)
    for row, label in zip(rows, labels, strict=True):
        assert label[row.ends[0]] == tokenizer.eos_token_id
        assert set(label[len(row.ids) :]) <= {-100}
