"""The two losses of PPO, for each token; all tensors are (answers, tokens)."""

from __future__ import annotations

import torch


def policy_loss(new: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, cliprange: float) -> torch.Tensor:
    """Return the clipped surrogate objective, negated (Schulman et al. 2017, equation 7).

    max(-A r, -A clip(r, 1 - e, 1 + e)) with r = exp(new - old), the ratio of the probabilities of the token.
    """
    ratio = (new - old).exp()
    return torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - cliprange, 1 + cliprange))


def value_loss(new: torch.Tensor, old: torch.Tensor, returns: torch.Tensor, cliprange: float) -> torch.Tensor:
    """Return half the squared error of the value, or of the value that is ``cliprange`` away from the old one at most.

    The larger of the two, as in OpenAI's baselines and in the code of Ziegler et al. 2019.
    """
    near = old + (new - old).clamp(-cliprange, cliprange)
    return 0.5 * torch.max((new - returns).square(), (near - returns).square())


def clipped_share(new: torch.Tensor, old: torch.Tensor, mask: torch.Tensor, cliprange: float) -> float:
    """Return the share of tokens whose ratio is outside of the range."""
    outside = ((new - old).exp() - 1).abs() > cliprange
    return float((outside * mask).sum() / mask.sum().clamp(min=1))
