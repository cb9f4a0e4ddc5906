"""Power and size of the paired test by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.statistics import exact_mcnemar, mcnemar_power, minimum_detectable_gain, required_size


@pytest.mark.parametrize(
    ("n", "gain", "discordance", "expected"),
    [
        (5, 1.0, 1.0, 0.0),  # five wins of five: p = 2 / 32 > 0.05
        (6, 1.0, 1.0, 1.0),  # six of six: p = 2 / 64
        (6, 0.5, 1.0, 0.75**6),  # each item is won with (1 + 0.5) / 2; only six of six rejects
        (7, 0.5, 1.0, 0.75**7),  # six of seven: p = 2 (1 + 7) / 128 = 0.125
        (6, 0.5, 0.5, 1 / 64),  # every discordant item is won; all six must be discordant
        (7, 0.5, 0.5, 8 / 128),  # at least six of seven must be discordant
    ],
)
def test_power_by_hand(n: int, gain: float, discordance: float, expected: float) -> None:
    assert mcnemar_power(n, gain, discordance) == pytest.approx(expected, abs=1e-12)


def test_smallest_size_by_hand() -> None:
    assert required_size(1.0, 0.0) == 6
    assert minimum_detectable_gain(5, 0.0) is None
    # Six items, baseline 0: every gained item is discordant and won, so g^6 = 0.8.
    assert minimum_detectable_gain(6, 0.0) == pytest.approx(0.8 ** (1 / 6), abs=2e-6)
    assert minimum_detectable_gain(100, 1.0) is None


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "baseline", "discordance"), [(0.05, 0.75, None), (0.1, 0.5, 0.2), (0.02, 0.9, 0.06)])
def test_size_by_simulation(gain: float, baseline: float, discordance: float | None) -> None:
    n = required_size(gain, baseline, discordance=discordance)
    candidate = baseline + gain
    share = discordance or baseline * (1 - candidate) + candidate * (1 - baseline)
    won = (share + gain) / 2
    counts = np.random.default_rng(6).multinomial(n, [won, share - won, 1 - share], size=3000)
    found = np.mean([b > c and exact_mcnemar(int(b), int(c)) <= 0.05 for b, c, _ in counts])
    assert found == pytest.approx(0.8, abs=0.025)  # binomial noise: sd 0.007
    assert found == pytest.approx(mcnemar_power(n, gain, share), abs=0.025)


@pytest.mark.slow
@given(st.floats(0.02, 0.3), st.floats(0.0, 0.7))
@settings(max_examples=30, deadline=None)
def test_size_and_gain_are_inverse(gain: float, baseline: float) -> None:
    n = required_size(gain, baseline)
    detectable = minimum_detectable_gain(n, baseline)
    assert detectable is not None
    # Power rises with n in small steps of a saw, so the inverse is near, not exact.
    assert detectable <= gain + 2e-6
    assert detectable >= 0.9 * gain


def test_agreement_between_sides_saves_items() -> None:
    assert required_size(0.05, 0.8, discordance=0.1) < required_size(0.05, 0.8) < required_size(0.03, 0.8)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="gain"):
        required_size(0.0, 0.5)
    with pytest.raises(ConfigError, match="gain"):
        required_size(0.3, 0.8)
    with pytest.raises(ConfigError, match=r"cannot disagree on a share of 0\.5"):
        required_size(0.05, 0.9, discordance=0.5)
    with pytest.raises(ConfigError, match=r"cannot disagree on a share of 0\.01"):
        required_size(0.05, 0.9, discordance=0.01)
    with pytest.raises(ConfigError, match="leaves no gain"):
        minimum_detectable_gain(100, 0.9, discordance=0.5)
    with pytest.raises(ConfigError, match="power"):
        required_size(0.1, 0.5, power=1.0)
    with pytest.raises(ConfigError, match="test items"):
        mcnemar_power(0, 0.1, 0.2)
