"""The part of TrainingArguments that is the same for every trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.backends.training.base_model import precision_of
from pipeline.backends.training.distributed_arguments import shared_arguments
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.settings import AttemptSettings
from pipeline.core.context import CallContext

if TYPE_CHECKING:
    from transformers import TrainingArguments


def common_arguments(job: TrainJob, settings: AttemptSettings) -> dict[str, Any]:
    """Return keyword arguments for a TRL config. Saving, logging and evaluation are decided by `Watch`, not by them.

    Where other processes train, this one needs no GPU: it writes the model, which may not fit on one.
    """
    import torch

    config = job.config
    cpu = job.starts_others or not torch.cuda.is_available()
    return {
        "output_dir": str(job.scratch / "trainer"),
        "per_device_train_batch_size": settings.micro_batch,
        "per_device_eval_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": settings.accumulation,
        "learning_rate": settings.learning_rate,
        "num_train_epochs": config.num_train_epochs,
        "max_steps": config.max_steps or -1,
        "lr_scheduler_type": config.lr_scheduler_type,
        "warmup_steps": config.warmup_ratio,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "neftune_noise_alpha": config.neftune_noise_alpha,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": precision_of(config) == "bfloat16",
        "use_cpu": cpu,
        "dataloader_pin_memory": not cpu,
        "seed": config.seed,
        "data_seed": config.seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "push_to_hub": False,
        **shared_arguments(job),
    }


def on_one_gpu(arguments: TrainingArguments, context: CallContext) -> None:
    """Let one GPU train: this is one process, in which transformers would split each batch by `DataParallel`.

    TRL refuses that, and it would give other losses than one GPU.
    """
    if arguments.n_gpu > 1:
        context.warn(f"{arguments.n_gpu} GPUs are there, and one of them trains", gpus=arguments.n_gpu)
        arguments._n_gpu = 1  # noqa: SLF001  the property of this name has no setter
