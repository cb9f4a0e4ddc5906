"""Balanced accuracy: the mean over classes of the share that is recognized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.metrics.class_counts import ClassMetric
from pipeline.metrics.labels import classes_worth

if TYPE_CHECKING:
    from pipeline.metrics.base import Values


class BalancedAccuracy(ClassMetric):
    """The mean recall of the classes that occur among a set's references.

    Mosley, A balanced approach to the multi-class imbalance problem (2013), as scikit-learn's
    ``balanced_accuracy_score`` without adjustment for chance.
    """

    name = "balanced_accuracy"

    def of_classes(self, support: Values, guesses: Values, hits: Values) -> Values:  # noqa: ARG002
        """Return balanced accuracy of each set; see ``ClassMetric``."""
        import numpy as np

        found: Values = (hits / np.maximum(support, 1.0)).sum(axis=0) / (support > 0).sum(axis=0)
        return found

    def worth(self, references: Sequence[str]) -> float:
        """Return the number of items that a mean over classes has; see ``CorpusMetric``."""
        return classes_worth(references)
