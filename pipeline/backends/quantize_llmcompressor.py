"""Quantization by llm-compressor: FP8 and FP4, W4A16 and W8A16 by GPTQ, W8A8 by SmoothQuant and GPTQ."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.model_transformers import load_causal_lm
from pipeline.core.errors import HoneError, ModelError
from pipeline.core.models import ModelFiles
from schemas.schemes import Scheme

PASSES: dict[Scheme, int] = {"FP8_DYNAMIC": 0, "FP8": 2, "W8A8": 4, "W8A16": 2, "W4A16": 2, "NVFP4": 2, "MXFP4": 0}
"""How often every row goes through a layer: each calibrated step sees its activations, then passes its errors on."""

IGNORED = ("lm_head",)
"""Layers that stay in full precision; a tied output head shares its weights with the embeddings."""

SMOOTHING_STRENGTH = 0.8
"""SmoothQuant's alpha; llm-compressor's examples use 0.8 for Llama-like models."""


def quantize(
    files: ModelFiles,
    target: Path,
    scheme: Scheme,
    *,
    group_size: int,
    rows: Sequence[list[int]],
    advance: Callable[[int], None],
) -> None:
    """Write a quantized copy of the model into ``target`` as compressed-tensors safetensors.

    Args:
        files: a whole model in full precision.
        target: an existing folder.
        scheme: the weights' and activations' format.
        group_size: inputs that share one scale, for W4A16 and W8A16; it divides every layer's input width.
        rows: calibration rows as token ids; empty where the scheme needs none.
        advance: told of each row's pass through each layer; it may raise to stop.

    Raises:
        ModelError: the model does not load, or llm-compressor cannot quantize its architecture.
    """
    model = load_causal_lm(files)
    with _quiet():
        from llmcompressor import oneshot

        handles = [layer.register_forward_hook(lambda *_: advance(1)) for layer in _decoder_layers(model)]
        options = {"dataset": _loader(rows), "num_calibration_samples": len(rows)} if rows else {}
        try:
            oneshot(model=model, recipe=_recipe(scheme, group_size), **options)
        except HoneError:
            raise
        except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
            raise ModelError(
                f"llm-compressor cannot make {scheme} of this model: {str(error).splitlines()[0]}",
                where="variants",
                fix="take this variant out of the run, or use fp8_dynamic",
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        model.save_pretrained(target, save_compressed=True)
    # The recipe holds Python-specific YAML tags that no safe loader reads; config.json says what was done.
    (target / "recipe.yaml").unlink(missing_ok=True)


def layers_of(files: ModelFiles) -> int:
    """Return the number of decoder layers, from the model's config."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(files.weights, trust_remote_code=files.trust_remote_code)
    return int(config.get_text_config().num_hidden_layers)


def _recipe(scheme: Scheme, group_size: int) -> list[Any]:
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    ignore = list(IGNORED)
    match scheme:
        case "FP8_DYNAMIC" | "FP8" | "NVFP4" | "MXFP4":
            return [QuantizationModifier(targets="Linear", scheme=scheme, ignore=ignore)]
        case "W4A16" | "W8A16":
            return [GPTQModifier(config_groups={"group_0": _in_groups(int(scheme[1]), group_size)}, ignore=ignore)]
        case "W8A8":
            smooth = SmoothQuantModifier(smoothing_strength=SMOOTHING_STRENGTH)
            return [smooth, GPTQModifier(targets="Linear", scheme=scheme, ignore=ignore)]
        case _:
            raise AssertionError(f"llm-compressor does not make {scheme}")


def _in_groups(bits: int, group_size: int) -> Any:
    """Return llm-compressor's preset for weights of so many bits with another group size."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(num_bits=bits, type="int", symmetric=True, strategy="group", group_size=group_size)
    return QuantizationScheme(targets=["Linear"], weights=weights)


def _loader(rows: Sequence[list[int]]) -> Any:
    """Return one batch per row [1, tokens]: rows differ in length and no padding may take part."""
    import torch
    from torch.utils.data import DataLoader

    batches = [torch.tensor([row]) for row in rows]
    return DataLoader([{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in batches], batch_size=None)


def _decoder_layers(model: Any) -> list[Any]:
    layers = getattr(model.get_decoder(), "layers", None)
    return [] if layers is None else list(layers)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' own logs and bars off the terminal, and undo what they set in the environment."""
    tracing = logging.getLogger("torch.fx._symbolic_trace")
    level, tokenizers = tracing.level, os.environ.get("TOKENIZERS_PARALLELISM")
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stderr(sink), contextlib.redirect_stdout(sink):
        warnings.filterwarnings("ignore", message="Attempting to save a model with offloaded modules")
        from loguru import logger

        logger.disable("compressed_tensors")
        import llmcompressor  # noqa: F401 - it sets up its log on import, and turns it on

        logger.disable("llmcompressor")
        tracing.setLevel(logging.ERROR)
        try:
            yield
        finally:
            tracing.setLevel(level)
            if tokenizers is None:
                os.environ.pop("TOKENIZERS_PARALLELISM", None)
