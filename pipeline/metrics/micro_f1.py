"""Micro-F1: one F1 over the decisions of all classes together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.metrics.class_counts import ClassMetric

if TYPE_CHECKING:
    from pipeline.metrics.base import Values


class MicroF1(ClassMetric):
    """2 TP / (2 TP + FP + FN), summed over the classes that occur among a set's references.

    Manning, Raghavan & Schütze, Introduction to Information Retrieval (2008), section 13.6. As in ``macro_f1``, a label
    that only predictions hold is no class: it misses a class (FN) and adds no false positive. Where every prediction is
    one of the classes this is accuracy. It equals ``f1_score(references, predictions, labels=sorted(set(references)),
    average="micro")`` of normalized labels.
    """

    name = "micro_f1"

    def of_classes(self, support: Values, guesses: Values, hits: Values) -> Values:
        """Return micro-F1 of each set; see ``ClassMetric``."""
        guessed = (guesses * (support > 0)).sum(axis=0)
        found: Values = 2 * hits.sum(axis=0) / (support.sum(axis=0) + guessed)
        return found
