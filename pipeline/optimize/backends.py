"""The one door of the optimize stage to libraries: who merges, who quantizes, who loads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer
from schemas.optimize import Variant
from schemas.schemes import SCHEMES

if TYPE_CHECKING:
    from pipeline.backends.logits_transformers import Measured
    from pipeline.backends.merge_peft import Merge


def tokenizer(source: str, variant: Variant) -> Tokenizer:
    """Load the tokenizer of a model folder with the library that makes ``variant``."""
    match variant.backend:
        case "merge" | "llmcompressor":
            from pipeline.backends.tokenizer_transformers import load_tokenizer

            return load_tokenizer(source)
        case "auto_gptq" | "autoawq":
            from pipeline.backends import legacy_checkpoint

            return legacy_checkpoint.load_tokenizer(source)
        case _:
            assert_never(variant.backend)


def measure(files: ModelFiles, prompts: Sequence[list[int]]) -> Measured:
    """Load a whole model and run it over ``prompts``."""
    from pipeline.backends.logits_transformers import measure

    return measure(files, prompts)


def merge(files: ModelFiles, target: Path, prompts: Sequence[list[int]], stop_ids: Collection[int]) -> Merge:
    """Merge the adapter of ``files`` into its base, written into ``target``."""
    from pipeline.backends.merge_peft import merge_adapter

    return merge_adapter(files, target, prompts, stop_ids)


def weights_folder(files: ModelFiles) -> Path:
    """Return the folder of a model's weights; for a Hub id that of its cached snapshot."""
    from pipeline.backends.logits_transformers import weights_folder

    return weights_folder(files)


@dataclass(frozen=True)
class Quantizer:
    """How one variant is quantized.

    ``passes`` says how often each calibration row goes through each layer, 0 where none is needed; ``grouped`` whether
    the group size applies; ``layers`` counts a model's layers; ``measure`` runs the parent, and what was made, from
    their files.
    """

    passes: int
    grouped: bool
    layers: Callable[[ModelFiles], int]
    run: Callable[[ModelFiles, Path, Sequence[list[int]], Callable[[int], None]], None]
    measure: Callable[[ModelFiles, Sequence[list[int]]], Measured]


def quantizer(variant: Variant) -> Quantizer:
    """Return the quantizer of ``variant``, which is no merge."""
    match variant.backend:
        case "llmcompressor":
            return _llmcompressor(variant)
        case "auto_gptq":
            from pipeline.backends import legacy_checkpoint, quantize_auto_gptq

            run = partial(quantize_auto_gptq.quantize, group_size=variant.group_size)
            return Quantizer(
                quantize_auto_gptq.PASSES, True, legacy_checkpoint.layers_of, run, legacy_checkpoint.measure
            )
        case "autoawq":
            from pipeline.backends import legacy_checkpoint, quantize_autoawq

            run = partial(quantize_autoawq.quantize, group_size=variant.group_size)
            return Quantizer(quantize_autoawq.PASSES, True, legacy_checkpoint.layers_of, run, legacy_checkpoint.measure)
        case "merge":
            raise AssertionError("a merge quantizes nothing")
        case _:
            assert_never(variant.backend)


def _llmcompressor(variant: Variant) -> Quantizer:
    from pipeline.backends.quantize_llmcompressor import PASSES, layers_of, quantize

    scheme = variant.scheme

    def run(files: ModelFiles, target: Path, rows: Sequence[list[int]], advance: Callable[[int], None]) -> None:
        quantize(files, target, scheme, group_size=variant.group_size, rows=rows, advance=advance)

    return Quantizer(PASSES[scheme], SCHEMES[scheme].grouped, layers_of, run, measure)
