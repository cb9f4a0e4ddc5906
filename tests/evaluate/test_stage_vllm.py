from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.core.context import CallContext
from pipeline.core.workspace import content_digest, list_files
from pipeline.evaluate.stage import run
from schemas.evaluate import BaseSubject, EvaluateArtifact, EvaluateConfig, EvaluateInputs, GenerationConfig, MetricSpec
from tests.conftest import PROJECT
from tests.evaluate.support import data_artifact, labeled_rows
from tests.support.stored import workspace
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import base_ref

SCRIPT = """
import sys
from pathlib import Path
from pipeline.core.context import CallContext
from pipeline.core.workspace import Workspace
from pipeline.evaluate.stage import run
from schemas.evaluate import EvaluateConfig, EvaluateInputs

config, inputs, work = map(Path, sys.argv[1:])
artifact = run(
    EvaluateConfig.model_validate_json(config.read_bytes()),
    EvaluateInputs.model_validate_json(inputs.read_bytes()),
    CallContext(),
    Workspace(work / "output", work / "scratch"),
)
(work / "artifact.json").write_text(artifact.model_dump_json())
"""


@pytest.mark.vllm
def test_an_evaluation_by_vllm_leaves_the_bytes_of_one_by_transformers(vllm_python: Path, tmp_path: Path) -> None:
    base = write_tiny_base(tmp_path / "base", tie_word_embeddings=False, initializer_range=0.3)
    inputs = EvaluateInputs(data=data_artifact(tmp_path / "data", train=labeled_rows(), test=labeled_rows(3)[12:]))
    config = EvaluateConfig(
        subject=BaseSubject(instruction="Name the intent.", few_shot=3),
        base=base_ref(base),
        metrics=(MetricSpec(name="exact_match"), MetricSpec(name="macro_f1")),
        generation=GenerationConfig(max_new_tokens=12),
    )
    here = run(config, inputs, CallContext(), workspace(tmp_path / "here"))

    by_vllm = config.model_copy(update={"generation": GenerationConfig(max_new_tokens=12, backend="vllm")})
    workspace(tmp_path / "there")
    files = {"config.json": by_vllm, "inputs.json": inputs}
    for name, value in files.items():
        (tmp_path / name).write_text(value.model_dump_json(), encoding="utf-8")
    done = subprocess.run(
        [str(vllm_python), "-c", SCRIPT, *(str(tmp_path / name) for name in (*files, "there"))],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    there = EvaluateArtifact.model_validate_json((tmp_path / "there" / "artifact.json").read_bytes())
    assert there.engine.startswith("vllm 0.")
    assert there.model_copy(update={"engine": here.engine}) == here
    assert content_digest(list_files(tmp_path / "there" / "output")) == content_digest(
        list_files(tmp_path / "here" / "output")
    )
