"""ROUGE (Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004): words in common, as F1."""

from __future__ import annotations

from functools import cache
from typing import Any

from pipeline.core.errors import EnvironmentMissing
from pipeline.metrics.base import ItemMean


class Rouge(ItemMean):
    """F1 as the package rouge_score computes it, without stemming.

    Tokens are lower-cased runs of ASCII letters and digits, so that text in other scripts scores 0 and takes ``chrf``
    instead.
    """

    name: str
    binary = False

    def __init__(self) -> None:
        self._scorer = _scorer(self.name)

    def item(self, prediction: str, reference: str) -> float:
        """Return the F1, in [0, 1]."""
        return float(self._scorer.score(reference, prediction)[self.name].fmeasure)


class Rouge1(Rouge):
    """ROUGE-1, the F1 of words in common (Lin 2004, section 2), as rouge_score has it; ASCII words only."""

    name = "rouge1"


class Rouge2(Rouge):
    """ROUGE-2, the F1 of pairs of words in common (Lin 2004, section 2), as rouge_score has it; ASCII words only."""

    name = "rouge2"


class RougeL(Rouge):
    """ROUGE-L, the F1 of the longest common subsequence (Lin 2004, section 3.1), as rouge_score has it; ASCII only."""

    name = "rougeL"


@cache
def _scorer(name: str) -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise EnvironmentMissing(
            "this environment has no rouge_score",
            where=f"evaluate.metrics.{name}",
            fix="evaluate with generation.backend: transformers, or install rouge_score there",
        ) from error
    return RougeScorer([name], use_stemmer=False)
