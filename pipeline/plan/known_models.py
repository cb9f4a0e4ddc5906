"""Architectures of well-known bases, for a plan where the base's config cannot be read (no network, no folder).

Sizes as their published configs state them. A base that is not here needs its config.json.
"""

from __future__ import annotations

import difflib
import re

from pipeline.core.errors import ModelError
from pipeline.plan.architecture import Architecture

DATED = "2026-11-26"
"""When this table was last checked, against config.json files on the Hub and published totals of parameters."""


def _qwen3(
    layers: int, hidden: int, heads: int, intermediate: int, *, tied: bool, context: int = 40_960
) -> Architecture:
    return Architecture("qwen3", layers, hidden, heads, 8, 128, intermediate, 151_936, tied, context)


def _llama(
    layers: int,
    hidden: int,
    heads: int,
    head_dim: int,
    intermediate: int,
    *,
    tied: bool = False,
    context: int = 131_072,
) -> Architecture:
    return Architecture("llama", layers, hidden, heads, 8, head_dim, intermediate, 128_256, tied, context)


def _gemma3(layers: int, hidden: int, heads: int, kv_heads: int, head_dim: int, intermediate: int) -> Architecture:
    """Return the text part of a Gemma 3 that sees images as well."""
    return Architecture("gemma3_text", layers, hidden, heads, kv_heads, head_dim, intermediate, 262_208, True, 131_072)


def _gpt_oss(layers: int, experts: int) -> Architecture:
    return Architecture(
        "gpt_oss",
        layers,
        2880,
        64,
        8,
        64,
        2880,
        201_088,
        False,
        131_072,
        experts=experts,
        experts_per_token=4,
        attention_bias=True,
        output_bias=True,
    )


KNOWN: dict[str, Architecture] = {
    "Qwen/Qwen3-0.6B": _qwen3(28, 1024, 16, 3072, tied=True),
    "Qwen/Qwen3-1.7B": _qwen3(28, 2048, 16, 6144, tied=True),
    "Qwen/Qwen3-4B": _qwen3(36, 2560, 32, 9728, tied=True),
    "Qwen/Qwen3-4B-Instruct-2507": _qwen3(36, 2560, 32, 9728, tied=True, context=262_144),
    "Qwen/Qwen3-8B": _qwen3(36, 4096, 32, 12_288, tied=False),
    "Qwen/Qwen3-14B": _qwen3(40, 5120, 40, 17_408, tied=False),
    "Qwen/Qwen3-32B": _qwen3(64, 5120, 64, 25_600, tied=False),
    "meta-llama/Meta-Llama-3-8B": _llama(32, 4096, 32, 128, 14_336, context=8192),
    "meta-llama/Meta-Llama-3-70B": _llama(80, 8192, 64, 128, 28_672, context=8192),
    "meta-llama/Llama-3.1-8B": _llama(32, 4096, 32, 128, 14_336),
    "meta-llama/Llama-3.1-70B": _llama(80, 8192, 64, 128, 28_672),
    "meta-llama/Llama-3.2-1B": _llama(16, 2048, 32, 64, 8192, tied=True),
    "meta-llama/Llama-3.2-3B": _llama(28, 3072, 24, 128, 8192, tied=True),
    "meta-llama/Llama-3.3-70B": _llama(80, 8192, 64, 128, 28_672),
    "mistralai/Mistral-7B-v0.3": Architecture("mistral", 32, 4096, 32, 8, 128, 14_336, 32_768, False, 32_768),
    "mistralai/Mistral-Nemo-Base-2407": Architecture(
        "mistral", 40, 5120, 32, 8, 128, 14_336, 131_072, False, 1_024_000
    ),
    "mistralai/Mistral-Small-24B-Base-2501": Architecture(
        "mistral", 40, 5120, 32, 8, 128, 32_768, 131_072, False, 32_768
    ),
    "google/gemma-2-2b": Architecture("gemma2", 26, 2304, 8, 4, 256, 9216, 256_000, True, 8192),
    "google/gemma-2-9b": Architecture("gemma2", 42, 3584, 16, 8, 256, 14_336, 256_000, True, 8192),
    "google/gemma-2-27b": Architecture("gemma2", 46, 4608, 32, 16, 128, 36_864, 256_000, True, 8192),
    "google/gemma-3-1b": Architecture("gemma3_text", 26, 1152, 4, 1, 256, 6912, 262_144, True, 32_768),
    "google/gemma-3-4b": _gemma3(34, 2560, 8, 4, 256, 10_240),
    "google/gemma-3-12b": _gemma3(48, 3840, 16, 8, 256, 15_360),
    "google/gemma-3-27b": _gemma3(62, 5376, 32, 16, 128, 21_504),
    "openai/gpt-oss-20b": _gpt_oss(24, 32),
    "openai/gpt-oss-120b": _gpt_oss(36, 128),
}
"""Architectures by Hub id; a sibling of the same sizes (tuned for instructions, or not) needs no entry of its own."""

_SIBLING = re.compile(r"-(instruct|it|chat|base|pt)(?=-|$)|-(2507|hf|bf16)$")


def _tail(name: str) -> str:
    """Return a name without its owner, in lower case."""
    return name.lower().rsplit("/", 1)[-1]


def _plain(name: str) -> str:
    """Return a name without its owner, ``meta-``, and the suffixes of siblings, in lower case."""
    plain = _tail(name).removeprefix("meta-")
    while (shorter := _SIBLING.sub("", plain)) != plain:
        plain = shorter
    return plain


def find_known(name: str) -> tuple[str, Architecture] | None:
    """Return the table's name and architecture of a base by Hub id or short name (``llama-3-70b``), or None."""
    for form in (_tail, _plain):
        wanted = form(name)
        for known, architecture in KNOWN.items():
            if form(known) == wanted:
                return known, architecture
    return None


def require_known(name: str, where: str) -> tuple[str, Architecture]:
    """Return what `find_known` finds.

    Raises:
        ModelError: the base is not in the table; the nearest names are given.
    """
    found = find_known(name)
    if found is not None:
        return found
    by_plain = {_plain(known): known for known in reversed(KNOWN)}
    near = [by_plain[plain] for plain in difflib.get_close_matches(_plain(name), by_plain, n=3, cutoff=0.5)]
    raise ModelError(
        f"the sizes of {name!r} are not known here",
        where=where,
        fix=f"did you mean {' or '.join(near)}?" if near else f"known here: {', '.join(KNOWN)}",
    )
