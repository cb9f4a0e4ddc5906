"""A driver that shows as many GPUs as a test wants, under the names of NVML's header."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

LIBRARY = "libnvidia-ml.so.1"


def build_driver(folder: Path, gpus: int, status: int = 0) -> Path:
    """Build the library in ``folder`` and return its path; its start answers with ``status``. Skips without a compiler.

    A process finds it with the folder in ``LD_LIBRARY_PATH``.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source, library = folder / "nvml.c", folder / LIBRARY
    source.write_text(
        f"int nvmlInit_v2(void) {{ return {status}; }}\n"
        f"int nvmlDeviceGetCount_v2(unsigned int *count) {{ *count = {gpus}; return 0; }}\n"
        "int nvmlShutdown(void) { return 0; }\n"
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library
