"""Macro-F1: the mean over classes of each class's F1, so that rare classes count as much as frequent ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import fsum
from typing import TYPE_CHECKING

from pipeline.metrics.base import check_lengths
from pipeline.metrics.labels import classes_worth, normalize_label

if TYPE_CHECKING:
    from pipeline.metrics.base import Counts, Values


class MacroF1:
    """The arithmetic mean of 2 TP / (2 TP + FP + FN) over the classes that occur among the references.

    The "averaged F1" of Opitz & Burst, Macro F1 and Macro F1 (arXiv:1911.03347, 2019). Deviation from
    scikit-learn's default: a label that only predictions hold is no class, it costs the class that was missed
    (a generated misspelling would else weigh as much as a class). It equals
    ``f1_score(references, predictions, labels=sorted(set(references)), average="macro")`` of normalized labels.
    """

    name = "macro_f1"
    higher_is_better = True
    least = 0.0
    binary = False
    decomposable = False

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 where the label is right, else 0.0; their mean is accuracy, not macro-F1."""
        return float(normalize_label(prediction) == normalize_label(reference))

    def corpus(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        """Return macro-F1 over one or more items.

        Raises:
            DataError: no items, or unequal lengths.
        """
        check_lengths(predictions, references)
        predicted = [normalize_label(text) for text in predictions]
        expected = [normalize_label(text) for text in references]
        guessed, support = Counter(predicted), Counter(expected)
        hits = Counter(p for p, r in zip(predicted, expected, strict=True) if p == r)
        return fsum(2 * hits[c] / (guessed[c] + support[c]) for c in sorted(support)) / len(support)

    def statistic(self, predictions: Sequence[str], references: Sequence[str]) -> Callable[[Counts], Values]:
        """Return macro-F1 as a function of counts; see ``CorpusMetric``.

        A class that no reference of a resample holds is no class of that resample.

        Raises:
            DataError: no items, or unequal lengths.
        """
        import numpy as np
        from scipy.sparse import csr_matrix

        check_lengths(predictions, references)
        predicted = [normalize_label(text) for text in predictions]
        expected = [normalize_label(text) for text in references]
        column = {label: number for number, label in enumerate(sorted(set(expected)))}
        classes = len(column)
        # Each item adds to its class's support, to the guesses of its predicted class, and to its class's hits.
        cells = [(item, column[label]) for item, label in enumerate(expected)]
        cells += [(item, classes + column[label]) for item, label in enumerate(predicted) if label in column]
        cells += [(item, 2 * classes + column[e]) for item, e in enumerate(expected) if e == predicted[item]]
        membership = csr_matrix((np.ones(len(cells)), tuple(zip(*cells, strict=True))), (len(expected), 3 * classes))
        per_class = membership.T.tocsr()

        def macro_f1(counts: Counts) -> Values:
            totals = np.asarray(per_class @ counts.T.astype(np.float64))
            support, guesses, hits = np.split(totals, 3)
            # Without support there are no hits: such a class adds 0 to the sum and is not counted below.
            scores = 2 * hits / np.maximum(support + guesses, 1.0)
            return np.asarray(scores.sum(axis=0) / (support > 0).sum(axis=0))

        return macro_f1

    def worth(self, references: Sequence[str]) -> float:
        """Return the number of items that a mean over classes has; see ``CorpusMetric``."""
        return classes_worth(references)
