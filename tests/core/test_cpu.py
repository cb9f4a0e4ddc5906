from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.cpu import AVX512, cpu_flags, reads_packed_weights

OF_TWO_CORES = "processor\t: 0\nflags\t\t: fpu avx2 sse4_2\nbugs\t\t:\n\nprocessor\t: 1\nflags\t\t: fpu avx512f\n"


def test_flags_are_those_of_the_first_core(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(OF_TWO_CORES)
    assert cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2", "sse4_2"}
    (tmp_path / "arm").write_text("processor : 0\nFeatures : asimd\n")
    assert cpu_flags(tmp_path / "arm") is None
    assert cpu_flags(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("flags", "machine", "reads"),
    [
        (AVX512 | {"avx2"}, "x86_64", True),
        (AVX512 - {"avx512vl"}, "x86_64", False),
        (frozenset({"avx2"}), "x86_64", False),
        (frozenset({"avx2"}), "aarch64", True),
        (None, "x86_64", True),
    ],
)
def test_packed_weights_need_all_of_avx512_on_x86(flags: frozenset[str] | None, machine: str, reads: bool) -> None:
    assert reads_packed_weights(flags, machine) is reads
