"""Losses on pairs: values by hand, TRL's own functions, and what a model gives both sides."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline.backends.training.methods.cpo import cpo_loss
from pipeline.backends.training.methods.orpo import orpo_loss
from pipeline.backends.training.methods.simpo import simpo_loss
from pipeline.backends.training.pairs import Sides, compare
from schemas.preference import CpoOptions, OrpoOptions, SimpoOptions

# Two pairs. Chosen: sums -1 over 2 tokens and -6 over 3; rejected: -8 over 4 and -2 over 2.
SIDES = Sides(
    torch.tensor([-1.0, -6.0]), torch.tensor([-8.0, -2.0]), torch.tensor([2.0, 3.0]), torch.tensor([4.0, 2.0])
)


def minus_log_sigmoid(value: float) -> float:
    return math.log1p(math.exp(-value))


def test_orpo_by_hand() -> None:
    # Means: -0.5 and -2 (pair 1), -2 and -1 (pair 2). odds(p) = p / (1 - p) with p = exp(mean).
    def log_odds(mean: float) -> float:
        return math.log(math.exp(mean) / (1 - math.exp(mean)))

    expected = [
        0.5 + 0.25 * minus_log_sigmoid(log_odds(-0.5) - log_odds(-2.0)),
        2.0 + 0.25 * minus_log_sigmoid(log_odds(-2.0) - log_odds(-1.0)),
    ]
    assert orpo_loss(SIDES, OrpoOptions(beta=0.25)).tolist() == pytest.approx(expected, abs=1e-6)


def test_cpo_by_hand() -> None:
    # Margins of sums: 7 and -4; beta 0.5 makes 3.5 and -2. Likelihood of the chosen: means -0.5 and -2, weight 2.
    found = cpo_loss(SIDES, CpoOptions(beta=0.5, cpo_alpha=2.0))
    assert found.tolist() == pytest.approx([minus_log_sigmoid(3.5) + 1.0, minus_log_sigmoid(-2.0) + 4.0], abs=1e-6)
    # hinge: max(0, 1 - 3.5) = 0 and 1 + 2 = 3
    found = cpo_loss(SIDES, CpoOptions(beta=0.5, cpo_alpha=0.0, loss_type="hinge"))
    assert found.tolist() == [0.0, 3.0]
    # ipo: mean margins 1.5 and -1, minus 1 / (2 * 0.5) = 1, squared: 0.25 and 4
    found = cpo_loss(SIDES, CpoOptions(beta=0.5, cpo_alpha=0.0, loss_type="ipo"))
    assert found.tolist() == pytest.approx([0.25, 4.0], abs=1e-6)


def test_simpo_by_hand() -> None:
    # beta (mean margin) - gamma: 2 * 1.5 - 0.5 = 2.5 and 2 * -1 - 0.5 = -2.5
    found = simpo_loss(SIDES, SimpoOptions(beta=2.0, simpo_gamma=0.5))
    assert found.tolist() == pytest.approx([minus_log_sigmoid(2.5), minus_log_sigmoid(-2.5)], abs=1e-6)


def test_the_losses_are_those_of_trl() -> None:
    from trl.experimental.cpo.cpo_trainer import CPOTrainer
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    device = SimpleNamespace(device="cpu")
    seen: Any = SimpleNamespace(
        alpha=0.0, beta=0.7, loss_type="sigmoid", label_smoothing=0.1, accelerator=device, simpo_gamma=0.4
    )
    theirs = CPOTrainer.cpo_loss(seen, SIDES.chosen, SIDES.rejected)[0]
    ours = cpo_loss(SIDES, CpoOptions(beta=0.7, label_smoothing=0.1, cpo_alpha=0.0))
    assert torch.allclose(ours, theirs, atol=1e-6)
    seen.loss_type, seen.label_smoothing = "simpo", 0.0
    theirs = CPOTrainer.cpo_loss(seen, SIDES.chosen_mean, SIDES.rejected_mean)[0]
    assert torch.allclose(simpo_loss(SIDES, SimpoOptions(beta=0.7, simpo_gamma=0.4)), theirs, atol=1e-6)
    ratio = ORPOTrainer.odds_ratio_loss(seen, SIDES.chosen_mean, SIDES.rejected_mean)[0]
    ours = orpo_loss(SIDES, OrpoOptions(beta=0.7))
    assert torch.allclose(ours, -SIDES.chosen_mean - ratio, atol=1e-6)


@pytest.mark.parametrize("mean", [-1e-9, 0.0, -1e-3, -0.6931, -0.6932, -40.0, -200.0])
def test_orpo_is_finite_wherever_a_model_is_certain(mean: float) -> None:
    values = torch.tensor([mean], requires_grad=True)
    one = torch.ones(1)
    loss = orpo_loss(Sides(values, torch.tensor([-1.0]), one, one), OrpoOptions())
    loss.sum().backward()
    assert loss.isfinite().all()
    assert values.grad is not None and values.grad.isfinite().all()


def test_both_sides_are_summed_over_their_own_tokens() -> None:
    # One pair: the prompt has 2 tokens, the chosen answer 2, the rejected 1, which is padded by one position.
    log_probs = torch.tensor([[0.0, -0.5, -0.25], [0.0, -3.0, 0.0]])
    asked: dict[str, Any] = {}

    def model(**inputs: Any) -> Any:
        asked.update(inputs)
        return SimpleNamespace(log_probs=log_probs)

    inputs = {
        "input_ids": torch.tensor([[5, 6, 7, 8], [5, 6, 9, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
        "completion_mask": torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0]]),
    }
    sides = compare(model, inputs)
    assert (float(sides.chosen), float(sides.rejected)) == (-0.75, -3.0)
    assert (int(sides.chosen_tokens), int(sides.rejected_tokens)) == (2, 1)
    assert asked["labels"].tolist() == [[-100, -100, 7, 8], [-100, -100, 9, -100]]
