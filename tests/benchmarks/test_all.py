from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.all import BENCHMARKS, Benchmark, section

ROOT = Path(__file__).parents[2]

DRAWN = Benchmark("rerun", "Again", "nothing", ("--runs", "5"), plot="bars that fall")


def test_a_benchmark_with_a_plot_is_told_where_to_draw_it_and_shown_with_it() -> None:
    assert DRAWN.command(Path("figures.json"))[1:] == [
        *("-m", "benchmarks.rerun", "--json", "figures.json", "--runs", "5"),
        *("--plot", "docs/images/rerun.png"),
    ]
    assert "![bars that fall](images/rerun.png)" in section(DRAWN, 0, {})


def test_a_missed_target_is_said() -> None:
    assert "**Met.**" in section(DRAWN, 0, {})
    assert "**Not met.**" in section(DRAWN, 1, {})


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_benchmark_is_there(benchmark: Benchmark) -> None:
    assert (ROOT / "benchmarks" / f"{benchmark.name}.py").is_file()
