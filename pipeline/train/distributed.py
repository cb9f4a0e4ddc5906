"""Whether a training is shared by several processes, and how: from its config and from what the runner gives it."""

from __future__ import annotations

from pipeline.core.errors import ConfigError
from pipeline.core.shares import share_batch
from schemas.distributed import DistributedOptions, Processes
from schemas.retention import AFTERWARDS, PENALTIES
from schemas.train import TrainConfig


def shared_by(config: TrainConfig, processes: Processes) -> DistributedOptions | None:
    """Return how processes share this training; None where it runs in the stage's own.

    That is where there is one process and nothing is offloaded to the host's memory. Without a strategy in the config
    it is ``ddp``, or ``fsdp2`` where a process alone has not the memory; the 4-bit weights of QLoRA are never sharded.

    Raises:
        ConfigError: the rows of a step cannot be divided by the number of processes, or a retention method takes one.
    """
    asked = config.distributed
    if processes.count == 1 and (asked is None or not asked.offloads):
        return None
    alone = [method.method for method in config.retention if isinstance(method, (*PENALTIES, *AFTERWARDS))]
    if alone:
        raise ConfigError(
            f"{alone[0]} trains in one process, and there are {processes.count}",
            where="train.retention",
            fix="take replay or lower_rate, or give training one GPU under hardware",
        )
    share_batch(config.per_device_train_batch_size, config.gradient_accumulation_steps, processes.count)
    if asked is not None:
        return asked
    return DistributedOptions(strategy="fsdp2" if processes.tight and config.adapter != "qlora" else "ddp")
