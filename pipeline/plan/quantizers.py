"""Which families of models the archived quantizers know, so that a run does not learn it after training."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.errors import ConfigError
from pipeline.plan.architecture import Architecture
from schemas.schemes import VariantBackend

_AUTO_GPTQ = """
RefinedWeb RefinedWebModel Yi baichuan bloom codegen deci falcon gemma gpt2 gpt_bigcode gpt_neox gptj internlm
llama longllama mistral mixtral moss opt qwen qwen2 stablelm_epoch xverse
"""

_AUTOAWQ = """
RefinedWeb RefinedWebModel Yi aquila baichuan bloom cohere deepseek_v2 deepseek_v3 exaone falcon gemma gemma2
gpt_bigcode gpt_neox gptj internlm2 llama llava llava_next minicpm minicpm3 mistral mixtral mpt opt phi3
phi3_v qwen qwen2 qwen2_5_omni qwen2_5_vl qwen2_vl qwen3 qwen3_moe stablelm starcoder2
"""

KNOWN: dict[VariantBackend, tuple[str, ...]] = {
    "auto_gptq": tuple(_AUTO_GPTQ.split()),
    "autoawq": tuple(_AUTOAWQ.split()),
}
"""Families by backend, under transformers' names (auto-gptq 0.7.1, autoawq 0.2.9); other backends take all."""


def check_quantizers(backends: Iterable[VariantBackend], architecture: Architecture) -> None:
    """Refuse a variant whose library does not know the base's architecture.

    Raises:
        ConfigError: with what it knows.
    """
    for backend in backends:
        known = KNOWN.get(backend)
        if known is not None and architecture.model_type and architecture.model_type not in known:
            raise ConfigError(
                f"{backend} does not know the architecture {architecture.model_type}; it knows {', '.join(known)}",
                where="variants",
                fix="use w4a16 (llm-compressor) in its place",
            )
