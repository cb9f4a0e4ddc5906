"""Models that read text and say nothing: loaded with their tokenizer, from safetensors, running no code of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.bars import no_bars
from pipeline.core.errors import ModelError

_LONGEST = 512
"""Tokens of a text where the model's own config states no length."""

_ROOM = 4
"""Memory for the weights and what they compute, as a multiple of the weights."""


@dataclass(frozen=True)
class Encoder:
    """A loaded model in float32, its tokenizer, and the longest text that it reads, in tokens."""

    model: Any
    tokenizer: Any
    longest: int


def load_encoder(auto_class: Any, folder: Path, what: str, key: str, *, unused: str | None = None) -> Encoder:
    """Load a model onto the GPU where there is one with room for it, else onto the CPU.

    Args:
        auto_class: the class of transformers' that knows the model.
        folder: config, weights and tokenizer.
        what: how errors call the model: ``classifier``.
        key: the key of the run description that names it.
        unused: weights with this word in their name may be missing, because nobody reads what they compute.

    Raises:
        ModelError: the folder holds no such model.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    where, fix = f"{key}: {folder}", f"name the folder of a {what} with config.json, *.safetensors and its tokenizer"
    if not (folder / "config.json").is_file():
        raise ModelError(f"the {what}'s folder holds no config.json", where=where, fix=fix)
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with no_bars():
            model, info = auto_class.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"the {what} cannot be loaded: {reason[0]}", where=where, fix=fix) from error
    missing = sorted(name for name in info["missing_keys"] if unused is None or unused not in name)
    if missing:
        raise ModelError(f"the {what} lacks weights, first {missing[0]}", where=where, fix=fix)
    model.to("cuda" if _fits_on_gpu(model) else "cpu").eval()
    length = getattr(model.config, "max_position_embeddings", None)
    longest = min(length if isinstance(length, int) and length > 0 else _LONGEST, tokenizer.model_max_length)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        model.config.pad_token_id = tokenizer.pad_token_id
    return Encoder(model, tokenizer, longest)


def _fits_on_gpu(model: Any) -> bool:
    """Tell whether there is a GPU with room for the model: an engine that answered before may hold nearly all of it."""
    import torch

    return torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > _ROOM * model.get_memory_footprint()
