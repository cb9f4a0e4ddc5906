"""What a metric is. A score and a reward are the same thing: a number in [0, 1] for one output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import fsum
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from pipeline.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts: TypeAlias = NDArray[np.int64]
    Values: TypeAlias = NDArray[np.float64]


class Metric(Protocol):
    """One way to score predictions against references.

    Attributes:
        name: how specs and reports call it.
        higher_is_better: whether a larger score is a better model.
        least: the smallest score of a set that there can be; the largest is 1.
        binary: whether every item's score is 0 or 1 and the metric is their mean, so that McNemar's test fits.
        decomposable: whether ``corpus`` is the mean of ``item``; otherwise the metric is a ``CorpusMetric``.
    """

    name: str
    higher_is_better: bool
    least: float
    binary: bool
    decomposable: bool

    def item(self, prediction: str, reference: str) -> float:
        """Return the score of one prediction, in [0, 1]."""

    def corpus(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        """Return the score of a set of one or more items, in [``least``, 1]; the order of items does not matter.

        Raises:
            DataError: no items, or unequal lengths.
        """


@runtime_checkable
class CorpusMetric(Metric, Protocol):
    """A metric over a set that is no mean of items, and can be computed for many resamples at once."""

    def statistic(self, predictions: Sequence[str], references: Sequence[str]) -> Callable[[Counts], Values]:
        """Return a function from counts, shape (rows, items), to ``corpus`` of each row's set, shape (rows,).

        ``counts`` says how often a set holds each item; no row is all zeros.

        Raises:
            DataError: no items, or unequal lengths.
        """

    def worth(self, references: Sequence[str]) -> float:
        """Return how many equally weighted items a set with these references is worth to the metric."""


class ItemMean(ABC):
    """What decomposable metrics share: the score of a set is the mean over its items."""

    higher_is_better = True
    least = 0.0
    decomposable = True

    @abstractmethod
    def item(self, prediction: str, reference: str) -> float:
        """Return the score of one prediction, in [0, 1]."""

    def corpus(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        """Return the mean of ``item``.

        Raises:
            DataError: no items, unequal lengths, or a reference that ``item`` refuses (its number is named).
        """
        # fsum is exact, so that the mean does not depend on the order of items.
        return fsum(item_scores(self, predictions, references)) / len(references)


class ItemScorer(Protocol):
    """Anything that scores one item."""

    def item(self, prediction: str, reference: str) -> float:
        """Return the score of one prediction, in [0, 1]."""


def check_lengths(predictions: Sequence[str], references: Sequence[str]) -> None:
    """Refuse an empty set, and one whose sides differ in length.

    Raises:
        DataError: it is one of these.
    """
    if len(predictions) != len(references):
        raise DataError(
            f"{len(predictions)} predictions for {len(references)} references",
            fix="pass one prediction per reference, in the same order",
        )
    if not references:
        raise DataError("there are no items to score", fix="pass at least one prediction and reference")


def item_scores(metric: ItemScorer, predictions: Sequence[str], references: Sequence[str]) -> list[float]:
    """Return the score of each item, in order.

    Raises:
        DataError: no items, unequal lengths, or a reference that the metric refuses (its number is named,
            counted from 0).
    """
    check_lengths(predictions, references)
    scores = []
    for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        try:
            scores.append(metric.item(prediction, reference))
        except DataError as error:
            raise DataError(error.message, where=f"item {number}", fix=error.fix) from error
    return scores
