"""What training changes of the base: the update of each matrix that LoRA adapts, or each weight itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from pipeline.core.errors import ConfigError

VALUE_HEAD = "value_head"
"""A module that a method has beside the model while it trains, and that is no part of what is changed."""


@dataclass(frozen=True)
class LoraChange:
    """``scaling * B A`` of one layer; ``a`` is (rank, inputs), ``b`` (outputs, rank)."""

    name: str
    weight: torch.Tensor
    layer: torch.nn.Module
    a: torch.nn.Parameter
    b: torch.nn.Parameter
    scaling: float
    transposed: bool

    @property
    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """A and B."""
        return self.a, self.b

    def delta(self) -> torch.Tensor:
        """Return the update, in the shape of ``weight``."""
        update = self.scaling * (self.b @ self.a)
        return update.T if self.transposed else update

    def squared(self) -> torch.Tensor:
        """Return the squared Frobenius norm by tr(B A A' B') = sum(B'B * AA'), which never makes the whole matrix."""
        return self.scaling**2 * ((self.b.T @ self.b) * (self.a @ self.a.T)).sum()


@dataclass(frozen=True)
class WholeChange:
    """A weight that is trained itself; ``weight`` is a copy of what it was."""

    name: str
    weight: torch.Tensor
    trained: torch.nn.Parameter

    @property
    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """The weight."""
        return (self.trained,)

    def delta(self) -> torch.Tensor:
        """Return the difference from the base."""
        return self.trained - self.weight

    def squared(self) -> torch.Tensor:
        """Return its sum of squares."""
        return self.delta().square().sum()


Change: TypeAlias = LoraChange | WholeChange
"""One matrix of the base and how it changes; ``weight`` is the base's, ``parameters`` are trained."""


def lora_changes(model: torch.nn.Module, adapter: str = "default") -> list[LoraChange]:
    """Return the update of every layer that the adapter changes, in the model's order.

    Raises:
        ConfigError: the adapter changes something else than linear layers, such as the embeddings.
    """
    from peft.tuners.lora.layer import LoraLayer

    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer) and adapter in layer.lora_embedding_A:
            raise ConfigError(
                f"the adapter changes the embeddings ({name.rsplit('.', 1)[-1]}), which this method does not hold",
                where="train.retention",
                fix="take linear layers only in train.lora.target_modules, or replay",
            )
    return list(_lora(model, adapter))


def _lora(model: torch.nn.Module, adapter: str) -> Iterator[LoraChange]:
    from peft.tuners.lora.layer import LoraLayer

    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer) and adapter in layer.lora_A:
            yield LoraChange(
                name=name,
                weight=layer.get_base_layer().weight,
                layer=layer,
                a=layer.lora_A[adapter].weight,
                b=layer.lora_B[adapter].weight,
                scaling=float(layer.scaling[adapter]),
                transposed=bool(getattr(layer, "fan_in_fan_out", False)),
            )


def whole_changes(model: torch.nn.Module) -> list[WholeChange]:
    """Return every trained weight with a copy of its present value, as the base's."""
    return [
        WholeChange(name, parameter.detach().clone(), parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith(VALUE_HEAD)
    ]
