"""BLEU: n-gram precision with a penalty for answers that are too short."""

from __future__ import annotations

from typing import Any

from pipeline.metrics.overlap import OverlapMetric


class Bleu(OverlapMetric):
    """Corpus BLEU (Papineni et al. 2002, section 2.3) with sacrebleu's defaults: 13a tokens, case kept, exp smoothing.

    Post 2018. An item's own score takes the n-gram orders that its length allows (``effective_order``).
    """

    name = "bleu"

    def scorer(self, *, sentence: bool) -> Any:
        """Return sacrebleu's BLEU."""
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(effective_order=sentence)
