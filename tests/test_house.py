"""The house rules that no linter holds."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.catalog import CATALOG
from pipeline.core.version import CODE_VERSION
from pipeline.environments import environment_names

PROJECT = Path(__file__).resolve().parent.parent
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "numpy",
    "scipy",
    "sklearn",
    "pandas",
    "pyarrow",
    "datasets",
    "mlflow",
    "vllm",
    "auto_gptq",
    "awq",
    "fastapi",
    "sqlalchemy",
    "starlette",
    "standardwebhooks",
    "uvicorn",
    "werkzeug",
)

ELSEWHERE = (
    "pipeline.backends.",
    "pipeline.service.",
    "local_runner.gateway",
    "local_runner.monitoring",
    "local_runner.retraining",
    "local_runner.service",
)
"""Beginnings of the names of modules that are imported only where their frameworks are."""


@pytest.mark.parametrize(
    "statement",
    [
        "import local_runner.main, local_runner.cli.app",
        "import pipeline.catalog, pipeline.execute, pipeline.flow, pipeline.resolve",
        "from pipeline.control import caller, conclusion, controller, display, runs, session, status, versions",
    ],
)
def test_no_framework_is_imported_on_the_way_to_the_command(statement: str) -> None:
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == []


def test_every_module_but_backends_and_the_http_side_is_imported_without_frameworks() -> None:
    code = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys(HEAVY))
for package in ("schemas", "pipeline", "local_runner", "modal_app"):
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not found.name.startswith(ELSEWHERE) and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
"""
    command = [sys.executable, "-c", f"HEAVY = {HEAVY!r}\nELSEWHERE = {ELSEWHERE!r}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_is_quick() -> None:
    """The command's help takes at most four times the CPU time of what it is made with; the least of three."""
    libraries = [sys.executable, "-c", "import typer, rich.console, rich.table, rich.markdown"]
    bare, helped = (
        min(_cpu_seconds(command) for _ in range(3))
        for command in (libraries, [sys.executable, "-m", "local_runner.main", "--help"])
    )
    assert helped < 4 * bare


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True, cwd=PROJECT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_code_version_is_the_packages() -> None:
    assert tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"] == CODE_VERSION


def test_every_environment_that_a_stage_names_has_a_file() -> None:
    from pipeline.catalog import MAIN, OPTIMIZE_LEGACY, SERVE_VLLM

    assert {MAIN, OPTIMIZE_LEGACY, SERVE_VLLM} <= set(environment_names())


def test_the_catalog_is_keyed_by_its_names() -> None:
    assert [entry.name for entry in CATALOG.values()] == list(CATALOG)


def test_dependencies_are_pinned_as_the_environment_has_them() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    pinned = dict(line.split("==") for line in _requirement_lines("main"))
    names = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["local"]]:
        name, _, version = requirement.partition("==")
        assert names.get(name) == version, f"{requirement} is not what main.cpu.txt pins"


def _requirement_lines(name: str) -> list[str]:
    from pipeline.environments import requirements

    return [line.split(";")[0].split(" --hash")[0].strip() for line in requirements(name)]
