"""What an engine is asked to serve, whichever engine it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.models import ModelFiles
from schemas.serve import EngineOptions

MODEL = "{model}"
BASE = "{base}"
LAUNCH = "{launch}"
HOST = "{host}"
PORT = "{port}"
"""Places that a launch description leaves open: the folder of the model or adapter, that of an adapter's base (or its
Hub id), the folder of the description itself, and the address to listen on."""

FRONT = "tokenizer"
"""Folder beside a launch description: tokenizer, chat template and end tokens, where the weights' own do not hold."""


@dataclass(frozen=True)
class EngineRequest:
    """One model to serve.

    Args:
        files: weights and adapter; only their kind matters to a description, which leaves their place open.
        served_model_name: what clients call it.
        options: as the user gave them.
        cpu_dtype: the dtype that ``auto`` means on a CPU.
        front: the folder `FRONT` replaces the weights' own tokenizer.
        smoke_request: a chat request that the model has to answer.
    """

    files: ModelFiles
    served_model_name: str
    options: EngineOptions
    cpu_dtype: str
    front: bool
    smoke_request: Mapping[str, Any]
