"""The next token of each row: the most probable, or one drawn from the nucleus with the row's own random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from schemas.evaluate import GenerationConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. ``uniforms`` (rows, new tokens) in [0, 1), or None for greedy."""

    temperature: float
    top_p: float
    uniforms: Tensor | None

    @classmethod
    def of(cls, config: GenerationConfig, rows: int) -> Sampling:
        """Return what ``config`` says for ``rows`` prompts; a row's numbers depend on the seed and its place."""
        if config.temperature == 0.0:
            return cls(0.0, 1.0, None)
        generator = torch.Generator().manual_seed(config.seed)
        uniforms = torch.rand((rows, config.max_new_tokens), generator=generator, dtype=torch.float64)
        return cls(config.temperature, config.top_p, uniforms)

    def part(self, rows: Sequence[int]) -> Sampling:
        """Return what belongs to ``rows``."""
        return replace(self, uniforms=None if self.uniforms is None else self.uniforms[list(rows)])

    def choose(self, logits: Tensor, rows: Sequence[int], step: int) -> Tensor:
        """Return the next token (lines,) for logits (lines, vocabulary); line i is row ``rows[i]``.

        Nucleus sampling (Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020, section 3.1) by
        inversion: the token at which the cumulated probability passes the row's random number.
        """
        if self.uniforms is None:
            return logits.argmax(dim=-1)
        scaled = torch.softmax(logits.double() / self.temperature, dim=-1)
        probabilities, tokens = scaled.sort(dim=-1, descending=True, stable=True)
        cumulated = probabilities.cumsum(dim=-1)
        # The smallest set whose probability reaches top_p: a token is in it if those before it do not reach it.
        kept = (cumulated - probabilities < self.top_p).sum(dim=-1, keepdim=True)
        total = cumulated.gather(1, kept - 1)
        threshold = self.uniforms[list(rows), step].to(logits.device)[:, None] * total
        place = (cumulated <= threshold).sum(dim=-1, keepdim=True)
        return tokens.gather(1, torch.minimum(place, kept - 1))[:, 0]
