"""Importing the instruments loads no numeric library, so that the command line starts fast."""

from __future__ import annotations

import subprocess
import sys


def test_no_heavy_import() -> None:
    code = (
        "import sys, pipeline.metrics, pipeline.statistics;"
        "print(sorted({'numpy', 'scipy', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
