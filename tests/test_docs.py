"""What the documents say exists, exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PAGES = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").glob("*.md")])
ROOTS = ("schemas", "pipeline", "local_runner", "tests", "docs", "benchmarks", "examples", ".ci")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = {
        name.rstrip("/").split("::")[0]
        for name in re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8"))
        if name.startswith(tuple(f"{root}/" for root in ROOTS))
    }
    missing = sorted(name for name in named if not (PROJECT / name).exists())
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    missing = [test for file, test in named if f"def {test}(" not in (PROJECT / file).read_text(encoding="utf-8")]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_architecture_page_has_every_room() -> None:
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.parent for path in (PROJECT / "pipeline").glob("*/__init__.py")]
    files = [path for path in (PROJECT / "pipeline").glob("*.py") if path.name != "__init__.py"]
    expected = [f"`pipeline/{room.name}/`" for room in rooms] + [f"`pipeline/{file.name}`" for file in files]
    assert [name for name in expected if name not in text] == []
