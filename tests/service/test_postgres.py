"""The service's tests again, with their records on a real PostgreSQL server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgres import postgres
from tests.support.service import POSTGRES

HERE = Path(__file__).parent


@pytest.mark.full
@pytest.mark.timeout(900)
def test_everything_holds_on_postgresql() -> None:
    again = [
        str(HERE / folder)
        for folder in ("api", "files", "gateway", "jobs", "models", "outgoing", "retraining", "store")
    ]
    with postgres() as server:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *again],
            env={**os.environ, POSTGRES: server},
            cwd=HERE.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:]
