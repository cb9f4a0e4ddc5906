"""What a saved model computes: logits of probe prompts, its size in parameters, whether its embeddings are tied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backends.model_transformers import load_causal_lm
from pipeline.core.models import ModelFiles

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Measured:
    """One model over the probes.

    ``logits`` has one float32 array [tokens, vocabulary] per prompt; ``parameters`` counts tied ones once.
    """

    logits: list[np.ndarray[Any, Any]]
    parameters: int
    tied_embeddings: bool


def measure(files: ModelFiles, prompts: Sequence[list[int]], *, dtype: str = "auto") -> Measured:
    """Load a model and run it over ``prompts`` (token ids).

    Raises:
        ModelError: the files do not load.
    """
    return measure_loaded(load_causal_lm(files, dtype=dtype), prompts)


def measure_loaded(model: torch.nn.Module, prompts: Sequence[list[int]]) -> Measured:
    """Run a loaded model over ``prompts``, one at a time, so that no padding takes part."""
    import torch

    device = next(model.parameters()).device
    with torch.inference_mode():
        outputs = [model(input_ids=torch.tensor([prompt], device=device)).logits[0] for prompt in prompts]
    return Measured(
        logits=[output.float().cpu().numpy() for output in outputs],
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        tied_embeddings=embeddings_are_tied(model),
    )


def embeddings_are_tied(model: Any) -> bool:
    """Return whether input and output embeddings are one tensor."""
    entrance, exit_ = model.get_input_embeddings(), model.get_output_embeddings()
    if entrance is None or exit_ is None:
        return False
    return bool(entrance.weight.data_ptr() == exit_.weight.data_ptr())


def weights_folder(files: ModelFiles) -> Path:
    """Return the folder of a model that was loaded before; for a Hub id that of its cached snapshot."""
    if Path(files.weights).is_dir():
        return Path(files.weights)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(files.weights, revision=files.revision, local_files_only=True))
