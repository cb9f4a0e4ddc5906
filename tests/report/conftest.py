"""One complete run in a temporary workspace, built once per test that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.workspace import Store
from pipeline.report.record import RunRecord
from pipeline.report.version import VersionRecord
from tests.support.run_fixture import RunFixture


@pytest.fixture
def fixture(tmp_path: Path) -> RunFixture:
    return RunFixture(tmp_path / "workspace")


@pytest.fixture
def record(fixture: RunFixture) -> RunRecord:
    return RunRecord.load(fixture.root, fixture.build())


@pytest.fixture
def version(fixture: RunFixture) -> VersionRecord:
    fixture.build()
    return VersionRecord.load(Store(fixture.root), fixture.refs["register"])
