"""One complete run in a temporary workspace, built once per test that asks for it, and one browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.workspace import Store
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_html import report_html
from pipeline.report.version import VersionRecord
from tests.report.test_bias import PROBED
from tests.support.browser import Page, missing, open_browser
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


@pytest.fixture
def probed_report(fixture: RunFixture, tmp_path: Path) -> Path:
    """Return the page of a run that was probed for bias: it has folded tables, and plots with either axis."""
    fixture.build()
    for name, made in PROBED.items():
        fixture.finish(f"bias.{name}", made, {"items.parquet": b""})
    path = tmp_path / "report.html"
    path.write_text(report_html(build_report(RunRecord.load(fixture.root, fixture._write_run()))), encoding="utf-8")
    return path


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if absent := missing():
        pytest.skip(f"NO BROWSER HERE: {' and '.join(absent)}; install Debian's chromium and chromium-driver")
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page
