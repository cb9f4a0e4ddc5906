"""The monitor's benchmark in little, on the real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.monitor import ARRIVING, null_windows, shifted
from benchmarks.monitor_traffic import Traffic
from schemas.monitor import MonitorConfig

pytestmark = [pytest.mark.real_data, pytest.mark.full]


def test_clinc_then_banking77_is_an_alarm_and_clinc_alone_is_seldom_one(real_data: Path) -> None:
    traffic = Traffic.of(real_data)
    config, rng = MonitorConfig(reference_rows=500, window=200), np.random.default_rng(0)
    assert len(traffic.domains) == 10 and len(traffic.banking) == 3080 and len(traffic.outside) == 1100
    assert shifted(traffic, traffic.banking, ARRIVING, 5, rng, config).share() == 1.0
    # At most 1% of 20 windows: three or more happen with probability .001.
    assert null_windows(traffic, 20, rng, config).share() <= 2 / 20
