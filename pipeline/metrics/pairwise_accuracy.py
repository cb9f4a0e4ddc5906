"""Pairwise accuracy: the answer that is preferred is the one that people preferred."""

from __future__ import annotations

from pipeline.metrics.base import ItemMean


class PairwiseAccuracy(ItemMean):
    """1 where the chosen answer of a pair scores higher than the rejected one; a tie is 0.

    It measures what a run with `train.method: reward` trains (Lambert et al. 2024, arXiv:2403.13787, section 4.1), and
    nothing else. A reward model scores both answers; a language model prefers the one whose tokens it finds likelier in
    the mean.
    """

    name = "pairwise_accuracy"
    binary = True

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 where the preferred answer is the reference, which is the chosen one, else 0.0."""
        return float(prediction == reference)
