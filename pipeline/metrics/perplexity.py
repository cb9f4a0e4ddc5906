"""Perplexity: how surprised the model is by the answers that were expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pipeline.metrics.measure import Needs, Probabilities, Unit

if TYPE_CHECKING:
    from pipeline.metrics.measure import Counts, Values

_MOST = 700.0
"""Nats per token beyond which the exponential has no number."""


class Perplexity:
    """exp of the mean negative log-probability of a token of the expected answers, each after its question.

    Jelinek et al., Perplexity - a measure of the difficulty of speech recognition tasks (1977). All tokens of a set
    weigh the same, so long answers count for more than short ones; the tokens are those that training trains, the end
    of the turn included. 1 is certainty, and a model that guesses has the size of its vocabulary. Only models with one
    tokenizer compare.
    """

    name: ClassVar[str] = "perplexity"
    needs: ClassVar[Needs] = "references"
    unit: ClassVar[Unit] = "ratio"

    def statistic(self, found: Probabilities) -> Callable[[Counts], Values]:
        """Return the perplexity of each set of items; see `Measure`."""
        import numpy as np

        nats, tokens = found.nats, found.tokens
        assert nats is not None and tokens is not None, "a measure is given what it needs"

        def perplexity(counts: Counts) -> Values:
            values: Values = np.exp(np.minimum(_MOST, counts @ nats / np.maximum(counts @ tokens, 1.0)))
            return values

        return perplexity
