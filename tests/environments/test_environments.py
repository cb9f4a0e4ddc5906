"""The pinned files: complete, exact, and identified by their packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pipeline.environments as environments
from pipeline.core.errors import EnvironmentMissing
from pipeline.environments import environment_digest, environment_file, environment_names, requirements

PINNED = re.compile(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+]*( --hash=sha256:[0-9a-f]{64})?")


def test_names_are_those_of_the_files() -> None:
    assert environment_names() == ("main", "optimize-legacy", "serve-vllm")


@pytest.mark.parametrize("name", environment_names())
def test_every_package_is_pinned_once(name: str) -> None:
    lines = requirements(name)
    assert [line for line in lines if not PINNED.fullmatch(line)] == []
    packages = [re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines]
    assert len(set(packages)) == len(packages)


@pytest.mark.parametrize("name", environment_names())
def test_every_environment_can_run_a_stage(name: str) -> None:
    """The contracts need pydantic, the workspace filelock, seeding numpy, item files pyarrow, statistics scipy."""
    packages = {line.partition("==")[0] for line in requirements(name)}
    assert {"pydantic", "filelock", "numpy", "pyarrow", "scipy", "httpx", "torch"} <= packages


def test_packages_whose_cuda_builds_break_the_engine_stay_out() -> None:
    packages = {line.partition("==")[0] for line in requirements("serve-vllm")}
    assert not packages & {"torchvision", "torchaudio", "torchcodec", "triton"}


def test_the_digest_covers_packages_and_not_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tool.cpu.txt"
    monkeypatch.setattr(environments, "_HERE", tmp_path)
    file.write_text("# one\nabc==1.0\n\nxyz==2.0\n", encoding="utf-8")
    first = environment_digest("tool")
    file.write_text("# another\nabc==1.0\nxyz==2.0\n", encoding="utf-8")
    assert environment_digest("tool") == first
    file.write_text("abc==1.0\nxyz==2.1\n", encoding="utf-8")
    assert environment_digest("tool") != first


def test_an_unknown_environment_is_answered_with_the_known() -> None:
    with pytest.raises(EnvironmentMissing, match="main, optimize-legacy, serve-vllm") as caught:
        environment_file("serve-tgi")
    assert caught.value.where == "serve-tgi"
