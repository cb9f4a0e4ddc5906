"""Merge an adapter into its base by PEFT: in float32, saved in the base's own precision, reloaded bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.backends.logits_transformers import Measured, embeddings_are_tied, measure, measure_loaded
from pipeline.backends.model_transformers import load_causal_lm
from pipeline.backends.remarks_peft import without_known_remarks
from pipeline.core.errors import IntegrityError, ModelError
from pipeline.core.models import ModelFiles


@dataclass(frozen=True)
class Merge:
    """The same probes before and after.

    ``adapter``: base with adapter, in float32. ``merged``: the merged weights, in float32. ``saved``: what was written,
    reloaded. ``base_tied``: the base's input and output embeddings are one tensor.
    """

    base_tied: bool
    adapter: Measured
    merged: Measured
    saved: Measured


def merge_adapter(files: ModelFiles, target: Path, prompts: Sequence[list[int]], stop_ids: Collection[int]) -> Merge:
    """Write the merged model into ``target``; an adapter trained on 4-bit weights goes into the full-precision base.

    Args:
        files: base weights and adapter.
        target: an existing folder.
        prompts: token ids to compare logits on.
        stop_ids: end tokens that the generation config of the merged model must name.

    Raises:
        ModelError: base or adapter does not load, or the adapter's kind cannot be merged.
        IntegrityError: what was saved does not load as what was merged.
    """
    dtype = _stored_dtype(files)
    base = load_causal_lm(replace(files, adapter=None), dtype="float32")
    base_tied = embeddings_are_tied(base)
    model = _with_adapter(base, files)
    adapter = measure_loaded(model.get_base_model(), prompts)
    model = _merge(model, files)
    merged = measure_loaded(model, prompts)
    weights = _save(model, target, dtype, stop_ids)
    saved = ModelFiles(str(target), None, None, str(target), files.trust_remote_code)
    _check_saved(weights, saved, dtype)
    return Merge(base_tied, adapter, merged, measure(saved, prompts))


def _merge(model: Any, files: ModelFiles) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Input and output embeddings are no longer tied"
            )  # `Merge` says so
            return model.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError, AttributeError) as error:
        raise ModelError(
            f"this adapter cannot be merged: {error}", where=str(files.adapter), fix="serve the adapter itself"
        ) from error


def _save(model: Any, target: Path, dtype: Any, stop_ids: Collection[int]) -> dict[str, Any]:
    """Write the model in ``dtype`` and return the tensors that were written."""
    known = model.generation_config.eos_token_id
    known = [known] if isinstance(known, int) else list(known or [])
    model.generation_config.eos_token_id = sorted({*known, *stop_ids})
    model.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(target)
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def _stored_dtype(files: ModelFiles) -> Any:
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        files.weights, revision=files.revision, trust_remote_code=files.trust_remote_code
    )
    return config.get_text_config().dtype or config.dtype or torch.float32


def _with_adapter(base: Any, files: ModelFiles) -> Any:
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        with without_known_remarks():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")  # see `Merge.base_tied`
            model = PeftModel.from_pretrained(base, str(files.adapter), torch_device=str(base.device))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, UserWarning) as error:
        raise ModelError(
            f"the adapter does not fit the base: {str(error).splitlines()[0]}",
            where=str(files.adapter),
            fix="use the base that it was trained on",
        ) from error
    model.eval()
    return model


def _check_saved(weights: dict[str, Any], files: ModelFiles, dtype: Any) -> None:
    """Compare every reloaded tensor with the one that was saved.

    Raises:
        IntegrityError: one is missing or differs.
    """
    import torch

    reloaded = load_causal_lm(files, dtype=str(dtype).removeprefix("torch."), device="cpu").state_dict()
    for name in sorted(weights.keys() | reloaded.keys()):
        if name not in weights or name not in reloaded or not torch.equal(weights[name], reloaded[name]):
            raise IntegrityError(
                "the merged model does not load as it was saved",
                where=name,
                fix="serve the adapter itself, and report this with the base's architecture",
            )
