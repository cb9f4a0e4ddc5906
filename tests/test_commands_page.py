"""docs/commands.md is what the commands say of themselves, and every exit code is in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from schemas.errors import EXIT_CODES, ExitCode

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_commands", DOCS / "generate_commands.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(generator: ModuleType) -> None:
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == generator.commands_markdown(), (
        "run python docs/generate_commands.py"
    )


def test_every_exit_code_and_error_is_explained(generator: ModuleType) -> None:
    rows = [line.split(" | ") for line in generator.commands_markdown().splitlines() if line.startswith("| ")]
    meanings = {cells[1]: cells[2] for cells in rows if cells[0].removeprefix("| ").isdigit()}
    assert set(meanings) == {code.name for code in ExitCode}
    assert all(len(meaning) > 20 for meaning in meanings.values())
    for error, code in EXIT_CODES.items():
        assert f"(`{error}`)" in meanings[code.name]


def test_every_command_is_there(generator: ModuleType) -> None:
    page = generator.commands_markdown()
    for command in ("init", "data check", "plan", "run", "status", "predict", "chat", "env create", "doctor", "gc"):
        assert f"\n## hone {command}\n" in page
    assert "`--until plan\\|data\\|train" in page
    assert "| `--json` |" in page
