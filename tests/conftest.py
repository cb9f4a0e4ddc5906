"""What all tests share: no network, the real data sets where they are, other environments where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("hone", deadline=None)  # a shared machine may pause any example
settings.load_profile("hone")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads that wait give their core away: on busy cores torch is else several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data sets; skip where there is none."""
    for candidate in (os.environ.get("HONE_DATA"), PROJECT.parent / "shared" / "data"):
        if candidate and (Path(candidate) / "banking77").is_dir():
            return Path(candidate)
    pytest.skip("no real data: set HONE_DATA to a folder with banking77/, clinc150/ ...")


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """Return the interpreter of the serve-vllm environment; skip where it is not installed."""
    return _python("serve-vllm")


@pytest.fixture(scope="session")
def legacy_python() -> Path:
    """Return the interpreter of the optimize-legacy environment; skip where it is not installed."""
    return _python("optimize-legacy")


@pytest.fixture(scope="session")
def packed_weights() -> None:
    """Skip where vLLM cannot compute with weights of 4 bits."""
    from pipeline.core.cpu import cpu_flags, reads_packed_weights

    if not reads_packed_weights(cpu_flags()):
        pytest.skip("NOT MEASURED HERE: vLLM computes with weights of 4 bits by AVX-512, which this CPU lacks")


def _python(name: str) -> Path:
    from local_runner.environments import environment

    found = environment(name)
    if not found.installed:
        pytest.skip(f"the {name} environment is not installed: hone env create {name}")
    return found.python
