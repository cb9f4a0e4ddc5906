"""The tiny base model's card: Hugging Face metadata, and figures that are all taken from the files and the run."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from string import Template

from schemas.evaluate import EvaluateArtifact
from schemas.train import TrainArtifact

TEMPLATE_NAME = "base_card.md"


def base_card(model: Path, trained: TrainArtifact, evaluated: EvaluateArtifact) -> str:
    """Return README.md of the base model that lies in ``model``, as the run trained and evaluated it."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    score = evaluated.scores["exact_match"]
    template = Template((files("local_runner.demo") / TEMPLATE_NAME).read_text(encoding="utf-8"))
    return template.substitute(
        parameters=f"{trained.parameters:,}",
        architecture=config["architectures"][0],
        layers=config["num_hidden_layers"],
        hidden_size=config["hidden_size"],
        heads=config["num_attention_heads"],
        head_dim=config["head_dim"],
        vocabulary=f"{config['vocab_size']:,}",
        context=config["max_position_embeddings"],
        megabytes=f"{(model / 'model.safetensors').stat().st_size / 1e6:.1f}",
        rows=f"{trained.rendered.kept:,}",
        tokens=f"{trained.rendered.tokens:,}",
        trained_tokens=f"{trained.rendered.trained_tokens:,}",
        epochs=f"{trained.epochs:g}",
        steps=f"{trained.steps:,}",
        items=score.n,
        value=f"{score.value:.4f}",
        percent=f"{100 * score.value:.1f}",
        low=f"{100 * score.low:.1f}",
        high=f"{100 * score.high:.1f}",
        interval=score.method,
    )
