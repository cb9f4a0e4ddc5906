"""Exact match: the output is the reference, character for character."""

from __future__ import annotations

from pipeline.metrics.base import ItemMean


class ExactMatch(ItemMean):
    """1 where prediction and reference are equal but for outer whitespace, which is all that is normalized.

    SQuAD's exact match (Rajpurkar et al., EMNLP 2016, section 6.1) also drops case, punctuation and articles; this
    one does not: an output that a program reads must be right to the character.
    """

    name = "exact_match"
    binary = True

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 or 0.0."""
        return float(prediction.strip() == reference.strip())
