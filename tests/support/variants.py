"""Trained models for tests of variants: an adapter with random weights, a whole model, and data to compare them on."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.digests import DigestCache
from pipeline.core.examples import write_examples
from schemas.artifacts import Stored
from schemas.base import Reference
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.render import RenderReport
from schemas.train import TrainArtifact
from tests.support.stored import stored
from tests.support.training import conversation

REPORT = RenderReport(
    rows=1,
    kept=1,
    dropped_long=0,
    truncated=0,
    tokens=1,
    trained_tokens=1,
    longest=1,
    median_length=1.0,
    p95_length=1.0,
    template_digest="0" * 64,
)


def base_ref(directory: Path) -> BaseModelRef:
    """Refer to a base that `write_tiny_base` wrote."""
    weights = Reference(location=str(directory), digest=DigestCache(None).digest(directory))
    return BaseModelRef(name="tiny", weights=weights)


def split_data(directory: Path, train: int = 24, test: int = 12) -> Stored[DataArtifact]:
    """Write ``train`` training and ``test`` test conversations and return the artifact."""
    write_examples(directory / "train.jsonl", [conversation(number) for number in range(train)])
    write_examples(directory / "test.jsonl", [conversation(1000 + number) for number in range(test)])
    artifact = DataArtifact(
        kind="conversation",
        read=train + test,
        rows={"train": train, "validation": 0, "test": test},
        dropped=(),
        labels=None,
        personal_data={},
        leaked={},
        near_train_test_rows=0,
        clusters=train + test,
        encoding={},
        source_digest="0" * 64,
        template_digest="0" * 64,
        files={"train": "train.jsonl", "test": "test.jsonl"},
    )
    return stored("data", directory, artifact)


def _artifact(kind: str, base: BaseModelRef) -> TrainArtifact:
    return TrainArtifact.model_validate(
        {
            "kind": kind,
            "base": base,
            "method": "sft",
            "seed": 0,
            "parameters": 1,
            "trainable_parameters": 1,
            "steps": 1,
            "epochs": 1.0,
            "rendered": REPORT,
            "replay_rows": {},
            "train_loss": 0.0,
            "eval_loss": None,
            "best_step": None,
            "stopped_early": False,
            "micro_batch": 1,
            "accumulation": 1,
            "dtype": "float32",
            "template_digest": "0" * 64,
            "tokenizer_digest": "0" * 64,
        }
    )


def random_adapter(directory: Path, base: Path, *, seed: int = 1, **lora: Any) -> Stored[TrainArtifact]:
    """Write a LoRA adapter whose B matrices are random, so that it changes every logit, as a train artifact."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **lora}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        adapted = get_peft_model(model, LoraConfig(**settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.05)
    folder = directory / "model"
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    load_tokenizer(str(base)).save_pretrained(folder)
    return stored("train", directory, _artifact("adapter", base_ref(base)))


def whole_model(directory: Path, base: Path) -> Stored[TrainArtifact]:
    """Copy a base as if it had been trained whole."""
    shutil.copytree(base, directory / "model")
    return stored("train", directory, _artifact("full", base_ref(base)))
