from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from pipeline.backends.engine import EngineRequest
from pipeline.backends.engine_vllm import Build, describe
from pipeline.backends.settings_vllm import CPU_ENVIRONMENT, ENVIRONMENT, check_cpu, lora_rank
from pipeline.core.cpu import AVX512
from pipeline.core.errors import EngineError, EnvironmentMissing
from pipeline.core.models import ModelFiles
from schemas.serve import EngineOptions


def adapter(folder: Path, **config: object) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, **config}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("config", "rank"),
    [({"r": 4}, 8), ({"r": 8}, 8), ({"r": 9}, 16), ({"r": 8, "rank_pattern": {"q_proj": 40}}, 64), ({"r": 512}, 512)],
)
def test_the_rank_is_the_least_that_fits(tmp_path: Path, config: dict[str, object], rank: int) -> None:
    assert lora_rank(adapter(tmp_path, **config)) == rank


def test_a_rank_beyond_vllm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="up to rank 512, this one has 513"):
        lora_rank(adapter(tmp_path, r=513))


@pytest.mark.parametrize("on_cpu", [True, False])
def test_a_server_has_the_settings_of_generation(on_cpu: bool) -> None:
    files = ModelFiles("/m", None, None, "/m", False)
    request = EngineRequest(files, "triage", EngineOptions(), "float32", front=False, smoke_request={})
    environment = describe(request, Build("0.32.0", on_cpu)).environment
    shared = ENVIRONMENT | (CPU_ENVIRONMENT if on_cpu else {})
    assert environment | shared == environment
    assert ("OMP_NUM_THREADS" in environment) is on_cpu


GROUP = {"weights": {"num_bits": 4, "type": "int"}, "targets": ["Linear"]}


@pytest.mark.parametrize(
    ("quantization", "packed"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, True),
        ({"quant_method": "awq", "bits": 4}, True),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": GROUP}}, True),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}}, False),
        ({"quant_method": "gptq", "bits": 8}, False),
        (None, False),
    ],
)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86")
def test_weights_of_four_bits_need_avx512(tmp_path: Path, quantization: dict[str, object] | None, packed: bool) -> None:
    config = {"model_type": "llama", **({"quantization_config": quantization} if quantization else {})}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    files = ModelFiles(str(tmp_path), None, None, str(tmp_path), False)
    check_cpu(files, AVX512)
    if packed:
        with pytest.raises(EnvironmentMissing, match="AVX-512, which this CPU lacks") as caught:
            check_cpu(files, frozenset({"avx2"}))
        assert caught.value.where == str(tmp_path)
    else:
        check_cpu(files, frozenset({"avx2"}))
