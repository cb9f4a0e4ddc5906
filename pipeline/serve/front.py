"""What goes before the weights' own tokenizer: an adapter's, and further end tokens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer, end_of_turn_ids
from pipeline.serve import backends

_NO_TOKENIZER = ("adapter_config.json", "generation_config.json", "config.json")


def write_front(folder: Path, files: ModelFiles, tokenizer: Tokenizer) -> bool:
    """Write the folder `FRONT` into ``folder`` if the weights' own tokenizer does not hold; return whether.

    Args:
        folder: where the launch description is.
        files: weights and adapter.
        tokenizer: the one that the model was trained with.

    Raises:
        RenderError: its template cannot render a plain question and answer.
    """
    known = backends.stop_ids(files)
    ends = end_of_turn_ids(tokenizer)
    if files.adapter is None and set(ends) <= set(known):
        return False
    _write(folder / backends.FRONT, files, {*known, *ends})
    return True


def _write(front: Path, files: ModelFiles, stop_ids: Collection[int]) -> None:
    """Write the files; engines take a tokenizer's folder for a model's, so the weights' config is there too."""
    front.mkdir()
    for path in sorted(Path(files.tokenizer).iterdir()):
        if path.is_file() and path.suffix != ".safetensors" and path.name not in _NO_TOKENIZER:
            shutil.copyfile(path, front / path.name)
    weights = Path(files.weights)
    if (weights / "config.json").is_file():
        shutil.copyfile(weights / "config.json", front / "config.json")
    settings: dict[str, Any] = {}
    if (weights / "generation_config.json").is_file():
        settings = json.loads((weights / "generation_config.json").read_text(encoding="utf-8"))
    settings["eos_token_id"] = sorted(stop_ids)
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (front / "generation_config.json").write_text(text, encoding="utf-8")
