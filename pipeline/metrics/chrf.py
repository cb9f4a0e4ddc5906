"""chrF: F-score of character n-grams."""

from __future__ import annotations

from typing import Any

from pipeline.metrics.overlap import OverlapMetric


class Chrf(OverlapMetric):
    """chrF2 (Popović 2015, eq. 1; beta 2, character n-grams to 6) with sacrebleu's defaults."""

    name = "chrf"

    def scorer(self, *, sentence: bool) -> Any:  # noqa: ARG002  one for both
        """Return sacrebleu's chrF."""
        from sacrebleu.metrics.chrf import CHRF

        return CHRF()
