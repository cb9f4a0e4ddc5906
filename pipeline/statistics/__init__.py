"""Tests, intervals and sizes: pure functions over numbers, each with the source of its formula."""

from __future__ import annotations

from pipeline.statistics.absolute import absolute_sum_interval
from pipeline.statistics.agreement import cohen_kappa, fleiss_kappa
from pipeline.statistics.agreement_alpha import Level, krippendorff_alpha
from pipeline.statistics.betting import MeanExceeds
from pipeline.statistics.contrast import Contrast, contrast
from pipeline.statistics.equivalence import EquivalenceResult, equivalence
from pipeline.statistics.intervals import (
    Interval,
    bootstrap_interval,
    bootstrap_mean_interval,
    score_interval,
    wilson_interval,
)
from pipeline.statistics.mcnemar import exact_mcnemar
from pipeline.statistics.multiple import benjamini_hochberg, holm
from pipeline.statistics.non_inferiority import NonInferiorityResult, least_items, non_inferiority
from pipeline.statistics.paired import PairedResult, compare, compare_corpus
from pipeline.statistics.permutation import sign_flip_p_value
from pipeline.statistics.preference import Outcome, WinRate, win_rate
from pipeline.statistics.random_effects import SeedsEffect, seeds_effect
from pipeline.statistics.seeds import SeedSummary, summarize_seeds
from pipeline.statistics.sequential import MeanSequence, TwoRates
from pipeline.statistics.size import mcnemar_power, minimum_detectable_gain, required_size

__all__ = [
    "Contrast",
    "EquivalenceResult",
    "Interval",
    "Level",
    "MeanExceeds",
    "MeanSequence",
    "NonInferiorityResult",
    "Outcome",
    "PairedResult",
    "SeedSummary",
    "SeedsEffect",
    "TwoRates",
    "WinRate",
    "absolute_sum_interval",
    "benjamini_hochberg",
    "bootstrap_interval",
    "bootstrap_mean_interval",
    "cohen_kappa",
    "compare",
    "compare_corpus",
    "contrast",
    "equivalence",
    "exact_mcnemar",
    "fleiss_kappa",
    "holm",
    "krippendorff_alpha",
    "least_items",
    "mcnemar_power",
    "minimum_detectable_gain",
    "non_inferiority",
    "required_size",
    "score_interval",
    "seeds_effect",
    "sign_flip_p_value",
    "summarize_seeds",
    "wilson_interval",
    "win_rate",
]
