"""Matthews correlation coefficient: how predicted and expected labels go together, 0 where by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.metrics.class_counts import ClassMetric

if TYPE_CHECKING:
    from pipeline.metrics.base import Values


class Mcc(ClassMetric):
    """R_K = (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)), in [-1, 1].

    s items, c of them right, p_k predicted as and t_k of class k: Gorodkin, Comparing two K-category assignments by a
    K-category correlation coefficient (2004), eq. 8. It is 0 where one side holds a single class, as in scikit-learn's
    ``matthews_corrcoef``. Unlike other metrics it can be below 0.
    """

    name = "mcc"
    least = -1.0

    def of_classes(self, support: Values, guesses: Values, hits: Values) -> Values:
        """Return the coefficient of each set; see ``ClassMetric``."""
        import numpy as np

        items, right = support.sum(axis=0), hits.sum(axis=0)
        spread = (items**2 - (guesses**2).sum(axis=0)) * (items**2 - (support**2).sum(axis=0))
        together = right * items - (guesses * support).sum(axis=0)
        found: Values = np.where(spread > 0.0, together / np.sqrt(np.maximum(spread, 1.0)), 0.0)
        return found
