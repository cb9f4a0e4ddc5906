from __future__ import annotations

from pathlib import Path

import pytest

from local_runner.demo.files import DemoFiles, write_demo_data


@pytest.fixture(scope="session")
def demo_files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return write_demo_data(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def small_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("small")
    write_demo_data(directory, rows=1000, test_rows=100, seed=3)
    return directory
