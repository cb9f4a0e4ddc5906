"""Adapters by PEFT: a LoraConfig from hone's settings, checked against the modules that the model has."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import ConfigError
from schemas.adapter_options import AdapterOptions, BoftOptions, LnTuningOptions
from schemas.adapters import OTHERS, AdapterName
from schemas.lora import LoraSettings, changes_base
from schemas.methods import METHODS
from schemas.train import TrainConfig

if TYPE_CHECKING:
    import torch


def adapter_config(config: TrainConfig, model: torch.nn.Module) -> Any:
    """Return PEFT's config of the adapter, or None where all weights are trained.

    Raises:
        ConfigError: a target names no module of the model; the nearest names are given.
    """
    if config.adapter == "full":
        return None
    _check_targets(adapted_modules(config), model, _where(config))
    if config.other is not None:
        _check_layers(config, config.other, model)
        return _other_config(config.adapter, config.other, _task(config))
    assert config.lora is not None
    lora = config.lora
    from peft import LoraConfig

    _check_initialization(config)
    _check_saved(lora, model)
    targets = lora.target_modules
    with warnings.catch_warnings():  # PEFT cannot convert every PiSSA adapter to plain LoRA; `plain_lora` can
        warnings.filterwarnings("ignore", message="Using Rank-Stabilized LoRA with rank_pattern")
        return LoraConfig(
            task_type=_task(config),
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


def adapted_modules(config: TrainConfig) -> tuple[str, ...] | str:
    """Return the target modules of an adapter."""
    options = config.lora or config.other
    assert options is not None
    return options.target_modules


def _where(config: TrainConfig) -> str:
    return f"train.{'lora' if config.lora is not None else config.adapter}.target_modules"


def _task(config: TrainConfig) -> str:
    """Return what PEFT calls the model's task; with a score as output it trains that output whole, besides."""
    return "SEQ_CLS" if METHODS[config.method].scores else "CAUSAL_LM"


def _other_config(kind: AdapterName, options: AdapterOptions, task: str) -> Any:
    """Return PEFT's config of an adapter that is no LoRA: its options have the names of that class."""
    import peft

    given = {name: _listed(value) for name, value in options}
    return getattr(peft, OTHERS[kind].config)(task_type=task, **given)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, dict) else value


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


def _check_targets(targets: tuple[str, ...] | str, model: torch.nn.Module, where: str) -> None:
    names = _module_names(model)
    if targets == "all-linear":
        return
    if isinstance(targets, str):
        if not any(re.fullmatch(targets, name) for name in names):
            raise _no_module(targets, names, where)
        return
    for target in targets:
        if target == "lm_head":
            raise ConfigError(
                "an adapter on lm_head would not be trained: the loss reads its weight directly",
                where=where,
                fix="remove lm_head, or train it whole with lora.modules_to_save",
            )
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise _no_module(target, names, where)


def _check_layers(config: TrainConfig, options: AdapterOptions, model: torch.nn.Module) -> None:
    """Refuse targets that this kind of adapter cannot sit on: all but LN tuning take linear layers."""
    norms = isinstance(options, LnTuningOptions)
    for name, module in _targeted(options.target_modules, model):
        if not (name.endswith("norm") if norms else _is_linear(module)):
            raise ConfigError(
                f"{name} is no {'norm' if norms else 'linear layer'}, and {config.adapter} takes nothing else",
                where=_where(config),
                fix="name fewer modules" if norms else "name fewer modules, or write all-linear",
            )
        if isinstance(options, BoftOptions) and module.in_features % options.boft_block_size:
            raise ConfigError(
                f"{options.boft_block_size} does not divide the {module.in_features} inputs of {name}",
                where="train.boft.boft_block_size",
                fix="take a divisor of every layer's inputs, such as 4",
            )


def _targeted(targets: tuple[str, ...] | str, model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if targets == "all-linear":
            found = _is_linear(module) and name != "lm_head"
        elif isinstance(targets, str):
            found = re.fullmatch(targets, name) is not None
        else:
            found = any(name == target or name.endswith(f".{target}") for target in targets)
        if found:
            yield name, module


def _is_linear(module: torch.nn.Module) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear)


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
