"""DeepSpeed ZeRO: what a checkpoint holds, put together from its partitions by its own accessors, and put back.

DeepSpeed keeps float32 master weights and Adam's moments in flat partitions. They are read and written by parameter
(``deepspeed.utils.safe_get_full_*``), so that a checkpoint is the one of a training in one process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from deepspeed.utils import (
    safe_get_full_fp32_param,
    safe_get_full_optimizer_state,
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_optimizer_state,
)
from safetensors.torch import load_file

from pipeline.backends.training.distributed_state import read_optimizer
from pipeline.backends.training.guarded import WEIGHTS
from pipeline.core.errors import IntegrityError

_MOMENTS = ("exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter, beside the number of its steps."""


class ZeroParts:
    """The partitions of ZeRO-2 and ZeRO-3; see `distributed_state.Parts`.

    Args:
        model: as transformers knows it.
        engine: DeepSpeed's, around it.
        ordered: the trained parameters in the order of the optimizer that DeepSpeed was given, by its groups.
        keeps: whether this process keeps what all put together.
    """

    def __init__(self, model: torch.nn.Module, engine: Any, ordered: Sequence[list[Any]], *, keeps: bool) -> None:
        self._model = model
        self._zero = engine.optimizer
        self._ordered = ordered
        self._keeps = keeps

    def weights(self) -> dict[str, torch.Tensor]:
        """See `Parts.weights`."""
        whole = {name: self._kept(safe_get_full_fp32_param(value)) for name, value in self._trained().items()}
        return whole | {name: value.cpu() for name, value in self._buffers().items()}

    def optimizer(self) -> dict[str, Any]:
        """See `Parts.optimizer`."""
        self._find_moments()
        steps = next(iter(self._zero.optimizer.state.values()))["step"]
        state: dict[int, dict[str, Any]] = {}
        groups = []
        for parameters, group in zip(self._ordered, self._groups(), strict=True):
            places = list(range(len(state), len(state) + len(parameters)))
            groups.append({**{key: value for key, value in group.items() if key != "params"}, "params": places})
            for place, parameter in zip(places, parameters, strict=True):
                moments = {key: self._kept(safe_get_full_optimizer_state(parameter, key)) for key in _MOMENTS}
                state[place] = {"step": steps.clone(), **moments}
        return {"state": state, "param_groups": groups}

    def load(self, checkpoint: Path) -> None:
        """See `Parts.load`."""
        self._load_weights(load_file(checkpoint / WEIGHTS), checkpoint / WEIGHTS)
        whole = read_optimizer(checkpoint)
        for kept, group in zip(whole["param_groups"], self._groups(), strict=True):
            group.update({key: value for key, value in kept.items() if key != "params"})
        self._make_moments(whole["state"][0]["step"])
        parameters = [one for group in self._ordered for one in group]
        for place, parameter in enumerate(parameters):
            for key in _MOMENTS:
                self._set_moment(parameter, whole["state"][place][key], key)

    def _groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's groups in the order that it was given them; DeepSpeed drops one without parameters."""
        found = self._zero.param_groups
        rest = iter(found)
        return [
            next(rest) if parameters or len(found) == len(self._ordered) else found[-1] for parameters in self._ordered
        ]

    def _load_weights(self, stored: dict[str, torch.Tensor], path: Path) -> None:
        trained, buffers = self._trained(), self._buffers()
        if different := stored.keys() ^ (trained.keys() | buffers.keys()):
            raise IntegrityError(
                f"the checkpoint holds other parameters than the model trains, such as {min(different)}",
                where=str(path),
                fix="remove the training's work folder and run again",
            )
        with torch.no_grad():
            for name, value in buffers.items():
                value.copy_(stored[name])
            for name, parameter in trained.items():
                self._set_weight(parameter, stored[name].to(parameter.device))

    def _set_weight(self, parameter: Any, whole: torch.Tensor) -> None:
        """Put a weight where the optimizer keeps it in float32, and where the model computes with it."""
        if not hasattr(parameter, "ds_id"):
            safe_set_full_fp32_param(parameter, whole)
            parameter.data.copy_(whole)
            return
        import deepspeed

        safe_set_local_fp32_param(parameter, _partition(whole, parameter))
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
            parameter.data.copy_(whole)

    def _set_moment(self, parameter: Any, whole: torch.Tensor, key: str) -> None:
        if hasattr(parameter, "ds_id"):
            safe_set_local_optimizer_state(parameter, _partition(whole, parameter), key)
        else:
            safe_set_full_optimizer_state(parameter, whole, key)

    def _make_moments(self, steps: torch.Tensor) -> None:
        """Give the optimizer the state that torch makes at its first step, with ``steps`` behind it."""
        zero, adam = self._zero, self._zero.optimizer
        flat = getattr(zero, "fp32_partitioned_groups_flat", None)
        if flat is None:
            flat = zero.single_partition_of_fp32_groups
        for partition in flat:
            moments = {key: torch.zeros_like(partition.data) for key in _MOMENTS}
            adam.state[partition] = {"step": steps.clone(), **moments}
        self._find_moments()

    def _find_moments(self) -> None:
        """Let ZeRO-2 find moments by parameter; by itself it looks for all groups after the first one's step."""
        zero = self._zero
        if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
            zero._hp_optimizer_states_linked = False  # noqa: SLF001  there is no public way
            zero._lazy_init_hp_params_optimizer_state()  # noqa: SLF001

    def _trained(self) -> dict[str, Any]:
        return {name: value for name, value in self._model.named_parameters() if value.requires_grad}

    def _buffers(self) -> dict[str, torch.Tensor]:
        persistent = self._model.state_dict().keys()
        return {name: value for name, value in self._model.named_buffers() if name in persistent}

    def _kept(self, whole: torch.Tensor) -> torch.Tensor:
        return whole.detach().cpu().clone() if self._keeps else whole.new_empty(0)


def _partition(whole: torch.Tensor, parameter: Any) -> torch.Tensor:
    """Return this process's part of a tensor, flat, filled up with zeros to the length that all parts have."""
    size = parameter.ds_tensor.ds_numel
    padded = torch.zeros(size * dist.get_world_size(), dtype=whole.dtype)
    padded[: whole.numel()] = whole.flatten().cpu()
    return padded[size * dist.get_rank() : size * (dist.get_rank() + 1)]
