"""Causal language models by transformers and PEFT: safetensors only, nothing missing, on the device that is there."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backends.attention_torch import without_plans
from pipeline.backends.bars import no_bars
from pipeline.backends.config_transformers import load_config
from pipeline.backends.remarks_peft import without_known_remarks
from pipeline.core.errors import ModelError
from pipeline.core.models import ModelFiles

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class ModelFacts:
    """What a model's files say about generation.

    ``context_length`` is in tokens, None where positions have no end; ``stop_ids`` are the end tokens of its
    generation config.
    """

    context_length: int | None
    stop_ids: tuple[int, ...]


def read_facts(files: ModelFiles) -> ModelFacts:
    """Read a model's config and generation config, not its weights.

    Raises:
        ModelError: there is no config, or its architecture is unknown.
    """
    from transformers import AutoConfig, GenerationConfig

    _check_folder(files)
    try:
        config = AutoConfig.from_pretrained(
            files.weights, revision=files.revision, trust_remote_code=files.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(files.weights, error) from error
    if any("SequenceClassification" in name for name in config.architectures or ()):
        raise ModelError(
            "this model scores texts and writes none, so it cannot be asked",
            where=files.weights,
            fix="name a language model; a reward model goes into train.rewards",
        )
    try:
        generation = GenerationConfig.from_pretrained(files.weights, revision=files.revision)
    except OSError:  # a base need not have one; its config then names the end token
        generation = config
    decoder = config.get_text_config(decoder=True)
    length = getattr(decoder, "max_position_embeddings", None)
    ends = generation.eos_token_id
    return ModelFacts(
        context_length=int(length) if isinstance(length, int) and length > 0 else None,
        stop_ids=() if ends is None else tuple(ends) if isinstance(ends, (list, tuple)) else (int(ends),),
    )


def load_causal_lm(files: ModelFiles, *, dtype: str = "auto", device: str = "auto") -> PreTrainedModel:
    """Load a model for inference, its adapter's layers injected but not merged.

    Args:
        files: weights and adapter.
        dtype: of the computation; ``auto`` is float32 on a CPU (bfloat16 for weights in FP4, which compressed-tensors
            unpacks to no other) and the checkpoint's own elsewhere.
        device: a torch device; ``auto`` spreads the model over the GPUs that are there, or takes the CPU.

    An adapter that was trained on 4-bit weights gets the full-precision base here, as in merging and serving.

    Raises:
        ModelError: files are missing, are no safetensors, or do not fit the architecture.
    """
    import torch

    _check_folder(files)
    without_plans()
    spread = device == "auto" and torch.cuda.is_available()
    place = torch.device("cpu" if device == "auto" else device)
    chosen: Any = dtype
    if dtype == "auto" and not spread and place.type == "cpu":
        chosen = torch.bfloat16 if _unpacks_to_bfloat16(files) else torch.float32
    model = _load_weights(files, chosen, device_map="auto" if spread else None)
    if not spread:
        model.to(place)
    if files.adapter is not None:
        model = _inject(model, files.adapter)
    model.eval()
    return model


def _unpacks_to_bfloat16(files: ModelFiles) -> bool:
    config = load_config(files.weights, revision=files.revision, trust_remote_code=files.trust_remote_code)
    groups = (config.get("quantization_config") or {}).get("config_groups", {})
    weights = [group.get("weights") or {} for group in groups.values()]
    return any((one.get("type"), one.get("num_bits")) == ("float", 4) for one in weights)


def _load_weights(files: ModelFiles, dtype: Any, device_map: str | None) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with no_bars():
            model, info = AutoModelForCausalLM.from_pretrained(
                files.weights,
                revision=files.revision,
                dtype=dtype,
                device_map=device_map,
                use_safetensors=True,
                trust_remote_code=files.trust_remote_code,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _unreadable(files.weights, error) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"the checkpoint lacks {len(missing)} weights, first {missing[0]}",
            where=files.weights,
            fix="name a whole checkpoint; its architecture must be the one that its config.json states",
        )
    return model


def _inject(model: Any, adapter: Path) -> Any:
    import logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on import it warns of a kernel that nothing here uses
    from peft import PeftModel
    from safetensors import SafetensorError, safe_open

    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (adapter / name).is_file():
            raise ModelError("the adapter has no such file", where=str(adapter / name), fix="train it again")
    try:
        with without_known_remarks():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # checked below, as an error
            wrapped = PeftModel.from_pretrained(model, str(adapter), torch_device=str(model.device))
        with safe_open(adapter / ADAPTER_WEIGHTS, framework="pt") as weights:
            stored = set(weights.keys())
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _misfit(adapter, _first_line(error)) from error
    _check_keys(wrapped, stored, adapter)
    return wrapped.get_base_model()


def _check_keys(wrapped: Any, stored: set[str], adapter: Path) -> None:
    """Refuse an adapter that leaves a layer of its own at its initial value, or has layers that the base has not."""
    from peft import get_peft_model_state_dict

    needed = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    missing = sorted(needed - stored)
    if missing:
        raise _misfit(adapter, f"it lacks {len(missing)} weights, first {missing[0]}")
    unused = sorted(key for key in stored - needed if not _is_embedding(key))
    if unused:
        raise _misfit(adapter, f"the base has no place for {len(unused)} of its weights, first {unused[0]}")


def _is_embedding(key: str) -> bool:
    """Say whether a weight may be stored that `_check_keys` does not ask for: embeddings, saved beside an adapter."""
    return any(f".{name}." in key for name in ("embed_tokens", "lm_head", "wte"))


def _misfit(adapter: Path, problem: str) -> ModelError:
    return ModelError(
        f"the adapter does not fit the base: {problem}",
        where=str(adapter),
        fix="use the base that it was trained on",
    )


def _check_folder(files: ModelFiles) -> None:
    source = files.weights
    if source.startswith(("/", "./", "../", "~")) and not Path(source).is_dir():
        raise ModelError("the folder does not exist", where=source, fix="correct base_model, or make the model first")


def _unreadable(source: str, error: BaseException) -> ModelError:
    return ModelError(
        f"the model cannot be loaded: {_first_line(error)}",
        where=source,
        fix="name a folder with config.json and *.safetensors, or a Hub id that this machine can reach",
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
