"""Adapters by PEFT: a LoraConfig from hone's settings, checked against the modules that the model has."""

from __future__ import annotations

import difflib
import re
import warnings
from typing import TYPE_CHECKING, Any

from pipeline.backends.training.plain_lora import changes_base
from pipeline.core.errors import ConfigError
from schemas.train import LoraSettings, TrainConfig

if TYPE_CHECKING:
    import torch


def adapter_config(config: TrainConfig, model: torch.nn.Module) -> Any:
    """Return PEFT's config of the adapter, or None where all weights are trained.

    Raises:
        ConfigError: a target names no module of the model; the nearest names are given.
    """
    if config.lora is None:
        return None
    from peft import LoraConfig

    lora = config.lora
    _check_initialization(config)
    _check_targets(lora, model)
    _check_saved(lora, model)
    targets = lora.target_modules
    with warnings.catch_warnings():  # PEFT cannot convert every PiSSA adapter to plain LoRA; `plain_lora` can
        warnings.filterwarnings("ignore", message="Using Rank-Stabilized LoRA with rank_pattern")
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=lora.r,
            lora_alpha=lora.lora_alpha,
            lora_dropout=lora.lora_dropout,
            target_modules=targets if isinstance(targets, str) else list(targets),
            modules_to_save=None if lora.modules_to_save is None else list(lora.modules_to_save),
            use_rslora=lora.use_rslora,
            use_dora=lora.use_dora,
            init_lora_weights=lora.init_lora_weights,
            bias=lora.bias,
            rank_pattern=dict(lora.rank_pattern),
            alpha_pattern=dict(lora.alpha_pattern),
        )


def train_in_float32(model: torch.nn.Module) -> None:
    """Give every trained parameter float32; call after the trainer is made and before its optimizer is.

    TRL turns the adapter of a quantized base into bfloat16. Modules that are trained whole get the base's values back,
    which that rounded.
    """
    from peft.utils import ModulesToSaveWrapper

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            for trained in module.modules_to_save.values():
                trained.load_state_dict(module.original_module.state_dict())


def _check_initialization(config: TrainConfig) -> None:
    if changes_base(config.lora) and (config.adapter == "qlora" or (config.lora and config.lora.use_dora)):
        raise ConfigError(
            "an initialization that changes the base fits neither a quantized base nor DoRA",
            where="train.lora.init_lora_weights",
            fix="set init_lora_weights to true, or train plain LoRA",
        )


def _check_targets(lora: LoraSettings, model: torch.nn.Module) -> None:
    names = _module_names(model)
    targets = lora.target_modules
    if targets == "all-linear":
        return
    if isinstance(targets, str):
        if not any(re.fullmatch(targets, name) for name in names):
            raise _no_module(targets, names, "train.lora.target_modules")
        return
    for target in targets:
        if target == "lm_head":
            raise ConfigError(
                "an adapter on lm_head would not be trained: the loss reads its weight directly",
                where="train.lora.target_modules",
                fix="remove lm_head, or train it whole with lora.modules_to_save",
            )
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise _no_module(target, names, "train.lora.target_modules")


def _check_saved(lora: LoraSettings, model: torch.nn.Module) -> None:
    names = _module_names(model)
    for saved in lora.modules_to_save or ():
        if not any(name == saved or name.endswith(f".{saved}") for name in names):
            raise _no_module(saved, names, "train.lora.modules_to_save")


def _module_names(model: torch.nn.Module) -> list[str]:
    return [name for name, _ in model.named_modules() if name]


def _no_module(target: str, names: list[str], where: str) -> ConfigError:
    last = sorted({name.rsplit(".", 1)[-1] for name in names if not name.rsplit(".", 1)[-1].isdigit()})
    near = difflib.get_close_matches(target, last, n=3, cutoff=0.4) or last[:8]
    return ConfigError(
        f"{target!r} names no module of the model",
        where=where,
        fix=f"nearest names: {', '.join(near)}; or all-linear",
    )
