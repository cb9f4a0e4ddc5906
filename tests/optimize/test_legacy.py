"""auto-gptq and autoawq for real: quantized in their environment, evaluated and served by vLLM in its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyarrow.parquet import read_table
from safetensors.torch import load_file, save_file

from local_runner.isolated import run_in_environment
from pipeline.backends.unpack_torch import unpack
from pipeline.core.context import CallContext
from pipeline.core.errors import EnvironmentMissing
from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.optimize.stage import run
from pipeline.plan.quantizers import KNOWN
from schemas.artifacts import Stored
from schemas.base import Schema
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact, EvaluateConfig, GenerationConfig, MetricSpec, ModelSubject
from schemas.events import Event
from schemas.optimize import OptimizeArtifact, OptimizeConfig, OptimizeInputs, VariantSpec
from schemas.request import CallRequest
from schemas.serve import ServeConfig
from tests.support.committed import commit
from tests.support.served import evaluated
from tests.support.stored import stored, workspace
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import base_ref, split_data, whole_model

ROWS = {"auto_gptq": 16, "autoawq": 320}
"""Calibration rows; those of autoawq are more chunks than it takes at once."""

METHODS = {"auto_gptq": "gptq", "autoawq": "awq"}
BY_VLLM = GenerationConfig(max_new_tokens=8, backend="vllm")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"), initializer_range=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Stored[DataArtifact]:
    return split_data(tmp_path_factory.mktemp("data"), train=max(ROWS.values()))


@pytest.fixture(scope="module")
def merged(
    base: Path, data: Stored[DataArtifact], tmp_path_factory: pytest.TempPathFactory
) -> Stored[OptimizeArtifact]:
    directory = tmp_path_factory.mktemp("merged")
    place = workspace(directory)
    config = OptimizeConfig(variant=VariantSpec.model_validate("merged").made(), base=base_ref(base))
    inputs = OptimizeInputs(parent=whole_model(directory / "trained", base), data=data)
    return stored("optimize", place.output, run(config, inputs, CallContext(), place))


def _config(base: Path, backend: str, **changes: Any) -> OptimizeConfig:
    written = {"backend": backend, "bits": 4, "group_size": 32, "calibration_samples": ROWS[backend], **changes}
    return OptimizeConfig(variant=VariantSpec.model_validate(written).made(), base=base_ref(base))


def _unpacked(made: Stored[OptimizeArtifact], directory: Path) -> Stored[OptimizeArtifact]:
    """Return the plain model that a packed variant stands for, as transformers reads it."""
    folder = shutil.copytree(made.file("model"), directory / "model")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    packed = config.pop("quantization_config")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = unpack(load_file(folder / "model.safetensors"), packed["quant_method"], packed["group_size"])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return stored("optimize", directory, made.artifact)


def _predictions(evaluation: Stored[Any]) -> list[str]:
    column: list[str] = read_table(evaluation.file("items.parquet"))["prediction"].to_pylist()
    return column


class Elsewhere:
    """Stage calls in the environments that they need, with artifacts in one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[Event] = []

    def call(self, environment: str, stage: str, config: Schema, **inputs: Stored[Any]) -> Stored[Any]:
        refs = {
            name: (found.ref if Store(self.root).manifest(found.ref) else commit(self.root, found)).model_dump()
            for name, found in inputs.items()
        }
        call = {"id": stage, "stage": stage, "config": config.model_dump(mode="json"), "inputs": refs}
        request = CallRequest.model_validate({"call": call, "root": self.root})
        result = run_in_environment(environment, request, on_event=self.events.append)
        assert result.ref is not None, result.error
        return load(Store(self.root), result.ref)


@pytest.fixture(scope="module", params=["auto_gptq", "autoawq"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def elsewhere(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp(backend) / "root")


@pytest.fixture(scope="module")
def made(
    legacy_python: Path,
    elsewhere: Elsewhere,
    backend: str,
    base: Path,
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
) -> Stored[OptimizeArtifact]:
    return elsewhere.call("optimize-legacy", "optimize", _config(base, backend), parent=merged, data=data)


@pytest.fixture(scope="module")
def plain_evaluation(
    made: Stored[OptimizeArtifact], base: Path, data: Stored[DataArtifact], tmp_path_factory: pytest.TempPathFactory
) -> Stored[EvaluateArtifact]:
    """The answers of the unpacked variant, by transformers in float32."""
    directory = tmp_path_factory.mktemp("unpacked")
    return evaluated(directory / "evaluation", base, _unpacked(made, directory / "model"), data)


@pytest.mark.slow
@pytest.mark.legacy
def test_a_variant_is_small_close_and_said_in_todays_words(
    made: Stored[OptimizeArtifact], merged: Stored[OptimizeArtifact], elsewhere: Elsewhere, backend: str
) -> None:
    artifact = made.artifact
    assert (artifact.calibration_rows, artifact.vllm_dtype) == (ROWS[backend], "float16")
    assert artifact.tied_embeddings and 0 < artifact.logit_difference < 0.5
    assert artifact.template_digest == merged.artifact.template_digest
    linear = 2 * (4 * 64 * 64 + 3 * 64 * 128)
    exact = 2 * (384 * 64 + 5 * 64) + linear / 2  # embeddings and norms in float16, four bits a packed weight
    assert exact < artifact.size_bytes < 1.5 * exact  # scales, zeros and the file's header
    config = json.loads(made.file("model/config.json").read_text(encoding="utf-8"))
    assert (config["quantization_config"]["quant_method"], config["dtype"]) == (METHODS[backend], "float16")
    assert config["rope_parameters"]["rope_theta"] == 10000.0
    assert str(elsewhere.root.parent) not in json.dumps(config)
    warned = [event.message.partition(",")[0] for event in elsewhere.events if event.kind == "warning"]
    assert warned == [f"{METHODS[backend]}-4bit is made by {backend.replace('_', '-')}"]
    bar = [event.data for event in elsewhere.events if event.kind == "progress"]
    assert bar[-1]["done"] == bar[-1]["total"]


@pytest.mark.slow
@pytest.mark.legacy
def test_the_same_variant_has_the_same_bytes(
    made: Stored[OptimizeArtifact],
    backend: str,
    base: Path,
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tmp_path: Path,
) -> None:
    again = Elsewhere(tmp_path).call("optimize-legacy", "optimize", _config(base, backend), parent=merged, data=data)
    assert again.content_digest == made.content_digest


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.legacy
def test_vllm_answers_as_the_unpacked_weights_do(
    vllm_python: Path,
    packed_weights: None,
    elsewhere: Elsewhere,
    made: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    plain_evaluation: Stored[EvaluateArtifact],
) -> None:
    config = EvaluateConfig(subject=ModelSubject(), metrics=(MetricSpec(name="exact_match"),), generation=BY_VLLM)
    evaluation = elsewhere.call("serve-vllm", "evaluate", config, model=made, data=data)
    assert (evaluation.artifact.n, evaluation.artifact.engine.partition(" ")[0]) == (12, "vllm")
    answers, expected = _predictions(evaluation), _predictions(plain_evaluation)
    assert len(set(expected)) > 3  # wrong weights would answer otherwise
    assert sum(answer != plain for answer, plain in zip(answers, expected, strict=True)) <= 2  # float16 is no float32


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.legacy
def test_vllm_serves_it(
    vllm_python: Path,
    packed_weights: None,
    elsewhere: Elsewhere,
    base: Path,
    made: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    plain_evaluation: Stored[EvaluateArtifact],
) -> None:
    config = ServeConfig(base=base_ref(base), generation=BY_VLLM, prompts=10, served_model_name="small")
    served = elsewhere.call("serve-vllm", "serve", config, model=made, data=data, evaluation=plain_evaluation)
    assert served.artifact.prompt_mismatches == 0
    assert served.artifact.answer_mismatches <= 2


MAPS = """
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()):
    from auto_gptq.modeling.auto import GPTQ_CAUSAL_LM_MODEL_MAP
    from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP
print(json.dumps({"auto_gptq": sorted(GPTQ_CAUSAL_LM_MODEL_MAP), "autoawq": sorted(AWQ_CAUSAL_LM_MODEL_MAP)}))
"""


@pytest.mark.slow
@pytest.mark.legacy
def test_the_plan_knows_which_families_the_libraries_know(legacy_python: Path) -> None:
    printed = subprocess.run([legacy_python, "-c", MAPS], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == {name: list(known) for name, known in KNOWN.items()}


def test_a_missing_environment_names_the_command(
    base: Path,
    merged: Stored[OptimizeArtifact],
    data: Stored[DataArtifact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HONE_ENVIRONMENTS", str(tmp_path / "none"))
    with pytest.raises(EnvironmentMissing) as caught:
        Elsewhere(tmp_path / "root").call(
            "optimize-legacy", "optimize", _config(base, "auto_gptq"), parent=merged, data=data
        )
    assert caught.value.fix == "hone env create optimize-legacy"
