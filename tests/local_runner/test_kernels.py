"""A run that this machine could not finish is refused before it starts."""

from __future__ import annotations

import platform
from typing import Any

import pytest

from local_runner import kernels
from local_runner.kernels import check_kernels
from pipeline.core.cpu import AVX512
from pipeline.core.errors import EnvironmentMissing
from schemas.run import RunSpec

AVX2 = frozenset({"avx2"})

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "visible_gpus", lambda: 0)


def spec(**changes: Any) -> RunSpec:
    given = {"name": "x", "task": "extraction", "base_model": "b", "data": {"path": "rows.jsonl"}, **changes}
    return RunSpec.model_validate(given)


BY_VLLM = {"generation": {"backend": "vllm"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": ["merged", "gptq-4bit"]},
        {"variants": ["awq-4bit"], "serve": False},
        {"variants": ["merged", "w4a16"], "serve": {"variant": "w4a16"}},
        {"variants": ["merged", "w4a16"], "evaluate": BY_VLLM},
    ],
)
def test_what_vllm_would_have_to_answer_by_is_refused(changes: dict[str, Any]) -> None:
    check_kernels(spec(**changes), AVX512)
    with pytest.raises(
        EnvironmentMissing, match=f"the variant {spec(**changes).variants[-1].name} would be made and not measured"
    ):
        check_kernels(spec(**changes), AVX2)


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": ["merged", "nvfp4"], "serve": {"variant": "nvfp4"}},
        {"variants": ["merged", "fp8"], "evaluate": BY_VLLM},
    ],
)
def test_what_vllm_loads_on_gpus_alone_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EnvironmentMissing, match="vLLM's CPU build does not load"):
        check_kernels(spec(**changes), AVX512)


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": ["merged", "w4a16", "fp8_dynamic", "nvfp4"]},
        {"variants": ["merged", "w4a16"], "serve": {"variant": "w4a16", "engine": "transformers"}},
        {"variants": ["w8a8"], "evaluate": BY_VLLM},
    ],
)
def test_what_transformers_answers_by_and_other_precisions_are_not(changes: dict[str, Any]) -> None:
    check_kernels(spec(**changes), AVX2)


def test_on_a_gpu_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "visible_gpus", lambda: 1)
    check_kernels(spec(variants=["gptq-4bit"]), AVX2)
