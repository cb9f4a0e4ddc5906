"""Labels counted by class, for many resamples at once: what metrics over a confusion matrix have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.metrics.base import check_lengths
from pipeline.metrics.labels import normalize_label

if TYPE_CHECKING:
    from pipeline.metrics.base import Counts, Values


class ClassMetric(ABC):
    """A metric of how often each class was meant, guessed and hit; labels are compared by ``normalize_label``."""

    name: str
    higher_is_better = True
    least = 0.0
    binary = False
    decomposable = False

    @abstractmethod
    def of_classes(self, support: Values, guesses: Values, hits: Values) -> Values:
        """Return the metric of each set.

        Args:
            support: how many references of each class a set holds, shape (classes, sets); the classes are the labels
                that references or predictions hold.
            guesses: how many predictions of it.
            hits: how many items of it are predicted as it.

        Returns:
            Shape (sets,).
        """

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 where the label is right, else 0.0; the metric is no mean of them."""
        return float(normalize_label(prediction) == normalize_label(reference))

    def corpus(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        """Return the metric over one or more items.

        Raises:
            DataError: no items, or unequal lengths.
        """
        import numpy as np

        once = np.ones((1, len(references)), dtype=np.int64)
        return float(self.statistic(predictions, references)(once)[0])

    def statistic(self, predictions: Sequence[str], references: Sequence[str]) -> Callable[[Counts], Values]:
        """Return the metric as a function of counts; see ``CorpusMetric``.

        Raises:
            DataError: no items, or unequal lengths.
        """
        import numpy as np
        from scipy.sparse import csr_matrix

        check_lengths(predictions, references)
        predicted, expected = ([normalize_label(text) for text in texts] for texts in (predictions, references))
        column = {label: number for number, label in enumerate(sorted({*predicted, *expected}))}
        classes = len(column)
        cells = [(item, column[label]) for item, label in enumerate(expected)]
        cells += [(item, classes + column[label]) for item, label in enumerate(predicted)]
        cells += [(item, 2 * classes + column[e]) for item, e in enumerate(expected) if e == predicted[item]]
        membership = csr_matrix((np.ones(len(cells)), tuple(zip(*cells, strict=True))), (len(expected), 3 * classes))
        per_class = membership.T.tocsr()

        def of_sets(counts: Counts) -> Values:
            totals = np.asarray(per_class @ counts.T.astype(np.float64))
            return self.of_classes(*np.split(totals, 3))

        return of_sets

    def worth(self, references: Sequence[str]) -> float:
        """Return the number of items; see ``CorpusMetric``."""
        return float(len(references))
