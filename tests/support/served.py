"""Fixtures: a tiny model with an adapter, its merged variant, data, and the adapter's evaluation by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.evaluate.stage import run as evaluate
from pipeline.optimize.stage import run as optimize
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact, EvaluateConfig, EvaluateInputs, GenerationConfig
from schemas.optimize import OptimizeArtifact, OptimizeConfig, OptimizeInputs, VariantSpec
from schemas.train import TrainArtifact
from tests.support.stored import stored, workspace
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import base_ref, random_adapter, split_data

GENERATION = GenerationConfig(max_new_tokens=8, batch_size=4)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("serve") / "base")


@pytest.fixture(scope="session")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored[TrainArtifact]:
    return random_adapter(tmp_path_factory.mktemp("serve-adapter"), base)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Stored[DataArtifact]:
    return split_data(tmp_path_factory.mktemp("serve-data"), train=4, test=12)


def evaluated(
    directory: Path,
    base: Path,
    model: Stored[Any],
    data: Stored[DataArtifact],
    chat_template: str | None = None,
) -> Stored[EvaluateArtifact]:
    """Evaluate a model on the test split, by transformers."""
    config = EvaluateConfig.model_validate(
        {
            "subject": {"kind": "model"},
            "base": base_ref(base),
            "metrics": [{"name": "exact_match"}],
            "generation": GENERATION,
            "chat_template": chat_template,
        }
    )
    place = workspace(directory)
    artifact = evaluate(config, EvaluateInputs(data=data, model=model), CallContext(), place)
    return stored("evaluate", place.output, artifact)


@pytest.fixture(scope="session")
def adapter_evaluation(
    base: Path,
    adapter: Stored[TrainArtifact],
    data: Stored[DataArtifact],
    tmp_path_factory: pytest.TempPathFactory,
) -> Stored[EvaluateArtifact]:
    return evaluated(tmp_path_factory.mktemp("serve-evaluation"), base, adapter, data)


@pytest.fixture(scope="session")
def merged(
    base: Path,
    adapter: Stored[TrainArtifact],
    data: Stored[DataArtifact],
    tmp_path_factory: pytest.TempPathFactory,
) -> Stored[OptimizeArtifact]:
    place = workspace(tmp_path_factory.mktemp("serve-merged"))
    config = OptimizeConfig(variant=VariantSpec.model_validate("merged"), base=base_ref(base))
    artifact = optimize(config, OptimizeInputs(parent=adapter, data=data), CallContext(), place)
    return stored("optimize", place.output, artifact)
