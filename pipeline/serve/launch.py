"""From a launch description to a command, and what lies beside the description."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.engine import BASE, FRONT, HOST, LAUNCH, MODEL, PORT
from pipeline.core.models import ModelFiles
from schemas.serve import LaunchDescription

LAUNCH_FILE = "launch.json"

_NO_TOKENIZER = ("adapter_config.json", "generation_config.json", "config.json")


@dataclass(frozen=True)
class Places:
    """What a description leaves open: the model's files, the description's folder, the address to listen on."""

    files: ModelFiles
    launch: Path
    host: str
    port: int

    def fill(self, argument: str) -> str:
        """Return ``argument`` with every place filled in."""
        model = self.files.weights if self.files.adapter is None else str(self.files.adapter)
        for place, value in (
            (MODEL, model),
            (BASE, self.files.weights),
            (LAUNCH, str(self.launch)),
            (HOST, self.host),
            (PORT, str(self.port)),
        ):
            argument = argument.replace(place, value)
        return argument


def arguments(launch: LaunchDescription, places: Places) -> list[str]:
    """Return the interpreter's arguments that bring the description up."""
    return ["-m", launch.module, *(places.fill(argument) for argument in launch.arguments)]


def write_front(folder: Path, files: ModelFiles, chat_template: str | None, stop_ids: Collection[int]) -> None:
    """Write the folder `FRONT` into ``folder``: tokenizer, template and end tokens that go before the weights' own.

    Engines take a tokenizer's folder for a model's, so the weights' config is there too.

    Args:
        folder: where the launch description will be.
        files: an adapter's folder holds the tokenizer; the weights' folder the configs.
        chat_template: replaces the tokenizer's own, if given.
        stop_ids: every token that ends an answer.
    """
    front = folder / FRONT
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
    if chat_template is not None:
        (front / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
