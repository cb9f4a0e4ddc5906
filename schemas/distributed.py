"""Training in several processes: how they share the work, and how many there are.

How is part of a description, under the libraries' own names; how many is the runner's. Neither changes what is trained:
a step has the same rows whatever their number, so none of it is part of a fingerprint.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Schema

Strategy = Literal["ddp", "fsdp2", "zero2", "zero3"]
"""Whole copies that exchange gradients; weights, gradients and optimizer in shards; optimizer and gradients in shards
(DeepSpeed ZeRO-2); all three (ZeRO-3)."""

Auto = Literal["auto"]
Elements = Annotated[int, Field(gt=0)]


class FsdpConfig(Schema):
    """transformers' ``fsdp_config`` (TrainingArguments), by its names, as far as FSDP2 reads it.

    ``cpu_ram_efficient_loading``: of the processes of a machine only the first reads the base from disk.
    """

    version: Literal[2] = 2
    reshard_after_forward: bool = True
    cpu_offload: bool = False
    cpu_ram_efficient_loading: bool = True
    transformer_layer_cls_to_wrap: tuple[str, ...] | None = None


class Offload(Schema):
    """DeepSpeed's ``offload_optimizer`` and ``offload_param``, by their names: into the host's memory."""

    device: Literal["cpu"] = "cpu"
    pin_memory: bool = False


class ZeroOptimization(Schema):
    """DeepSpeed's ``zero_optimization``, by its names; the stage is the strategy's. Sizes are in elements.

    A key left out is DeepSpeed's default, ``auto`` what transformers makes of the model's width.
    """

    offload_optimizer: Offload | None = None
    offload_param: Offload | None = None
    overlap_comm: bool | None = None
    contiguous_gradients: bool | None = None
    round_robin_gradients: bool | None = None
    reduce_bucket_size: Elements | Auto | None = None
    allgather_bucket_size: Elements | None = None
    sub_group_size: Elements | None = None
    stage3_prefetch_bucket_size: Elements | Auto | None = None
    stage3_param_persistence_threshold: Annotated[int, Field(ge=0)] | Auto | None = None
    stage3_max_live_parameters: Elements | None = None
    stage3_max_reuse_distance: Elements | None = None


class DistributedOptions(Schema):
    """`train.distributed`: how several processes share a training.

    Without it, it is ``ddp`` where the plan finds that the training fits on one GPU, else ``fsdp2``.
    """

    strategy: Strategy
    ddp_find_unused_parameters: bool = False
    ddp_bucket_cap_mb: Annotated[int, Field(gt=0)] | None = None
    fsdp_config: FsdpConfig = FsdpConfig()
    zero_optimization: ZeroOptimization = ZeroOptimization()

    @model_validator(mode="after")
    def _of_this_strategy(self) -> DistributedOptions:
        if self.strategy != "ddp" and (self.ddp_find_unused_parameters or self.ddp_bucket_cap_mb is not None):
            raise ValueError(f"ddp_* belongs to strategy ddp, and this is {self.strategy}")
        if self.strategy != "fsdp2" and self.fsdp_config != FsdpConfig():
            raise ValueError(f"fsdp_config belongs to strategy fsdp2, and this is {self.strategy}")
        zero = self.zero_optimization
        if self.strategy not in ("zero2", "zero3") and zero != ZeroOptimization():
            raise ValueError(f"zero_optimization belongs to strategies zero2 and zero3, and this is {self.strategy}")
        given = zero.model_dump(exclude_none=True)
        if self.strategy == "zero2" and any(name == "offload_param" or name.startswith("stage3_") for name in given):
            raise ValueError("offload_param and stage3_* belong to strategy zero3")
        return self

    @property
    def shards_weights(self) -> bool:
        """Whether each process holds a part of the weights only."""
        return self.strategy in ("fsdp2", "zero3")

    @property
    def offloads(self) -> bool:
        """Whether something is kept in the host's memory, which helps a single process as well."""
        zero = self.zero_optimization
        return self.fsdp_config.cpu_offload or zero.offload_optimizer is not None or zero.offload_param is not None


class Processes(Schema):
    """The processes of one call: ``per_node`` on each of ``nodes`` machines. Not part of what a run is.

    ``tight``: the plan finds that a process alone has not the memory. ``address`` is the first machine's, as the others
    reach it; ``port`` and the one after it are free there. On one machine both are without meaning.
    """

    per_node: Annotated[int, Field(ge=1)] = 1
    nodes: Annotated[int, Field(ge=1)] = 1
    tight: bool = False
    address: str = "127.0.0.1"
    port: Annotated[int, Field(gt=0, lt=65535)] | None = None

    @model_validator(mode="after")
    def _machines_meet(self) -> Processes:
        if self.nodes > 1 and self.port is None:
            raise ValueError("several machines need a port to meet at")
        return self

    @property
    def count(self) -> int:
        """All processes."""
        return self.per_node * self.nodes


ALONE = Processes()
"""One process."""
