"""Losses and the coefficient's controller against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.backends.training.ppo.controller import next_coefficient
from pipeline.backends.training.ppo.losses import clipped_share, policy_loss, value_loss

CLOSE = 1e-6


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.5, 1.0, -1.2),  # a gain counts up to 1.2 only
        (1.5, -1.0, 1.5),  # a loss counts in full
        (0.5, 1.0, -0.5),
        (0.5, -1.0, 0.8),
        (1.1, 2.0, -2.2),  # within the range
    ],
)
def test_the_policy_loss(ratio: float, advantage: float, loss: float) -> None:
    new = torch.tensor([[math.log(ratio) - 2.0]], requires_grad=True)
    found = policy_loss(new, torch.tensor([[-2.0]]), torch.tensor([[advantage]]), 0.2)
    assert found.item() == pytest.approx(loss, abs=CLOSE)
    found.sum().backward()
    # where the clipped side is the larger one nothing pulls; elsewhere d/dx of -A exp(x - old) is -A r
    pulls = abs(loss) == pytest.approx(ratio * abs(advantage))
    assert new.grad is not None
    assert new.grad.item() == pytest.approx(-advantage * ratio if pulls else 0.0, abs=CLOSE)


@pytest.mark.parametrize(
    ("returned", "loss"),
    [
        (0.2, 0.32),  # (1 - 0.2)^2 / 2; the near value 0.7 is better off
        (2.0, 0.845),  # (0.7 - 2)^2 / 2; the new value may not count as near as it is
    ],
)
def test_the_value_loss(returned: float, loss: float) -> None:
    # from 0.5 to 1.0 with a range of 0.2: the near value is 0.7
    found = value_loss(torch.tensor([[1.0]]), torch.tensor([[0.5]]), torch.tensor([[returned]]), 0.2)
    assert found.item() == pytest.approx(loss, abs=CLOSE)


def test_the_clipped_share() -> None:
    # ratios 1.5, 1.1 and 0.7; the fourth is no token
    ratios = torch.tensor([[1.5, 1.1, 0.7, 9.0]])
    assert clipped_share(ratios.log(), torch.zeros(1, 4), torch.tensor([[1, 1, 1, 0]]), 0.2) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("distance", "coefficient"),
    [
        (9.0, 0.201024),  # e = min(0.5, 0.2): 0.2 (1 + 0.2 x 256 / 10,000)
        (5.7, 0.199744),  # e = -0.05
        (6.0, 0.2),
        (0.0, 0.198976),  # e = max(-1, -0.2)
    ],
)
def test_the_controller(distance: float, coefficient: float) -> None:
    found = next_coefficient(0.2, distance, target=6.0, horizon=10_000, answers=256)
    assert found == pytest.approx(coefficient, abs=1e-9)
