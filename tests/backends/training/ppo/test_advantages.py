"""Rewards of tokens, advantages and whitening against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backends.training.ppo.advantages import generalized_advantages, token_rewards, whiten

CLOSE = 1e-6


def test_the_score_comes_last_and_distance_costs_everywhere() -> None:
    # -0.5 times each distance; the first answer has three tokens and scores 1, the second has one and scores 2
    distances = torch.tensor([[0.1, -0.2, 0.3], [0.5, 0.9, 0.9]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    rewards = token_rewards(torch.tensor([1.0, 2.0]), distances, mask, 0.5)
    assert rewards[0].tolist() == pytest.approx([-0.05, 0.1, 0.85], abs=CLOSE)
    assert rewards[1].tolist() == pytest.approx([1.75, 0.0, 0.0], abs=CLOSE)


def test_advantages_by_hand() -> None:
    # gamma 0.9, lambda 0.8, so that a later advantage counts 0.72. From the end:
    #   d3 = 1 - 0.6 = 0.4                A3 = 0.4
    #   d2 = 0.9 x 0.6 - 0.4 = 0.14       A2 = 0.14 + 0.72 x 0.4 = 0.428
    #   d1 = 0.9 x 0.4 - 0.5 = -0.14      A1 = -0.14 + 0.72 x 0.428 = 0.16816
    # returns are A + V. The second answer ends after its first token: A = 2 - 0.5, whatever follows.
    rewards = torch.tensor([[0.0, 0.0, 1.0], [2.0, 9.0, 9.0]])
    values = torch.tensor([[0.5, 0.4, 0.6], [0.5, 7.0, 7.0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    advantages, returns = generalized_advantages(rewards, values, mask, gamma=0.9, lam=0.8)
    assert advantages[0].tolist() == pytest.approx([0.16816, 0.428, 0.4], abs=CLOSE)
    assert returns[0].tolist() == pytest.approx([0.66816, 0.828, 1.0], abs=CLOSE)
    assert advantages[1].tolist() == pytest.approx([1.5, 0.0, 0.0], abs=CLOSE)
    assert returns[1].tolist() == pytest.approx([2.0, 0.0, 0.0], abs=CLOSE)


numbers = st.floats(-3.0, 3.0, width=32)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), st.floats(0.0, 1.0), st.booleans())
def test_the_ends_of_lambda(tokens: list[tuple[float, float]], gamma: float, whole: bool) -> None:
    """With lambda 1 an advantage is the discounted sum of what follows less the value, with 0 one step's surprise."""
    rewards, values = (torch.tensor([column], dtype=torch.float64) for column in zip(*tokens, strict=True))
    mask = torch.ones_like(rewards)
    advantages, _ = generalized_advantages(rewards, values, mask, gamma=gamma, lam=float(whole))
    for place in range(len(tokens)):
        if whole:
            expected = sum(gamma**later * reward for later, (reward, _) in enumerate(tokens[place:]))
        else:
            expected = tokens[place][0] + (gamma * tokens[place + 1][1] if place + 1 < len(tokens) else 0.0)
        assert float(advantages[0, place]) == pytest.approx(expected - tokens[place][1], abs=CLOSE)


def test_whitening_by_hand() -> None:
    # 2, 4 and 6: mean 4, variance (4 + 0 + 4) / 2 = 4; what is outside does not count
    values, mask = torch.tensor([[2.0, 4.0], [6.0, 99.0]]), torch.tensor([[1, 1], [1, 0]])
    assert whiten(values, mask).flatten().tolist() == pytest.approx([-1.0, 0.0, 1.0, 0.0], abs=CLOSE)
    assert whiten(values, mask, shift=False).flatten().tolist() == pytest.approx([3.0, 4.0, 5.0, 0.0], abs=CLOSE)


def test_one_token_is_whitened_to_nothing() -> None:
    assert whiten(torch.tensor([[3.0]]), torch.tensor([[1]])).item() == 0.0
