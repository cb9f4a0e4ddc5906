"""How many test items a gain needs, and what gain a test split of given size can show.

Sized for the test that decides, the exact two-sided McNemar test on independent items: its exact
unconditional power (Schork & Williams, Communications in Statistics B9(4), 1980). The normal
approximation (Miettinen, Biometrics 24(2), 1968; Connor, Biometrics 43(1), 1987) starts the search; alone
it would promise more power than the exact test has.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.core.errors import ConfigError
from pipeline.statistics.units import check_rate

_GAIN_STEP = 1e-6
_STANDARD_DEVIATIONS = 9.0


def mcnemar_power(n: int, gain: float, discordance: float, *, alpha: float = 0.05) -> float:
    """Return the probability that the exact McNemar test finds the candidate better at level ``alpha``.

    Sums over the number of discordant items m ~ Binomial(n, ``discordance``) the probability that the
    candidate wins enough of them, each with probability (discordance + gain) / (2 discordance).

    Args:
        n: test items.
        gain: candidate accuracy minus baseline accuracy.
        discordance: share of items that exactly one of the two has right, at least ``gain``.
        alpha: level of the two-sided test.

    Raises:
        ConfigError: ``n`` is not positive, ``alpha`` out of range, or not 0 < gain <= discordance <= 1.
    """
    import numpy as np
    from scipy.stats import binom

    check_rate(alpha, "alpha")
    if n <= 0:
        raise ConfigError(f"{n} test items", where="n", fix="give at least one item")
    if not 0.0 < gain <= discordance <= 1.0:
        raise ConfigError(
            f"gain {gain} with discordance {discordance}",
            where="discordance",
            fix="0 < gain <= discordance <= 1 must hold",
        )
    spread = _STANDARD_DEVIATIONS * math.sqrt(n * discordance * (1 - discordance)) + _STANDARD_DEVIATIONS
    middle = n * discordance
    discordant = np.arange(max(0, math.floor(middle - spread)), min(n, math.ceil(middle + spread)) + 1)
    # isf gives the smallest x with P(X > x) <= alpha / 2: x + 1 wins reject.
    most_accepted = binom.isf(alpha / 2, discordant, 0.5)
    wins = min(1.0, (discordance + gain) / (2 * discordance))
    rejects = np.where(discordant > 0, binom.sf(most_accepted, discordant, wins), 0.0)
    return float(binom.pmf(discordant, n, discordance) @ rejects)


def required_size(
    gain: float,
    baseline_accuracy: float,
    *,
    discordance: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Return the number of independent test items at which the exact McNemar test finds ``gain``.

    ``discordance`` is the share of items that exactly one side has right; by default that of two sides which
    err independently, p0 (1 - p1) + p1 (1 - p0): real models err together, so this asks for more than enough
    items (Connor 1987).

    Raises:
        ConfigError: a number out of range, baseline plus gain above 1, or a discordance that these accuracies
            cannot have.
    """
    from scipy.stats import norm

    check_rate(power, "power")
    check_rate(alpha, "alpha")
    share = _discordance(gain, baseline_accuracy, discordance)
    # Connor 1987: n = (z_a sqrt(psi) + z_b sqrt(psi - delta^2))^2 / delta^2
    z_alpha, z_beta = float(norm.isf(alpha / 2)), float(norm.isf(1 - power))
    approximate = (z_alpha * math.sqrt(share) + z_beta * math.sqrt(share - gain * gain)) ** 2 / gain**2
    enough = max(1, math.ceil(approximate))
    while mcnemar_power(enough, gain, share, alpha=alpha) < power:
        enough *= 2
    return math.ceil(
        _smallest(lambda n: mcnemar_power(math.ceil(n), gain, share, alpha=alpha) >= power, 0.0, enough, 0.5)
    )


def minimum_detectable_gain(
    n: int,
    baseline_accuracy: float,
    *,
    discordance: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float | None:
    """Return the smallest gain in accuracy that ``n`` independent test items show with ``power``.

    ``discordance`` as in ``required_size``. None where not even the largest possible gain would be found.

    Raises:
        ConfigError: a number out of range, or a discordance that no candidate can have at this baseline.
    """
    check_rate(power, "power")
    _check_accuracy(baseline_accuracy)
    largest = 1.0 - baseline_accuracy
    smallest = 0.0
    if discordance is not None:
        check_rate(discordance, "discordance")
        largest = min(largest, discordance, 2 * (1 - baseline_accuracy) - discordance)
        smallest = max(0.0, discordance - 2 * baseline_accuracy)
        if smallest > largest or largest <= 0.0:
            raise ConfigError(
                f"discordance {discordance} leaves no gain over a baseline of {baseline_accuracy}",
                where="discordance",
                fix="give the share of items that exactly one side has right",
            )
    if largest <= 0.0:
        return None

    def found(gain: float) -> bool:
        share = _discordance(gain, baseline_accuracy, discordance)
        return mcnemar_power(n, gain, share, alpha=alpha) >= power

    return _smallest(found, smallest, largest, _GAIN_STEP) if found(largest) else None


def _smallest(holds: Callable[[float], bool], below: float, above: float, step: float) -> float:
    """Return by bisection a value within ``step`` of where ``holds`` turns true; it holds at ``above``."""
    while above - below > step:
        middle = (below + above) / 2
        below, above = (below, middle) if holds(middle) else (middle, above)
    return above


def _check_accuracy(accuracy: float) -> None:
    if not 0.0 <= accuracy <= 1.0:
        raise ConfigError(f"{accuracy} is not an accuracy", where="baseline_accuracy", fix="give a number from 0 to 1")


def _discordance(gain: float, baseline: float, discordance: float | None) -> float:
    """Return the share of discordant items, checked against the two accuracies."""
    _check_accuracy(baseline)
    candidate = baseline + gain
    if gain <= 0.0 or candidate > 1.0 + 1e-12:
        raise ConfigError(
            f"a gain of {gain} over {baseline}",
            where="gain",
            fix="give a gain above 0 that ends at 1 or below",
        )
    candidate = min(1.0, candidate)
    if discordance is None:
        return max(gain, baseline * (1 - candidate) + candidate * (1 - baseline))
    highest = min(baseline + candidate, 2 - baseline - candidate)
    if not gain <= discordance <= highest + 1e-12:
        raise ConfigError(
            f"accuracies {baseline} and {candidate} cannot disagree on a share of {discordance}",
            where="discordance",
            fix=f"give a number from {gain:.6g} to {highest:.6g}",
        )
    return discordance
