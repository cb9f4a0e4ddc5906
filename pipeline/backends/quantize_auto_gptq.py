"""Quantization to four bits by auto-gptq (GPTQ, arXiv 2210.17323). It runs in the optimize-legacy environment.

auto-gptq is archived upstream; gptqmodel succeeds it and writes the same format.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.bars import no_bars
from pipeline.backends.legacy_checkpoint import cannot, load_model, missing, write_quantized
from pipeline.core.errors import HoneError, ModelError
from pipeline.core.models import ModelFiles

PASSES = 5
"""How often every row goes through a layer: before each of its four steps (q k v, o, gate and up, down), and after."""

BITS = 4


def quantize(
    files: ModelFiles, target: Path, rows: Sequence[list[int]], advance: Callable[[int], None], *, group_size: int
) -> None:
    """Write a quantized copy of the model into ``target`` as GPTQ safetensors: symmetric, in the weights' own order.

    Args:
        files: a whole model in full precision.
        target: an existing folder.
        rows: calibration rows as token ids.
        advance: told of each row's pass through each layer; it may raise to stop.
        group_size: inputs that share one scale; it divides every layer's input width.

    Raises:
        EnvironmentMissing: auto-gptq is not installed here.
        ModelError: the model does not load, or auto-gptq does not know its architecture.
    """
    import torch

    with _on_this_device():
        try:
            from auto_gptq import BaseQuantizeConfig
            from auto_gptq.modeling.auto import GPTQ_CAUSAL_LM_MODEL_MAP
        except ImportError as error:
            raise missing("auto-gptq") from error
        model = load_model(files)
        kind = GPTQ_CAUSAL_LM_MODEL_MAP.get(model.config.model_type)
        if kind is None:
            raise _unknown(model.config.model_type, GPTQ_CAUSAL_LM_MODEL_MAP)
        biases = {name for name in model.state_dict() if name.endswith(".bias")}
        config = BaseQuantizeConfig(bits=BITS, group_size=group_size, desc_act=False, sym=True)
        wrapped = kind(model, False, config)
        for layer in model.get_submodule(kind.layers_block_name):
            layer.register_forward_hook(lambda *_: advance(1))
        examples = [{"input_ids": torch.tensor([row]), "attention_mask": torch.ones(1, len(row))} for row in rows]
        try:
            wrapped.quantize(examples, batch_size=1, use_triton=False)
        except HoneError:
            raise
        except (ValueError, RuntimeError, KeyError, AssertionError) as error:
            raise cannot("auto-gptq", error) from error
        _drop_biases(wrapped.model, biases)
        described = {
            "quant_method": "gptq",
            "checkpoint_format": "gptq",
            "bits": BITS,
            "group_size": group_size,
            "desc_act": False,
            "sym": True,
            "damp_percent": config.damp_percent,
            "true_sequential": config.true_sequential,
        }
        write_quantized(wrapped.model, Path(files.weights), target, described)


def _drop_biases(model: Any, own: Collection[str]) -> None:
    """Remove the zeros that auto-gptq gives as bias to layers that have none of their own."""
    for name, module in model.named_modules():
        if hasattr(module, "qweight") and f"{name}.bias" not in own:
            module.bias = None


def _unknown(model_type: str, known: dict[str, Any]) -> ModelError:
    return ModelError(
        f"auto-gptq does not know the architecture {model_type}; it knows {', '.join(sorted(known))}",
        where="variants",
        fix="use w4a16 (llm-compressor)",
    )


@contextlib.contextmanager
def _on_this_device() -> Iterator[None]:
    """Make auto-gptq, which asks for a GPU by name, work on a CPU, and keep its log off the terminal."""
    import torch

    synchronize = torch.cuda.synchronize
    with warnings.catch_warnings(), no_bars():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            if not torch.cuda.is_available():
                torch.cuda.synchronize = lambda *_: None
                with contextlib.suppress(ImportError):
                    from auto_gptq.modeling import _base

                    _base.CUDA_0 = torch.device("cpu")
            yield
        finally:
            logging.disable(logging.NOTSET)
            torch.cuda.synchronize = synchronize
