"""Penalties that hold a training to what the base knows; their gradient joins the loss's once a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from pipeline.backends.training.base_task import Inputs, fisher_information, input_directions
from pipeline.backends.training.changes import Change, LoraChange, lora_changes, whole_changes
from pipeline.backends.training.job import as_inputs
from schemas.retention import EWC, L2SP, PENALTIES, OrthogonalLora

if TYPE_CHECKING:
    from pipeline.backends.training.guarded import GuardedTrainer
    from pipeline.backends.training.job import Row, TrainJob

Term = tuple[Sequence[torch.nn.Parameter], Callable[[], torch.Tensor]]
"""Trained parameters, and a function of them."""


class Penalty:
    """A sum of terms, each over the parameters of one matrix: what one needs is freed before the next."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = terms

    def add_gradient(self) -> float:
        """Add the penalty's gradient to that of its parameters and return its value."""
        total = 0.0
        for parameters, term in self.terms:
            with torch.enable_grad():
                value = term()
            for parameter, gradient in zip(
                parameters, torch.autograd.grad(value, parameters, allow_unused=True), strict=True
            ):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
            total += float(value.detach())
        return total


def build_penalty(job: TrainJob, trainer: GuardedTrainer) -> Penalty | None:
    """Return the penalty that the retention methods ask for, None where they ask for none.

    The model must be the base still, with an adapter that changes nothing.
    """
    methods = [method for method in job.config.retention if isinstance(method, PENALTIES)]
    if not methods:
        return None
    adapted = lora_changes(trainer.model)
    changes: Sequence[Change] = adapted if job.config.lora is not None else whole_changes(trainer.model)
    terms: list[Term] = []
    for method in methods:
        match method:
            case L2SP():
                terms += distance_terms(changes, method.weight)
            case EWC():
                with job.context.progress("measuring the base's own tasks", method.rows) as advance:
                    batches = one_by_one(trainer, job.base_rows[: method.rows], advance)
                    information = fisher_information(trainer, batches, changes)
                terms += importance_terms(changes, information, method.weight)
            case OrthogonalLora():
                with job.context.progress("measuring the base's own tasks", method.rows) as advance:
                    batches = one_by_one(trainer, job.base_rows[: method.rows], advance)
                    directions = input_directions(trainer, batches, adapted, method.energy)
                terms += overlap_terms(adapted, directions, method.weight)
    return Penalty(terms)


def one_by_one(trainer: GuardedTrainer, rows: Sequence[Row], advance: Callable[[int], None]) -> Iterator[Inputs]:
    """Yield rows as batches of one, on the model's device."""
    for row in as_inputs(rows):
        yield trainer._prepare_inputs(trainer.data_collator([row]))  # noqa: SLF001  how Trainer feeds its model
        advance(1)


def distance_terms(changes: Sequence[Change], weight: float) -> list[Term]:
    """Return ``weight / 2`` times the squared distance from the base, a term for each matrix."""
    return [(change.parameters, partial(_distance, change, weight)) for change in changes]


def _distance(change: Change, weight: float) -> torch.Tensor:
    return weight / 2 * change.squared()


def importance_terms(changes: Sequence[Change], information: Sequence[torch.Tensor], weight: float) -> list[Term]:
    """Return the same with each weight's squared change times its Fisher information."""
    return [
        (change.parameters, partial(_importance, change, known, weight))
        for change, known in zip(changes, information, strict=True)
    ]


def _importance(change: Change, information: torch.Tensor, weight: float) -> torch.Tensor:
    return weight / 2 * (information * change.delta().square()).sum()


def overlap_terms(changes: Sequence[LoraChange], directions: Sequence[torch.Tensor], weight: float) -> list[Term]:
    """Return ``weight`` times the squared length of A's rows within ``directions``, a term for each layer."""
    return [
        ((change.a,), partial(_overlap, change, known, weight))
        for change, known in zip(changes, directions, strict=True)
    ]


def _overlap(change: LoraChange, directions: torch.Tensor, weight: float) -> torch.Tensor:
    return weight * (change.a @ directions).square().sum()
