"""The serve stage with real engines: ``transformers serve`` here, vLLM in its own environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local_runner.isolated import run_in_environment
from pipeline.core.context import CallContext
from pipeline.core.errors import EngineError
from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.optimize.stage import run as optimize
from pipeline.serve.stage import run
from schemas.artifacts import CallResult, Stored
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact
from schemas.events import Event
from schemas.optimize import OptimizeArtifact, OptimizeConfig, OptimizeInputs, VariantSpec
from schemas.request import CallRequest
from schemas.serve import LaunchDescription, ServeArtifact, ServeConfig, ServeInputs
from schemas.train import TrainArtifact
from tests.support.committed import commit
from tests.support.served import GENERATION, evaluated
from tests.support.stored import stored, workspace
from tests.support.variants import base_ref

TEMPLATE = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + ': ' + m.content + '<|im_end|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant: ' }}{%- endif %}"
)


def _config(base: Path, **changes: Any) -> ServeConfig:
    settings = {
        "base": base_ref(base),
        "generation": GENERATION,
        "prompts": 10,
        "served_model_name": "triage",
        **changes,
    }
    return ServeConfig.model_validate(settings)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_transformers_serves_the_same_answers(
    base: Path,
    adapter: Stored[TrainArtifact],
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    adapter_evaluation: Stored[EvaluateArtifact],
    tmp_path: Path,
    kind: str,
) -> None:
    model: Stored[Any] = adapter if kind == "adapter" else merged
    inputs = ServeInputs(model=model, data=data, evaluation=adapter_evaluation)
    place = workspace(tmp_path)
    events: list[Event] = []
    artifact = run(_config(base, engine="transformers"), inputs, CallContext(sink=events.append), place)
    assert (artifact.prompts, artifact.answer_mismatches) == (10, 0)
    assert artifact.prompt_mismatches is None
    lines = _lines(place.output / "parity.jsonl")
    assert [line["answer_equal"] for line in lines] == [True] * 10
    assert artifact.smoke_answer == lines[0]["served"]
    text = (place.output / "launch.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert LaunchDescription.model_validate_json(text).adapter is (kind == "adapter")
    bars = [event.data["label"] for event in events if event.kind == "progress"]
    assert any(str(label).startswith("start transformers") for label in bars)
    assert "parity" in bars


@pytest.mark.slow
def test_an_engine_that_refuses_the_model_is_an_error_with_its_log(
    base: Path,
    adapter: Stored[TrainArtifact],
    data: Stored[DataArtifact],
    adapter_evaluation: Stored[EvaluateArtifact],
    tmp_path: Path,
) -> None:
    adapter_config = adapter.file("model/adapter_config.json")
    kept = adapter_config.read_text(encoding="utf-8")
    adapter_config.write_text(json.dumps({**json.loads(kept), "peft_type": "UNHEARD_OF"}), encoding="utf-8")
    inputs = ServeInputs(model=adapter, data=data, evaluation=adapter_evaluation)
    try:
        with pytest.raises(EngineError, match="ended before it was ready: exit status 1") as caught:
            run(_config(base, engine="transformers"), inputs, CallContext(), workspace(tmp_path))
    finally:
        adapter_config.write_text(kept, encoding="utf-8")
    assert "Error" in (caught.value.detail or "")


def _serve_with_vllm(
    root: Path, config: ServeConfig, inputs: dict[str, Stored[Any]]
) -> tuple[CallResult, Stored[ServeArtifact] | None]:
    refs = {name: commit(root, found).model_dump() for name, found in inputs.items()}
    call = {"id": "serve", "stage": "serve", "config": config.model_dump(mode="json"), "inputs": refs}
    request = CallRequest.model_validate({"call": call, "root": root})
    result = run_in_environment("serve-vllm", request, on_event=lambda event: None)
    return result, load(Store(root), result.ref) if result.ref is not None else None


@pytest.mark.vllm
def test_vllm_reads_and_answers_as_training_and_evaluation_did(
    vllm_python: Path,
    base: Path,
    adapter: Stored[TrainArtifact],
    data: Stored[DataArtifact],
    adapter_evaluation: Stored[EvaluateArtifact],
    tmp_path: Path,
) -> None:
    inputs = {"model": adapter, "data": data, "evaluation": adapter_evaluation}
    result, served = _serve_with_vllm(tmp_path, _config(base), inputs)
    assert served is not None, result.error
    artifact = served.artifact
    assert (artifact.prompts, artifact.prompt_mismatches, artifact.answer_mismatches) == (10, 0, 0)
    launch = LaunchDescription.model_validate_json(served.file("launch.json").read_text(encoding="utf-8"))
    assert "triage={model}" in launch.arguments
    assert launch.arguments[launch.arguments.index("--max-lora-rank") + 1] == "8"
    assert str(tmp_path) not in launch.model_dump_json()
    assert all(
        line["prompt_equal"] and line["first_difference"] is None for line in _lines(served.file("parity.jsonl"))
    )


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("variant", "mismatches"),
    [
        ({"scheme": "W4A16", "backend": "llmcompressor", "group_size": 32}, 2),
        pytest.param("fp8_dynamic", 2, marks=pytest.mark.full),
        pytest.param("w8a8", 12, marks=pytest.mark.full),
    ],
)
def test_vllm_serves_quantized_variants_in_the_dtype_that_they_name(
    vllm_python: Path,
    base: Path,
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tmp_path: Path,
    variant: object,
    mismatches: int,
    request: pytest.FixtureRequest,
) -> None:
    """Prompts are read alike; answers of a random model in another precision need not be the same."""
    if isinstance(variant, dict):
        request.getfixturevalue("packed_weights")
    place = workspace(tmp_path / "variant")
    config = OptimizeConfig(variant=VariantSpec.model_validate(variant), base=base_ref(base))
    artifact = optimize(config, OptimizeInputs(parent=merged, data=data), CallContext(), place)
    quantized = stored("optimize", place.output, artifact)
    evaluation = evaluated(tmp_path / "evaluation", base, quantized, data)
    inputs = {"model": quantized, "data": data, "evaluation": evaluation}
    result, served = _serve_with_vllm(tmp_path / "root", _config(base), inputs)
    assert served is not None, result.error
    assert served.artifact.prompt_mismatches == 0
    assert served.artifact.answer_mismatches <= mismatches
    launch = LaunchDescription.model_validate_json(served.file("launch.json").read_text(encoding="utf-8"))
    assert launch.arguments[launch.arguments.index("--dtype") + 1] == artifact.vllm_dtype


@pytest.mark.vllm
def test_vllm_takes_the_chat_template_that_the_model_was_trained_in(
    vllm_python: Path,
    base: Path,
    adapter: Stored[TrainArtifact],
    data: Stored[DataArtifact],
    tmp_path: Path,
) -> None:
    """Another than the base's: the model brings it, and evaluation and engine take it from there."""
    place = workspace(tmp_path / "variant")
    config = OptimizeConfig(variant=VariantSpec.model_validate("merged"), base=base_ref(base), chat_template=TEMPLATE)
    artifact = optimize(config, OptimizeInputs(parent=adapter, data=data), CallContext(), place)
    model = stored("optimize", place.output, artifact)
    evaluation = evaluated(tmp_path / "evaluation", base, model, data)
    inputs = {"model": model, "data": data, "evaluation": evaluation}
    result, served = _serve_with_vllm(tmp_path / "root", _config(base), inputs)
    assert served is not None, result.error
    assert (served.artifact.prompt_mismatches, served.artifact.answer_mismatches) == (0, 0)
    assert model.file("model/chat_template.jinja").read_text(encoding="utf-8") == TEMPLATE
