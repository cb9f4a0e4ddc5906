"""Distillation from a teacher's probabilities (Agarwal et al. 2023, arXiv:2306.13649) by TRL, on rows as they are."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipeline.backends.model_transformers import load_causal_lm
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import precision_of, prepare_model
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import TrainJob, as_inputs
from pipeline.backends.training.settings import AttemptSettings
from pipeline.core.errors import ModelError
from pipeline.core.models import ModelFiles, model_files

with warnings.catch_warnings():  # that TRL may change it: its version is pinned
    warnings.filterwarnings("ignore", message=".*experimental", category=UserWarning)
    from trl.experimental.gkd import GKDConfig, GKDTrainer


class GuardedGKDTrainer(GuardedTrainer, GKDTrainer):
    """GKD over rows with ``input_ids`` and ``labels``; the student answers nothing."""

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return the number of trained tokens: a row's first token is never predicted."""
        return int((inputs["labels"][:, 1:] != -100).sum())


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh trainer.

    Raises:
        ModelError: the teacher cannot be loaded, or has another tokenizer than the student.
    """
    config = job.config
    arguments = GKDConfig(
        **common_arguments(job, settings), max_length=None, lmbda=0.0, beta=config.gkd.beta, disable_dropout=True
    )
    on_one_gpu(arguments, job.context)
    files = model_files(config.teacher)
    _check_tokenizer(files, job)
    model = prepare_model(config, job.tokenizer, job.longest)
    return GuardedGKDTrainer(
        model=model,
        teacher_model=load_causal_lm(files, dtype=precision_of(config)).requires_grad_(requires_grad=False),
        args=arguments,
        data_collator=DataCollatorForLanguageModeling(pad_token_id=job.tokenizer.pad_token_id),
        train_dataset=Dataset.from_list(as_inputs(job.train)),
        eval_dataset=Dataset.from_list(as_inputs(job.validation)) if job.validation else None,
        processing_class=job.tokenizer,
        peft_config=adapter_config(config, model),
    )


def _check_tokenizer(files: ModelFiles, job: TrainJob) -> None:
    theirs: Any = load_tokenizer(files.tokenizer, revision=files.revision, trust_remote_code=files.trust_remote_code)
    ours: Any = job.tokenizer
    if theirs.get_vocab() != ours.get_vocab():
        raise ModelError(
            "the teacher has another tokenizer than the student, so their probabilities are of other tokens",
            where="train.gkd.teacher",
            fix="name a teacher of the same family, or learn from its answers (train.method: seq_kd)",
        )
