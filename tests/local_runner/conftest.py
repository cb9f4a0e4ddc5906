"""What tests of the command line share: a folder to stand in, the command in this process, a base that loads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_runner.main import run_command
from tests.support.tiny_model import write_tiny_base


@dataclass(frozen=True)
class Ran:
    """What one command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


Hone = Callable[..., Ran]


@pytest.fixture
def hone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hone:
    """Run one command in this process; its lines are not wrapped."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        code = run_command([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random Llama of two layers with a tokenizer and a chat template."""
    return write_tiny_base(tmp_path_factory.mktemp("base") / "tiny")


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
