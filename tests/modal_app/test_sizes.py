"""Proof 9: a deployed app's functions carry the GPUs, memory, timeouts, Volumes and Secrets that its plan names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modal_app import sizes
from modal_app.deployed_plan import plan_description
from modal_app.functions import FUNCTIONS
from modal_app.settings import Settings
from modal_app.sizes import declared, placed, size
from pipeline.catalog import OPTIMIZE_LEGACY, OPTIMIZE_LLMCOMPRESSOR, SERVE_VLLM, TRAIN
from pipeline.core.errors import ConfigError
from pipeline.core.spec import read_spec
from pipeline.environments import MAIN
from pipeline.flow import next_calls
from pipeline.plan.placement import stage_placements
from schemas.base import StageName
from schemas.placement import Placement
from schemas.plan import PlanArtifact
from tests.modal_plane.cloud import Options
from tests.modal_plane.functions import Function
from tests.modal_plane.server import Plane
from tests.plan.test_placement import LLAMA, plan
from tests.plan.test_without_libraries import HEAVY
from tests.test_examples import carried_out, local, resolved

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = PROJECT / "examples"
ENDPOINT_KEY = {"HONE_API_KEY": "f3a9c17e5b0d48269ce1a7b35d80f642"}
ON_THE_VOLUME = {"/hone": "hone-artifacts", "/models": "hone-models"}
WITH_AN_ENGINE = {**ON_THE_VOLUME, "/compile": "hone-compile"}

STAGES: dict[str, StageName] = {
    "plan_stage": "plan",
    "data_stage": "data",
    "train_stage": "train",
    "evaluate_stage": "evaluate",
    "evaluate_vllm_stage": "evaluate",
    "serve_stage": "serve",
    "serve_transformers_stage": "serve",
    "register_stage": "register",
}
"""Functions that take whatever their stage asks for."""

OTHERS = {"evaluate_reference_stage", "merge_stage", "optimize_stage", "optimize_legacy_stage"}
"""Functions that take what one kind of call of their stage asks for."""


@dataclass
class Deployment:
    plane: Plane
    folder: Path

    def deploy(self, config: Path | None, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(PROJECT), **settings}
        if config is not None:
            environment["HONE_MODAL_CONFIG"] = str(config)
        return self.plane.modal("deploy", "-m", "modal_app.main", cwd=self.folder, env=environment)

    def functions(self, config: Path | None, **settings: str) -> Mapping[str, Function]:
        done = self.deploy(config, **settings)
        assert done.returncode == 0, done.stdout
        assert set(self.plane.functions) >= set(STAGES) | OTHERS
        return self.plane.functions


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """Nothing runs here, so no container starts: this needs no mount namespaces."""
    secrets = {
        "hone-endpoint": ENDPOINT_KEY, "hone-webhook": {"HONE_WEBHOOK_SECRET": "whsec_x"},
        "hub": {"HF_TOKEN": "hf_x"}, "openai": {"OPENAI_API_KEY": "sk-x"},
    }  # fmt: skip
    with Plane(tmp_path / "plane", Options(secrets=secrets)) as plane:
        yield Deployment(plane, tmp_path)


def planned(name: str, folder: Path) -> tuple[Path, dict[StageName, Placement], PlanArtifact]:
    """Return an example beside rows of its own, where its stages run, and its plan: what `hone plan` says of it."""
    spec = local(EXAMPLES / f"{name}.yaml", folder)
    path = Path(shutil.copy(EXAMPLES / f"{name}.yaml", folder))
    (call,) = next_calls(resolved(spec, folder), {})
    made = carried_out(call, folder)
    return path, stage_placements(spec, made, "cuda"), made


def carries(found: Function, place: Placement) -> None:
    gpus = list(place.gpus)
    assert found.gpu == (gpus if len(gpus) > 1 else place.gpu), found.name
    assert (found.cpu, found.memory, found.timeout) == (place.cpu, place.memory, place.timeout), found.name


def shown(found: Function) -> tuple[Any, ...]:
    """Return GPUs, cores, GiB and hours."""
    return found.gpu, found.cpu, found.memory / 1024, found.timeout / 3600


@pytest.mark.modal
def test_a_32b_model_as_its_plan_says(deployment: Deployment) -> None:
    path, places, _ = planned("qwen3-32b-lora", deployment.folder)
    found = deployment.functions(path, HONE_MODAL_SECRETS="hub:HF_TOKEN,openai")
    for name, stage in STAGES.items():
        carries(found[name], places[stage])
    # 32,762,123,264 parameters in bfloat16 are 65.5e9 bytes; the cache of 64 short tickets and 2 GiB fit beside them
    # into 90% of an A100-80GB, 76.5e9. A quantizer holds as much, and of host memory 1.1 times the weights: 68 GiB.
    assert shown(found["evaluate_vllm_stage"]) == (["A100-80GB", "H100", "H200"], 4, 32, 12)
    assert shown(found["optimize_stage"]) == (["A100-80GB", "H100", "H200"], 4, 68, 12)
    # Four bits: 31,205,621,760 linear weights of 4.25 bits are 16.6e9 bytes, 1,556,501,504 others 3.1e9; with 2 GiB and
    # at least 4,096 tokens of 262,144 bytes 22.9e9: more than an L4's 21.3e9, less than an L40S's 43.0e9.
    assert shown(found["serve_stage"]) == (["L40S", "A100-40GB", "A100-80GB"], 4, 32, 2)
    # A merge in float32: 4 GiB and 1.1 * 6 bytes * 32,762,123,264 = 205.4 GiB, on eight cores and no GPU.
    assert shown(found["merge_stage"]) == (None, 8, 206, 12)
    # Nobody asks for auto-gptq or autoawq: what is usual. A reference takes no GPU.
    assert shown(found["optimize_legacy_stage"]) == ("L40S", 4, 32, 12)
    assert shown(found["evaluate_reference_stage"]) == (None, 4, 8, 6)
    for name in (*STAGES, *OTHERS):
        engine = name in ("evaluate_vllm_stage", "serve_stage")
        assert found[name].volumes == (WITH_AN_ENGINE if engine else ON_THE_VOLUME), name
        assert found[name].secrets == ["hub", "openai"], name
    endpoint = found["Endpoint"]
    assert (endpoint.gpu, endpoint.cpu, endpoint.memory / 1024) == (["L40S", "A100-40GB", "A100-80GB"], 4, 32)
    assert (endpoint.volumes, endpoint.secrets[0]) == (WITH_AN_ENGINE, "hone-endpoint")
    assert {volume.name for volume in deployment.plane.volumes.values()} == set(WITH_AN_ENGINE.values())


@pytest.mark.modal
def test_a_70b_model_on_several_gpus(deployment: Deployment) -> None:
    path, places, _ = planned("llama-3.3-70b-qlora", deployment.folder)
    found = deployment.functions(path)
    for name, stage in STAGES.items():
        carries(found[name], places[stage])
    # The description asks for H100:4 and 24 hours. Four processes load the base: 1.1 * 2 bytes * 70,553,706,496 =
    # 144.6 GiB, more than 32 for each GPU.
    assert shown(found["train_stage"]) == ("H100:4", 16, 145, 24)
    # 141.1e9 bytes of weights, the adapter and the cache of 8,192 tokens, 2.7e9: one B200's 172e9, no H200's 134e9.
    assert shown(found["serve_stage"]) == ("B200", 4, 32, 2)
    assert found["Endpoint"].gpu == "B200"
    assert found["train_stage"].secrets == []


@pytest.mark.modal
def test_an_8b_model_whose_data_cannot_be_looked_at(deployment: Deployment) -> None:
    """Its data are on the Hub, which cannot be reached here: rows of 512 tokens are assumed, and that is said."""
    config = EXAMPLES / "llama-3.1-8b-lora.yaml"
    done = deployment.deploy(config)
    assert done.returncode == 0, done.stdout
    assert "warning: HONE_MODAL_CONFIG: " in done.stdout
    assert re.search(r"data\.path: databricks/databricks-dolly-15k.*rows of about 512 tokens", done.stdout)
    told: list[str] = []
    spec, made = plan_description(config, told.append)
    assert len(told) == 1
    found = deployment.plane.functions
    for name, stage in STAGES.items():
        carries(found[name], stage_placements(spec, made, "cuda")[stage])
    assert shown(found["train_stage"]) == (["H100", "A100-80GB"], 4, 32, 24)  # as the description asks
    # FP8: 6,979,321,856 linear weights of a byte and 1,050,939,392 others of two are 9.1e9; 32 rows of 1.6 times 524
    # tokens, 896 in steps of 64, with 16 of the answer: 29,184 of 131,072 bytes are 3.8e9; 2.1e9. An L4 has 21.3e9.
    assert shown(found["serve_stage"]) == (["L4", "A10"], 4, 32, 2)
    # 128 rows with three examples each: 128 * (4 * 896 + 16) * 131,072 bytes are 60.4e9, with 16.1e9 of weights and
    # 2.1e9 more than the 76.5e9 of 80 GB.
    assert shown(found["evaluate_vllm_stage"]) == (["H200", "B200"], 4, 32, 12)
    assert shown(found["merge_stage"]) == (None, 8, 54, 12)


@pytest.mark.modal
def test_without_a_description_no_function_has_a_gpu(deployment: Deployment) -> None:
    found = deployment.functions(None)
    for name in (*STAGES, *OTHERS):
        assert (found[name].gpu, found[name].cpu, found[name].memory) == (None, 0, 0), name
        assert found[name].timeout == 86_400


@pytest.mark.modal
def test_without_gpus_the_plan_sizes_memory(deployment: Deployment) -> None:
    found = deployment.functions(EXAMPLES / "smoke.yaml", HONE_MODAL_DEVICE="cpu")
    assert all(found[name].gpu is None for name in (*STAGES, *OTHERS))
    assert shown(found["train_stage"]) == (None, 4, 4, 24)


@pytest.mark.modal
@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ('hardware: {train: "H10:2"}', 3, r"hardware\.train\S*: unknown GPU type 'H10'; did you mean H100\?"),
        ('hardware: {serve: "A10:8"}', 3, r"hardware\.serve\S*: 'A10:8': one container has 1 to 4 A10; write A10:4"),
        ("hardware: {train: {timeout: 90000}}", 3, r"hardware\.train\.timeout: .*less than or equal to 86400"),
        ("data: {path: lost.csv}", 4, r"data\.path: \S+lost\.csv: no such file or folder"),
        ("base_model: tickets@champion", 3, "versions are in the app's Volume"),
    ],
    ids=["unknown-gpu", "too-many-gpus", "too-long", "no-data", "a-version"],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(
    deployment: Deployment, change: str, code: int, told: str
) -> None:
    (deployment.folder / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    values = {"name: x", "task: generation", "base_model: Qwen/Qwen3-8B", "data: {path: rows.jsonl}"}
    kept = {value for value in values if value.split(":")[0] != change.split(":")[0]}
    path = deployment.folder / "spec.yaml"
    path.write_text("\n".join(sorted(kept | {change})))
    done = deployment.deploy(path)
    assert done.returncode == code, done.stdout
    assert re.search(rf"error: HONE_MODAL_CONFIG: (.|\n)*{told}", done.stdout), done.stdout
    assert "Traceback" not in done.stdout
    assert deployment.plane.apps == []


@pytest.mark.modal
def test_a_secret_without_a_key_that_it_must_have_is_refused(deployment: Deployment) -> None:
    done = deployment.deploy(None, HONE_MODAL_SECRETS="hub:HF_TOKEN+HONE_SECRET_HUB,openai")
    assert done.returncode != 0
    assert "Secret 'hub' is missing key(s): HONE_SECRET_HUB" in done.stdout
    assert deployment.plane.containers == [] and "hf_x" not in done.stdout


def test_what_nothing_holds_is_an_error_of_the_description() -> None:
    spec = read_spec(EXAMPLES / "llama-3.1-8b-lora.yaml")
    made = plan(LLAMA)
    assert made.inference is not None
    huge = made.inference.model_copy(update={"form_bytes": {"base": 2 * 10**12}})
    with pytest.raises(ConfigError, match="no GPU type holds") as caught:
        placed("evaluate", SERVE_VLLM, spec, made.model_copy(update={"inference": huge}))
    assert caught.value.where == "hardware.evaluate"


def test_a_quantizers_function_takes_its_most_demanding_variant() -> None:
    # As in tests/plan/test_placement.py: without calibration 18.2e9 bytes, an L4; with it 21.7e9, an L40S.
    spec = read_spec(EXAMPLES / "llama-3.1-8b-lora.yaml")
    made = plan(LLAMA, variants={"merged": "merged", "fp8_dynamic": "FP8_DYNAMIC"})
    assert placed("optimize", OPTIMIZE_LLMCOMPRESSOR, spec, made).gpu == "L4"
    more = read_spec(EXAMPLES / "llama-3.1-8b-lora.yaml", ["variants=[fp8_dynamic, w4a16, gptq-4bit]"])
    assert placed("optimize", OPTIMIZE_LLMCOMPRESSOR, more, made).gpu == "L40S"
    assert placed("optimize", OPTIMIZE_LEGACY, more, made).gpus == ("L40S", "A100-40GB", "A100-80GB")
    assert placed("optimize", OPTIMIZE_LEGACY, spec, made).gpus == ("L40S",)  # nobody asks: what is usual
    assert placed("optimize", MAIN, spec, made).memory == 54 * 1024


def test_sizes_are_those_of_modal_deploy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is no deployment: nothing is planned, though the setting names what is not there."""
    monkeypatch.setattr(sizes, "SETTINGS", Settings(config="/no/such/file.yaml"))
    assert all(declared(*key) == {"timeout": 86_400} for key in FUNCTIONS)
    assert size("serve", SERVE_VLLM).gpu == "L40S"
    assert size("train", TRAIN).gpu == "H100"


@pytest.mark.slow
def test_a_description_is_planned_with_the_clients_packages_alone() -> None:
    code = f"""
import json, sys
for name in {HEAVY!r}:
    sys.modules[name] = None  # importing it raises, and it cannot be found
from pathlib import Path
from modal_app.deployed_plan import plan_description
told = []
spec, plan = plan_description(Path(sys.argv[1]), told.append)
print(json.dumps([spec.name, plan.recommended_gpu, plan.inference.form_bytes["base"], told]))
"""
    path = EXAMPLES / "llama-3.1-8b-lora.yaml"
    done = subprocess.run([sys.executable, "-c", code, path], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name, gpu, size_of_base, told = json.loads(done.stdout)
    assert (name, gpu, size_of_base) == ("instructions-llama-8b", "H100", 16_060_522_496)
    assert len(told) == 1


def test_preferences_on_the_hub_are_assumed_as_pairs(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "{name: x, task: generation, base_model: meta-llama/Llama-3.2-3B, train: {method: dpo, max_length: 2048}, "
        "data: {path: owner/pairs, revision: main, columns: {chosen: better}}}"
    )
    told: list[str] = []
    _, made = plan_description(path, told.append)
    assert made.decisions.max_length == 2048
    assert "rows of about 2048 tokens" in told[0]
