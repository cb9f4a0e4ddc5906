"""An adapter as it was at a checkpoint: its weights under PEFT's names, beside everything else of the trained one."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.core.errors import ModelError

ADAPTER = "adapter_model.safetensors"

_NAME = ".default"
"""What a model in training adds to the names of an adapter's parameters: which of its adapters it is."""


def write_checkpoint_adapter(weights: Path, trained: Path, folder: Path) -> None:
    """Write the adapter of a checkpoint into ``folder``.

    Args:
        weights: what a training's checkpoint holds (``weights.safetensors``).
        trained: the adapter that the training left, with its tokenizer.
        folder: a folder to make.

    Raises:
        ModelError: the checkpoint holds other parameters than the adapter has.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    values = {name.replace(f"{_NAME}.", ".").removesuffix(_NAME): value for name, value in load_file(weights).items()}
    with safe_open(trained / ADAPTER, framework="pt") as stored:
        known = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118 - no dict
    if known != {name: tuple(value.shape) for name, value in values.items()}:
        raise ModelError(
            "the checkpoint holds other parameters than the adapter that its training left",
            where=str(weights),
            fix="ask the trained model itself; adapters that are rewritten at their end have no checkpoints to ask",
        )
    shutil.copytree(trained, folder)
    (folder / ADAPTER).unlink()
    save_file(values, folder / ADAPTER, metadata={"format": "pt"})
