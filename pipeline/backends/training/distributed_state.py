"""What a checkpoint holds of a training that several processes share: the same as that of one process alone.

Parts are put together, one tensor after the other, in the first process; to go on, each process takes its part of the
whole. So a training goes on in another number of processes, and with another strategy, than it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from pipeline.backends.training.guarded import WEIGHTS, load_trained, trained_tensors

OPTIMIZER = "optimizer.pt"  # the name that transformers reads


class Parts(Protocol):
    """How the weights and the optimizer's state lie in the processes; all of them call each method."""

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the trained weights whole, in the first process."""

    def optimizer(self) -> dict[str, Any]:
        """Return the optimizer's state whole, as torch's ``state_dict`` gives it, in the first process."""

    def load(self, checkpoint: Path) -> None:
        """Take this process's part of a checkpoint.

        Raises:
            IntegrityError: it holds other parameters than the model trains.
        """


class Copies:
    """Every process has all of it."""

    def __init__(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._model = model
        self._optimizer = optimizer

    def weights(self) -> dict[str, torch.Tensor]:
        """See `Parts.weights`."""
        return {name: value.detach() for name, value in trained_tensors(self._model).items()}

    def optimizer(self) -> dict[str, Any]:
        """See `Parts.optimizer`."""
        return self._optimizer.state_dict()

    def load(self, checkpoint: Path) -> None:
        """See `Parts.load`."""
        load_trained(self._model, checkpoint / WEIGHTS)
        self._optimizer.load_state_dict(read_optimizer(checkpoint))


class FsdpParts:
    """FSDP2: every trained tensor, and what Adam keeps of it, is a `DTensor`.

    Args:
        model: the sharded model.
        optimizer: over its parameters.
        keeps: whether this process keeps what all put together.
    """

    def __init__(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, *, keeps: bool) -> None:
        self._model = model
        self._optimizer = optimizer
        self._keeps = keeps

    def weights(self) -> dict[str, torch.Tensor]:
        """See `Parts.weights`."""
        for module in self._model.modules():
            if isinstance(module, FSDPModule):  # an evaluation leaves the last layers put together
                module.reshard()
        return {name: self._whole(value) for name, value in trained_tensors(self._model).items()}

    def optimizer(self) -> dict[str, Any]:
        """See `Parts.optimizer`."""
        state = self._optimizer.state_dict()
        return {**state, "state": _each(state["state"], lambda _, value: self._whole(value))}

    def load(self, checkpoint: Path) -> None:
        """See `Parts.load`."""
        load_trained(self._model, checkpoint / WEIGHTS, _part)
        whole = read_optimizer(checkpoint)
        parameters = [one for group in self._optimizer.param_groups for one in group["params"]]
        state = _each(whole["state"], lambda place, value: _part(value, parameters[place]))
        self._optimizer.load_state_dict({**whole, "state": state})

    def _whole(self, value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        whole = value.detach().to(value.device_mesh.device_type).full_tensor()
        return whole.cpu() if self._keeps else whole.new_empty(0)


def read_optimizer(checkpoint: Path) -> dict[str, Any]:
    """Return the optimizer's state of a checkpoint; tensors are read when they are used."""
    state: dict[str, Any] = torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True, mmap=True)
    return state


def _part(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return this process's part of a whole tensor, as ``like`` lies; what is not sharded stays as it is."""
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole
    mesh = like.device_mesh
    part: DTensor = distribute_tensor(whole.to(mesh.device_type), mesh, like.placements, src_data_rank=None)
    return part.to(like.device)


def _each(state: Mapping[int, Mapping[str, Any]], change: Callable[[int, Any], Any]) -> dict[int, dict[str, Any]]:
    """Return an optimizer's state with every value changed."""
    return {place: {key: change(place, value) for key, value in kept.items()} for place, kept in state.items()}
