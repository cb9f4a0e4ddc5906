"""The model that is trained: loaded from safetensors, quantized for QLoRA, or initialized from a config."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backends.attention_torch import without_plans
from pipeline.backends.training.job import Precision
from pipeline.core.errors import ConfigError, EnvironmentMissing, ModelError
from pipeline.core.models import model_files
from pipeline.core.seeding import seed_everything
from pipeline.render import Tokenizer, end_of_turn_ids
from schemas.base_model import ModelInit
from schemas.methods import METHODS
from schemas.train import TrainConfig

if TYPE_CHECKING:
    import torch


def prepare_model(config: TrainConfig, tokenizer: Tokenizer, longest: int) -> Any:
    """Return the model to train, without an adapter yet.

    Frozen weights under LoRA are in bfloat16 where that is trained in; weights that are trained are in float32. A model
    without weights is initialized from the config's seed, and so is the output of a method that scores answers.

    Raises:
        ModelError: the base is missing, is no causal language model in safetensors, or does not fit the tokenizer.
        ConfigError: the longest row, of ``longest`` tokens, has more positions than the model.
    """
    without_plans()
    init = config.base.init
    scores = METHODS[config.method].scores
    model = _load(config) if init is None else _initialize(init, tokenizer, config.seed, scores=scores)
    if scores:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id  # what it finds a row's last token by
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and longest > positions:
        raise ConfigError(
            f"the longest row has {longest} tokens and the model has {positions} positions",
            where="train.max_length",
            fix=f"set train.max_length to {positions} or less",
        )
    weight = model.get_input_embeddings().weight
    rows = int(getattr(weight, "ds_shape", weight.shape)[0])  # DeepSpeed may have taken it apart already
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens and the model embeds {rows}",
            where=config.base.name,
            fix="use the tokenizer that belongs to this model",
        )
    return model


def precision_of(config: TrainConfig) -> Precision:
    """Return what the forward pass computes in: bfloat16 on request, or where a CUDA device supports it."""
    import torch

    if config.bf16 == "auto":
        return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if config.bf16 else "float32"


def count_parameters(model: torch.nn.Module, *, only_trainable: bool = False) -> int:
    """Return the number of weights, each once; a 4-bit tensor counts the weights that it packs."""
    total = 0
    for parameter in model.parameters():
        if parameter.requires_grad or not only_trainable:
            shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
            total += parameter.numel() if shape is None else shape.numel()
    return total


def _load(config: TrainConfig) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    files = model_files(config.base)
    _check_folder(files.weights, config.base.name)
    arguments: dict[str, Any] = {
        "revision": files.revision,
        "trust_remote_code": files.trust_remote_code,
        "use_safetensors": True,
        "dtype": _dtype(config),
    }
    if config.adapter == "qlora":
        arguments["quantization_config"] = _four_bit(config)
    kind: Any = AutoModelForCausalLM
    if METHODS[config.method].scores:
        kind, arguments["num_labels"] = AutoModelForSequenceClassification, 1
        seed_everything(config.seed)
    try:
        return _without_packing(kind.from_pretrained(files.weights, **arguments))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the base model cannot be loaded: {_first_line(error)}",
            where=config.base.name,
            fix="name a folder or Hub id of a causal language model with config.json and safetensors weights",
        ) from error


def _without_packing(model: Any) -> Any:
    """Keep bitsandbytes from packing 4-bit weights at the first evaluation, on a CPU with AVX512-BF16.

    Packed weights are never unpacked again for training, and no gradient passes through them.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def _check_folder(location: str, name: str) -> None:
    folder = Path(location)
    if not folder.is_dir():
        if folder.is_absolute() or location.startswith("."):
            raise ModelError("the base model's folder does not exist", where=location, fix="correct base_model")
        return
    if (folder / "config.json").is_file():
        return
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            "the base model's folder holds an adapter, not a whole model",
            where=name,
            fix="name the merged variant of that run",
        )
    raise ModelError("the base model's folder has no config.json", where=location, fix="name a model's folder")


def _dtype(config: TrainConfig) -> Any:
    import torch

    frozen = config.adapter != "full"
    return torch.bfloat16 if frozen and precision_of(config) == "bfloat16" else torch.float32


def _four_bit(config: TrainConfig) -> Any:
    """QLoRA (Dettmers et al. 2023, section 3): 4-bit NormalFloat, double quantization."""
    from transformers import BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    if not is_bitsandbytes_available():
        raise EnvironmentMissing("qlora needs bitsandbytes", fix="install hone's main environment (make setup)")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=_dtype(config),
    )


def _initialize(init: ModelInit, tokenizer: Tokenizer, seed: int, *, scores: bool) -> Any:
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        GenerationConfig,
        set_seed,
    )

    known = AutoConfig.for_model(init.model_type).to_dict()
    for key in init.config:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise ConfigError(
                f"a {init.model_type} config has no key {key!r}",
                where="base_model.init.config",
                fix=f"did you mean {near[0]}?" if near else "take a key of transformers' config of this type",
            )
    settings = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **init.config,
    }
    size = settings["vocab_size"]
    if not isinstance(size, int) or size < len(tokenizer):
        raise ConfigError(
            f"vocab_size {size} is not a number that holds the tokenizer's {len(tokenizer)} tokens",
            where="base_model.init.config.vocab_size",
            fix="leave vocab_size out",
        )
    try:
        config = AutoConfig.for_model(init.model_type, **settings, **({"num_labels": 1} if scores else {}))
        set_seed(seed)
        model = (AutoModelForSequenceClassification if scores else AutoModelForCausalLM).from_config(config)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"the model cannot be made: {_first_line(error)}",
            where="base_model.init.config",
            fix="make hidden_size, heads and head_dim fit each other",
        ) from error
    if not scores:
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=end_of_turn_ids(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
        )
    return model


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
