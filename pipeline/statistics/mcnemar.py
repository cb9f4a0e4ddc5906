"""McNemar's exact test for two models that were scored right or wrong on the same items."""

from __future__ import annotations

import sys

from pipeline.core.errors import DataError


def exact_mcnemar(only_candidate: int, only_baseline: int, *, mid_p: bool = False) -> float:
    """Return the two-sided p-value for the two discordant counts.

    Under the null the items that only one of the two got right are fair coin flips, so the smaller count is
    compared with Binomial(only_candidate + only_baseline, 1/2): McNemar, Psychometrika 12(2), 1947, in its exact
    form.

    Args:
        only_candidate: items that the candidate has right and the baseline wrong (b).
        only_baseline: items that the baseline has right and the candidate wrong (c).
        mid_p: count half of the observed outcome's probability (Fagerland, Lydersen & Laake, BMC Medical Research
            Methodology 13:91, 2013): less conservative, no longer guaranteed to hold its level.

    Raises:
        DataError: a negative count.
    """
    from scipy.stats import binom

    if only_candidate < 0 or only_baseline < 0:
        raise DataError(f"discordant counts {only_candidate} and {only_baseline}", fix="give counts of 0 or more")
    discordant, smaller = only_candidate + only_baseline, min(only_candidate, only_baseline)
    if discordant == 0:
        return 1.0
    p_value = min(1.0, 2 * float(binom.cdf(smaller, discordant, 0.5)))
    if mid_p:
        observed = float(binom.pmf(smaller, discordant, 0.5))
        # With equal counts both tails hold the observed outcome, so the mid-p value is 1 minus half of it.
        p_value = 1 - observed / 2 if only_candidate == only_baseline else p_value - observed
    # Below the smallest float the exact value is unknown but never zero.
    return max(sys.float_info.min, p_value)
