"""One tiny base and small data sets for all tests of training."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from tests.support.tiny_model import write_tiny_base
from tests.support.training import base, conversation, data_artifact, preference


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Let tiny models compute in one thread: a second one only waits."""
    import torch

    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModelRef:
    """The tiny random base."""
    return base(write_tiny_base(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Stored[DataArtifact]:
    """24 conversations to train on, 6 for validation."""
    train, validation = [conversation(n) for n in range(24)], [conversation(n) for n in range(24, 30)]
    return data_artifact(tmp_path_factory.mktemp("rows"), train, validation)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Stored[DataArtifact]:
    """16 preferences, 4 for validation."""
    train, validation = [preference(n) for n in range(16)], [preference(n) for n in range(16, 20)]
    return data_artifact(tmp_path_factory.mktemp("pairs"), train, validation, kind="preference")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory to run in."""
    return tmp_path / "work"
