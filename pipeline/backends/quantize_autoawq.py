"""Quantization to four bits by autoawq (AWQ, arXiv 2306.00978). It runs in the optimize-legacy environment.

autoawq is archived upstream; llm-compressor succeeds it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.bars import no_bars
from pipeline.backends.legacy_checkpoint import cannot, load_model, missing, write_quantized
from pipeline.core.errors import HoneError, ModelError
from pipeline.core.models import ModelFiles

PASSES = 1
"""How often every row goes through a layer; the search for scales asks parts of it."""

BITS = 4

CHUNK = 512
"""Tokens of a calibration chunk: rows are joined and cut, as autoawq leaves out a row that is longer than a chunk."""

PORTION = 64
"""Outputs of a layer that autoawq clips at once."""

PARALLEL = 16
"""Chunks in memory at once."""


def quantize(
    files: ModelFiles, target: Path, rows: Sequence[list[int]], advance: Callable[[int], None], *, group_size: int
) -> None:
    """Write a quantized copy of the model into ``target`` as AWQ safetensors ("gemm"), with zero points.

    Args:
        files: a whole model in full precision.
        target: an existing folder.
        rows: calibration rows as token ids.
        advance: told of all rows when they went through a layer; it may raise to stop.
        group_size: inputs that share one scale; it divides every layer's input width.

    Raises:
        EnvironmentMissing: autoawq is not installed here.
        ModelError: the model does not load, or autoawq does not know its architecture or take its widths.
    """
    with _quiet():
        try:
            from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP
            from awq.models.base import AwqConfig
        except ImportError as error:
            raise missing("autoawq") from error
        model = load_model(files)
        model.config.use_cache = False  # every pass would go on where the last one ended
        kind = AWQ_CAUSAL_LM_MODEL_MAP.get(model.config.model_type)
        if kind is None:
            raise _unknown(model.config.model_type, AWQ_CAUSAL_LM_MODEL_MAP)
        options = {"zero_point": True, "q_group_size": group_size, "w_bit": BITS, "version": "GEMM"}
        wrapped = kind(model, model.config.model_type, False, model.config, AwqConfig.from_dict(options), None)
        _check_outputs(kind.get_model_layers(model))
        _report(kind.get_model_layers(model), len(rows), advance)
        pieces = chunks(rows)
        try:
            wrapped.quantize(
                None,
                options,
                calib_data=pieces,
                max_calib_samples=len(pieces),
                max_calib_seq_len=len(pieces[0]),
                n_parallel_calib_samples=PARALLEL,
            )
        except HoneError:
            raise
        except (ValueError, RuntimeError, KeyError, AssertionError) as error:
            raise cannot("autoawq", error) from error
        described = {
            "quant_method": "awq",
            "version": "gemm",
            "bits": BITS,
            "group_size": group_size,
            "zero_point": True,
            "modules_to_not_convert": wrapped.quant_config.modules_to_not_convert,
        }
        write_quantized(wrapped.model, Path(files.weights), target, described)


def chunks(rows: Sequence[list[int]]) -> list[list[int]]:
    """Join rows and cut them into chunks of one length; what is left at the end is less than a chunk."""
    joined = list(itertools.chain.from_iterable(rows))
    length = min(CHUNK, len(joined))
    return [joined[start : start + length] for start in range(0, len(joined) - length + 1, length)]


def _check_outputs(layers: Sequence[Any]) -> None:
    """Refuse a layer whose outputs autoawq cannot take in portions."""
    import torch

    for layer in layers:
        for name, part in layer.named_modules():
            if isinstance(part, torch.nn.Linear) and part.out_features % PORTION:
                raise ModelError(
                    f"autoawq takes layers whose outputs are a multiple of {PORTION}; {name} has {part.out_features}",
                    where="variants",
                    fix="use w4a16 (llm-compressor)",
                )


def _report(layers: Sequence[Any], rows: int, advance: Callable[[int], None]) -> None:
    """Tell of a layer when its first chunks went through it."""
    for layer in layers:
        counts = itertools.chain([rows], itertools.repeat(0))
        layer.register_forward_hook(lambda *_, counts=counts: advance(next(counts)))


def _unknown(model_type: str, known: dict[str, Any]) -> ModelError:
    return ModelError(
        f"autoawq does not know the architecture {model_type}; it knows {', '.join(sorted(known))}",
        where="variants",
        fix="use w4a16 (llm-compressor)",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep autoawq's notice, log and bars off the terminal."""
    with warnings.catch_warnings(), no_bars():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
