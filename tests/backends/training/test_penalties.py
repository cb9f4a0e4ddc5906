"""Penalties and what they are measured with, on matrices small enough to work out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipeline.backends.training.base_task import fisher_information, main_directions
from pipeline.backends.training.changes import LoraChange, WholeChange
from pipeline.backends.training.penalties import Penalty, Term, distance_terms, importance_terms, overlap_terms


def lora(a: list[list[float]], b: list[list[float]], scaling: float = 2.0) -> LoraChange:
    first, second = (torch.nn.Parameter(torch.tensor(values)) for values in (a, b))
    weight = torch.zeros(len(b), len(a[0]))
    return LoraChange("layer", weight, torch.nn.Identity(), first, second, scaling, transposed=False)


def value(terms: list[Term]) -> float:
    return float(sum(float(term().detach()) for _, term in terms))


CHANGE = lora(a=[[1.0, 2.0]], b=[[3.0], [0.0]])
"""2 * [[3], [0]] [[1, 2]] = [[6, 12], [0, 0]], of squared norm 36 + 144 = 180."""


def test_the_distance_of_an_update_never_makes_the_matrix_and_is_its_norm() -> None:
    assert CHANGE.delta().tolist() == [[6.0, 12.0], [0.0, 0.0]]
    assert float(CHANGE.squared().detach()) == 180.0
    assert value(distance_terms([CHANGE], 0.5)) == 45.0  # .5 / 2 * 180


def test_importance_weighs_each_entry() -> None:
    # .5 / 2 * (2 * 36 + 0 * 144) = 18
    assert value(importance_terms([CHANGE], [torch.tensor([[2.0, 0.0], [7.0, 7.0]])], 0.5)) == 18.0


def test_overlap_is_what_a_reads_of_the_directions() -> None:
    # [1, 2] . [0, 1] = 2, squared 4, times 3
    assert value(overlap_terms([CHANGE], [torch.tensor([[0.0], [1.0]])], 3.0)) == 12.0


def test_whole_weights_are_compared_with_what_they_were() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 5.0]))
    change = WholeChange("weight", torch.tensor([1.0, 2.0]), weight)
    assert value(distance_terms([change], 2.0)) == 9.0
    penalty = Penalty(distance_terms([change], 2.0))
    weight.grad = torch.tensor([1.0, 1.0])
    assert penalty.add_gradient() == 9.0
    assert weight.grad.tolist() == [1.0, 7.0]  # 2 / 2 * 2 * 3 = 6 beside what was there


@pytest.mark.parametrize("kind", ["distance", "importance", "overlap"])
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    torch.manual_seed(0)
    a, b = (torch.nn.Parameter(torch.randn(*shape, dtype=torch.float64)) for shape in ((2, 4), (3, 2)))
    change = LoraChange("layer", torch.zeros(3, 4), torch.nn.Identity(), a, b, 1.5, transposed=False)
    known = torch.rand(3, 4, dtype=torch.float64)

    def penalty(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        moved = LoraChange("layer", change.weight, change.layer, first, second, 1.5, transposed=False)  # type: ignore[arg-type]
        terms = {
            "distance": lambda: distance_terms([moved], 0.3),
            "importance": lambda: importance_terms([moved], [known], 0.3),
            "overlap": lambda: overlap_terms([moved], [known.T], 0.3),
        }[kind]()
        return torch.stack([term() for _, term in terms]).sum()

    assert torch.autograd.gradcheck(penalty, (a, b))


def test_main_directions_hold_the_energy_that_is_asked_for() -> None:
    moment = torch.diag(torch.tensor([1.0, 6.0, 3.0]))  # trace 10: 6 alone hold .6, 6 and 3 hold .9
    assert main_directions(moment, 0.5).shape == (3, 1)
    found = main_directions(moment, 0.8)
    assert found.abs().round().tolist() == [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert main_directions(moment, 0.95).shape == (3, 3)


class OneWeight:
    """A trainer whose loss is the mean over ``terms`` tokens of ``x * w``, for the single weight ``w``."""

    def __init__(self) -> None:
        self.model = torch.nn.Linear(2, 1, bias=False)

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        return int(inputs["terms"])

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        loss: torch.Tensor = model(inputs["x"]).sum() / inputs["terms"]
        return loss


def test_fisher_information_is_the_mean_squared_gradient_of_whole_answers_over_its_mean() -> None:
    trainer: Any = OneWeight()
    weight = trainer.model.weight.requires_grad_(False)
    change = LoraChange("layer", weight, trainer.model, *CHANGE.parameters, 1.0, transposed=False)
    batches = [
        {"x": torch.tensor([1.0, 3.0]), "terms": torch.tensor(2)},
        {"x": torch.tensor([1.0, 1.0]), "terms": torch.tensor(5)},
    ]
    (found,) = fisher_information(trainer, batches, [change])
    # The gradients of the summed losses are (1, 3) and (1, 1), squared and added (2, 10), of mean 6.
    assert found.tolist() == [[pytest.approx(2 / 6), pytest.approx(10 / 6)]]
    assert not weight.requires_grad
