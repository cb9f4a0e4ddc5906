"""Which parameters are trained, counted exactly, and whether vLLM can serve the adapter that results."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.plan.architecture import Architecture
from schemas.adapters import named
from schemas.lora import CHANGES_BASE, LoraSettings
from schemas.serve import LORA_RANKS
from schemas.train import TrainOptions


def lora_parameters(architecture: Architecture, lora: LoraSettings) -> int:
    """Return the trainable parameters of a LoRA adapter: r (inputs + outputs) for each adapted layer.

    Hu et al., LoRA (arXiv:2106.09685), section 4.1. DoRA adds one magnitude per output; ``bias`` trains the base's
    biases (``all``: in adapted layers or not); ``modules_to_save`` are trained whole. Names match as in PEFT: a text is
    a pattern for the full name, a list matches the ends of names.
    """
    total = 0
    for linear in architecture.linears():
        adapted = adapts(lora.target_modules, linear.name)
        if adapted:
            total += rank_of(linear.name, lora.r, lora.rank_pattern) * (linear.inputs + linear.outputs)
            total += linear.outputs if lora.use_dora else 0
        if linear.bias and (lora.bias == "all" or (lora.bias == "lora_only" and adapted)):
            total += linear.outputs
        if _ends_with(linear.name, lora.modules_to_save or ()):
            total += linear.parameters
    for name in ("embed_tokens", "lm_head"):
        if name in (lora.modules_to_save or ()):
            total += architecture.embedding_parameters
    return total


def not_servable(lora: LoraSettings) -> list[str]:
    """Return why vLLM 0.32 would not load this adapter, or would serve another model than was trained.

    After ``vllm/lora/peft_helper.py``: it takes plain LoRA and rsLoRA, also with patterns of ranks. An initialization
    that changes the base is stored as plain LoRA of twice the rank.
    """
    reasons = []
    rank = max([lora.r, *lora.rank_pattern.values()])
    stored = 2 * rank if lora.init_lora_weights in CHANGES_BASE else rank
    if lora.use_dora:
        reasons.append("vLLM does not serve DoRA (lora.use_dora)")
    if lora.bias != "none":
        reasons.append(f"vLLM does not serve trained biases (lora.bias: {lora.bias})")
    if lora.modules_to_save:
        reasons.append("vLLM does not serve whole trained modules beside an adapter (lora.modules_to_save)")
    if stored > LORA_RANKS[-1]:
        twice = f", which {lora.init_lora_weights} stores as {stored}" if stored != rank else ""
        reasons.append(f"vLLM serves ranks up to {LORA_RANKS[-1]}, not {rank}{twice} (lora.r)")
    return reasons


def not_served(train: TrainOptions) -> list[str]:
    """Return why vLLM would not load an adapter that is no LoRA, by the table of adapters."""
    lines = {} if train.other is None else named(train.adapter, train.other.model_dump())
    return [f"vLLM does not serve {name} (train.adapter)" for name, line in lines.items() if not line.vllm]


def rank_of(name: str, usual: int, pattern: Mapping[str, int]) -> int:
    """Return the rank of a module: that of the first key of a rank pattern which matches its name, as in PEFT."""
    for key, rank in pattern.items():
        if re.match(rf"(.*\.)?({key})$", name):
            return rank
    return usual


def adapts(target: tuple[str, ...] | str, name: str) -> bool:
    """Tell whether ``target_modules`` names the module of this full name, as PEFT matches them."""
    if target == "all-linear":
        return True
    if isinstance(target, str):
        return re.fullmatch(target, name) is not None
    return _ends_with(name, target)


def _ends_with(name: str, ends: tuple[str, ...]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in ends)
