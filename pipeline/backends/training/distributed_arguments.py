"""How several processes share a training, in transformers' words: the part of TrainingArguments that says so."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any

from pipeline.backends.training.job import TrainJob
from pipeline.core.errors import EnvironmentMissing, InternalError
from schemas.distributed import DistributedOptions
from schemas.methods import METHODS

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments


def shared_arguments(job: TrainJob) -> dict[str, Any]:
    """Return keyword arguments for a TRL config of a process that trains with others; none for one that trains alone.

    Raises:
        EnvironmentMissing: DeepSpeed is not installed.
    """
    if job.shared is None or job.ranks is None:
        return {}
    options = job.shared
    match options.strategy:
        case "ddp":
            return {
                "ddp_find_unused_parameters": options.ddp_find_unused_parameters,
                "ddp_bucket_cap_mb": options.ddp_bucket_cap_mb,
            }
        case "fsdp2":
            return {"fsdp": True, "fsdp_config": fsdp_config(options, reads_once=_reads_once(job))}
        case "zero2" | "zero3":
            if importlib.util.find_spec("deepspeed") is None:
                raise EnvironmentMissing(
                    f"strategy {options.strategy} needs deepspeed",
                    where="train.distributed.strategy",
                    fix="train where the environment train for CUDA is (on Modal), or set strategy: fsdp2",
                )
            return {"deepspeed": deepspeed_config(options)}


def fsdp_config(options: DistributedOptions, *, reads_once: bool) -> dict[str, Any]:
    """Return transformers' ``fsdp_config``."""
    config = options.fsdp_config.model_dump(exclude_none=True)
    if "transformer_layer_cls_to_wrap" in config:
        config["transformer_layer_cls_to_wrap"] = list(config["transformer_layer_cls_to_wrap"])
    return {**config, "cpu_ram_efficient_loading": reads_once}


def deepspeed_config(options: DistributedOptions) -> dict[str, Any]:
    """Return DeepSpeed's config; ``auto`` is what transformers fills in from its own arguments."""
    zero = options.zero_optimization.model_dump(exclude_none=True)
    return {
        "zero_optimization": {"stage": 3 if options.strategy == "zero3" else 2, **zero},
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # torch's AdamW steps in the host's memory as well
    }


def settle_arguments(arguments: TrainingArguments, job: TrainJob) -> None:
    """Finish what the constructor of ``arguments`` leaves open; call it before a model is loaded.

    FSDP2 computes in bfloat16 and adds gradients up in float32, as `DistributedDataParallel` under autocast does, and
    leaves the loss in the type that it was computed in. accelerate takes FSDP for a matter of GPUs, and on a CPU would
    quietly make whole copies: it is told that processes without a GPU are as good.
    """
    if job.shared is None or job.ranks is None or job.shared.strategy == "ddp":
        return
    if job.shared.strategy != "fsdp2":
        import deepspeed

        deepspeed.init_distributed(auto_mpi_discovery=False)  # it takes over the process group that is there
        return
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    os.environ["ACCELERATE_USE_FSDP"] = "true"
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = str(_reads_once(job)).lower()
    if arguments.bf16:
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        arguments.fsdp_plugin_args["mixed_precision_policy"] = policy
    if not torch.cuda.is_available():
        from accelerate.state import DistributedType, PartialState

        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU  # noqa: SLF001  no public way


def check_strategy(trainer: Trainer, job: TrainJob) -> None:
    """Make sure that the libraries share the training as was asked.

    Raises:
        InternalError: they do not.
    """
    if job.shared is None or job.ranks is None:
        return
    found = "fsdp2" if trainer.is_fsdp_enabled else "zero" if trainer.is_deepspeed_enabled else "ddp"
    if not job.shared.strategy.startswith(found) or trainer.args.world_size != job.ranks.count:
        raise InternalError(
            f"strategy {job.shared.strategy} in {job.ranks.count} processes was asked for, "
            f"and the trainer has {found} in {trainer.args.world_size}",
            where="train.distributed",
            fix="report this with the versions of transformers and accelerate",
        )


def _reads_once(job: TrainJob) -> bool:
    """Whether only the first process of each machine reads the base.

    The copy that training of a whole model compares with is sharded by TRL, which gives the others none of the first
    one's weights; 4-bit weights are never sent.
    """
    assert job.shared is not None
    copied = METHODS[job.config.method].reference and job.config.adapter == "full"
    return job.shared.fsdp_config.cpu_ram_efficient_loading and not copied
