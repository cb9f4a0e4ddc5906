"""From what an answer earned to how much better each of its tokens was than expected.

All tensors are (answers, tokens); ``mask`` is 1 for an answer's tokens and 0 after its end.
"""

from __future__ import annotations

import torch

_SMALL = 1e-8


def token_rewards(
    scores: torch.Tensor, distances: torch.Tensor, mask: torch.Tensor, coefficient: float
) -> torch.Tensor:
    """Return the reward of each token: minus ``coefficient`` times its distance from the base, the score at the last.

    Ziegler et al. 2019 (arXiv:1909.08593), equation 2: R = r - beta log(pi / rho), in which the logarithm is the sum
    of ``distances`` over an answer's tokens.

    Args:
        scores: the reward of each answer, shape (answers,).
        distances: log-probability by the model minus that by the base.
        mask: which tokens are an answer's; each has one at least.
        coefficient: beta.
    """
    rewards = -coefficient * distances * mask
    last = mask.long().sum(dim=1) - 1
    rewards[torch.arange(len(rewards)), last] += scores
    return rewards


def generalized_advantages(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, *, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the advantage of each token, and the return that its value should have been.

    Schulman et al. 2015 (arXiv:1506.02438), equations 11 and 16: with d_t = r_t + gamma V_{t+1} - V_t the advantage is
    A_t = d_t + gamma lam A_{t+1}; after the last token both are 0. The return is A_t + V_t.
    """
    rewards, values = rewards * mask, values * mask
    advantages = torch.zeros_like(rewards)
    following = next_value = torch.zeros_like(rewards[:, 0])
    for place in reversed(range(rewards.shape[1])):
        surprise = rewards[:, place] + gamma * next_value - values[:, place]
        following = advantages[:, place] = (surprise + gamma * lam * following) * mask[:, place]
        next_value = values[:, place]
    return advantages, (advantages + values) * mask


def whiten(values: torch.Tensor, mask: torch.Tensor, *, shift: bool = True) -> torch.Tensor:
    """Return values of variance 1 over all tokens, and of mean 0 where ``shift``; 0 outside of answers.

    Rewards are scaled and not shifted: a shift would pay for length (Huang et al. 2024, arXiv:2403.17031, detail 13).
    """
    count = mask.sum()
    mean = (values * mask).sum() / count
    variance = ((values - mean).square() * mask).sum() / (count - 1).clamp(min=1)
    whitened = (values - mean) * torch.rsqrt(variance + _SMALL)
    return (whitened if shift else whitened + mean) * mask
