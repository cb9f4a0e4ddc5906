"""What the base's own tasks depend on: measured on the base as it is, before the first step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipeline.backends.training.changes import Change, LoraChange, WholeChange

if TYPE_CHECKING:
    from pipeline.backends.training.guarded import GuardedTrainer

Inputs = dict[str, torch.Tensor]


def fisher_information(trainer: GuardedTrainer, batches: Iterable[Inputs], changes: Sequence[Change]) -> list[Any]:
    """Return the diagonal of the empirical Fisher information, in the shape of each change's weight, of mean 1.

    For each row the squared gradient of the log-likelihood of its trained tokens (Kirkpatrick et al. 2017, section 2.1;
    Martens 2020, section 9, on the empirical form), averaged. It is divided by the mean over all weights, so that a
    penalty's strength does not depend on the model's size or the length of answers.

    Args:
        trainer: computes the loss; its model is the base with an adapter that changes nothing yet.
        batches: one row each, on the model's device.
        changes: what training will change.
    """
    weights = [change.trained if isinstance(change, WholeChange) else change.weight for change in changes]
    sums = [torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) for weight in weights]
    with _as_it_is(trainer.model), _with_gradients(weights):
        for inputs in batches:
            terms = trainer.batch_weight(inputs)
            loss = trainer.compute_loss(trainer.model, inputs)
            gradients = torch.autograd.grad(loss * terms, weights, allow_unused=True)
            for total, gradient in zip(sums, gradients, strict=True):
                if gradient is not None:
                    total += gradient.detach().float().square()
    mean = float(sum(float(total.sum()) for total in sums)) / sum(total.numel() for total in sums)
    return [total / mean if mean > 0.0 else torch.ones_like(total) for total in sums]


def input_directions(
    trainer: GuardedTrainer, batches: Iterable[Inputs], changes: Sequence[LoraChange], energy: float
) -> list[torch.Tensor]:
    """Return for each layer the main directions of its input, as columns (inputs, directions).

    They are the eigenvectors of the inputs' second moments over all positions, the fewest that hold ``energy`` of their
    trace (Saha et al. 2021, Gradient Projection Memory, eq. 5).
    """
    moments: dict[int, torch.Tensor] = {}

    def watch(index: int) -> Any:
        def hook(_layer: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            seen = arguments[0].detach().float().flatten(0, -2)
            found = seen.T @ seen
            moments[index] = moments[index] + found if index in moments else found

        return hook

    handles = [change.layer.register_forward_pre_hook(watch(index)) for index, change in enumerate(changes)]
    try:
        with _as_it_is(trainer.model), torch.no_grad():
            for inputs in batches:
                trainer.compute_loss(trainer.model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [main_directions(moments[index], energy) for index in range(len(changes))]


def main_directions(moment: torch.Tensor, energy: float) -> torch.Tensor:
    """Return the fewest eigenvectors of a symmetric (n, n) matrix that hold ``energy`` of its trace, as (n, k)."""
    values, vectors = torch.linalg.eigh(moment.double())
    values, vectors = values.flip(0).clamp(min=0.0), vectors.flip(1)
    held = values.cumsum(0) / values.sum()
    count = int((held < energy).sum()) + 1
    return vectors[:, :count].to(moment.dtype)


@contextmanager
def _as_it_is(model: torch.nn.Module) -> Iterator[None]:
    """Have no dropout inside this block: the base is measured, and no random number is drawn."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def _with_gradients(weights: Sequence[torch.Tensor]) -> Iterator[None]:
    before = [weight.requires_grad for weight in weights]
    for weight in weights:
        weight.requires_grad_(requires_grad=True)
    try:
        yield
    finally:
        for weight, asked in zip(weights, before, strict=True):
            weight.requires_grad_(asked)
