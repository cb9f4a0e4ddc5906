"""BLEU and chrF by sacrebleu, with the sufficient statistics that a bootstrap of whole sets needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import EnvironmentMissing
from pipeline.metrics.base import check_lengths

if TYPE_CHECKING:
    from pipeline.metrics.base import Counts, Values


class OverlapMetric(ABC):
    """A corpus metric of sacrebleu with one reference for each item, as a share instead of percent."""

    name: str
    higher_is_better = True
    least = 0.0
    binary = False
    decomposable = False

    def __init__(self) -> None:
        try:
            import sacrebleu  # noqa: F401  that it is here
        except ImportError as error:
            raise EnvironmentMissing(
                "this environment has no sacrebleu",
                where=f"evaluate.metrics.{self.name}",
                fix="evaluate with generation.backend: transformers, or install sacrebleu there",
            ) from error

    @abstractmethod
    def scorer(self, *, sentence: bool) -> Any:
        """Return sacrebleu's metric, for sentences or for whole sets."""

    def item(self, prediction: str, reference: str) -> float:
        """Return the score of the one sentence, in [0, 1]; the metric is no mean of them."""
        score = self.scorer(sentence=True).sentence_score(prediction, [reference]).score
        return min(1.0, max(0.0, float(score) / 100))

    def corpus(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        """Return the score of the set, in [0, 1].

        Raises:
            DataError: no items, or unequal lengths.
        """
        check_lengths(predictions, references)
        scorer = self.scorer(sentence=False)
        return min(1.0, float(scorer.corpus_score(list(predictions), [list(references)]).score) / 100)

    def statistic(self, predictions: Sequence[str], references: Sequence[str]) -> Callable[[Counts], Values]:
        """Return the score as a function of counts; see ``CorpusMetric``.

        A set's score depends on sums over its items alone (n-gram matches, totals and lengths).

        Raises:
            DataError: no items, or unequal lengths.
        """
        import numpy as np

        check_lengths(predictions, references)
        scorer = self.scorer(sentence=False)
        sums = np.array(scorer._extract_corpus_statistics(list(predictions), [list(references)]))  # noqa: SLF001

        def of_sets(counts: Counts) -> Values:
            scores = [scorer._compute_score_from_stats(row).score for row in (counts @ sums).tolist()]  # noqa: SLF001
            return np.minimum(1.0, np.array(scores) / 100)

        return of_sets

    def worth(self, references: Sequence[str]) -> float:
        """Return the number of items; see ``CorpusMetric``."""
        return float(len(references))
