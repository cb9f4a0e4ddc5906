"""Checkpoints between today's transformers and the one that auto-gptq and autoawq need (4.51, optimize-legacy).

The old one is given a private copy whose config files are in its words. What the quantizers make is written with the
parent's own config, so that today's libraries read it, and read again by its packed words.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backends import tokenizer_transformers
from pipeline.backends.bars import no_bars
from pipeline.backends.logits_transformers import Measured, measure_loaded
from pipeline.backends.unpack_torch import unpack
from pipeline.core.errors import EnvironmentMissing, ModelError
from pipeline.core.models import ModelFiles
from pipeline.core.temporary import private_folder
from pipeline.render import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEGACY = "optimize-legacy"
CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
GENERATION_CONFIG = "generation_config.json"

_QUANTIZATION = "quantization_config"
_DTYPE = "float16"
"""The precision of what stays unpacked; kernels of both formats compute in it."""


def downgrade_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's config in the words of transformers 4; one that is in them already stays as it is.

    Raises:
        ModelError: its rotary embeddings differ by layer, which has no words there.
    """
    old = dict(config)
    if "dtype" in old:
        old["torch_dtype"] = old.pop("dtype")
    rope = dict(old.pop("rope_parameters", None) or {})
    if any(isinstance(value, dict) for value in rope.values()):
        raise ModelError(
            "this architecture has rotary embeddings that differ by layer; auto-gptq and autoawq know none such",
            where="variants",
            fix="use w4a16 (llm-compressor)",
        )
    if "rope_theta" in rope:
        old["rope_theta"] = rope.pop("rope_theta")
    if rope.get("rope_type", "default") != "default":
        old["rope_scaling"] = rope
    return old


def downgrade_tokenizer_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tokenizer's config in the words of transformers 4: tokenizer.json as it is, more special tokens."""
    old = {key: value for key, value in config.items() if key not in ("backend", "is_local")}
    old["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(old.get("extra_special_tokens"), list):
        more = [*old.get("additional_special_tokens", ()), *old.pop("extra_special_tokens")]
        old["additional_special_tokens"] = list(dict.fromkeys(more))
    return old


@contextlib.contextmanager
def readable(source: Path) -> Iterator[Path]:
    """Yield a private copy of a model folder that transformers 4 reads; weights are linked, not copied.

    Raises:
        ModelError: the config has no form there, or is no JSON.
    """
    changed = {CONFIG: downgrade_config, TOKENIZER_CONFIG: downgrade_tokenizer_config}
    with private_folder("legacy") as folder:
        for path in sorted(source.iterdir()):
            if path.name in changed:
                text = json.dumps(changed[path.name](_read(path)), indent=2)
                (folder / path.name).write_text(text, encoding="utf-8")
            elif path.is_file() and path.name != GENERATION_CONFIG:
                (folder / path.name).symlink_to(path.resolve())
        yield folder


def load_tokenizer(source: str) -> Tokenizer:
    """Load the tokenizer of a model folder.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    with readable(Path(source)) as folder:
        return tokenizer_transformers.load_tokenizer(str(folder))


def load_model(files: ModelFiles) -> PreTrainedModel:
    """Load a whole model in float32 on the CPU.

    Raises:
        ModelError: files are missing or do not fit the architecture.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        with readable(Path(files.weights)) as folder, no_bars():
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                torch_dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=files.trust_remote_code,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unreadable(files.weights, error) from error
    return model.eval()


def measure(files: ModelFiles, prompts: Sequence[list[int]]) -> Measured:
    """Load a model, packed or not, from its files and run it over ``prompts``.

    Raises:
        ModelError: the files do not load.
        IntegrityError: a packed layer does not unpack.
    """
    folder = Path(files.weights)
    packed = _read(folder / CONFIG).get(_QUANTIZATION)
    model = load_model(files) if packed is None else _load_packed(folder, packed, files.trust_remote_code)
    return measure_loaded(model, prompts)


def layers_of(files: ModelFiles) -> int:
    """Return the number of decoder layers, from the model's config.

    Raises:
        ModelError: the config names none.
    """
    path = Path(files.weights) / CONFIG
    number = _read(path).get("num_hidden_layers")
    if not isinstance(number, int):
        raise _unreadable(str(path), KeyError("num_hidden_layers"))
    return number


def write_quantized(model: Any, parent: Path, target: Path, quantization: Mapping[str, Any]) -> None:
    """Write a packed model: its tensors, tied ones once, and the parent's config with ``quantization`` in it.

    Args:
        model: the transformers model whose linear layers were replaced by packed ones.
        parent: the folder of the model that it was made from.
        target: an existing folder.
        quantization: what config.json says about the packing.
    """
    import torch
    from huggingface_hub import save_torch_state_dict

    first = {tensor.data_ptr(): name for name, tensor in reversed(model.state_dict().items())}
    state = {
        name: tensor.to(torch.float16) if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
        if first[tensor.data_ptr()] == name
    }
    save_torch_state_dict(state, target, safe_serialization=True)
    config = {**_read(parent / CONFIG), "dtype": _DTYPE, _QUANTIZATION: dict(quantization)}
    config.pop("torch_dtype", None)
    (target / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if (parent / GENERATION_CONFIG).is_file():
        (target / GENERATION_CONFIG).write_bytes((parent / GENERATION_CONFIG).read_bytes())


def missing(package: str) -> EnvironmentMissing:
    """Return the error of a quantizer that this environment lacks."""
    return EnvironmentMissing(
        f"{package} is not installed in this environment", where=LEGACY, fix=f"hone env create {LEGACY}"
    )


def cannot(library: str, error: BaseException) -> ModelError:
    """Return the error of a library that does not quantize this model."""
    text = str(error).strip()
    return ModelError(
        f"{library} cannot quantize this model: {text.splitlines()[0] if text else type(error).__name__}",
        where="variants",
        fix="take this variant out of the run, or use w4a16 (llm-compressor)",
    )


def _load_packed(folder: Path, packed: Mapping[str, Any], trust_remote_code: bool) -> PreTrainedModel:
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM

    state = {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}
    plain = unpack(state, packed["quant_method"], int(packed["group_size"]))
    try:
        with readable(folder) as copy:
            config = AutoConfig.from_pretrained(copy, trust_remote_code=trust_remote_code)
            del config.quantization_config
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code).float()
        absent, unknown = model.load_state_dict(plain, strict=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unreadable(str(folder), error) from error
    parameters = dict(model.named_parameters(remove_duplicate=False))
    given = {id(parameters[name]) for name in plain if name in parameters}
    if wrong := [name for name in absent if id(parameters.get(name)) not in given] + unknown:
        raise _unreadable(str(folder), ValueError(f"{len(wrong)} weights do not fit, first {wrong[0]}"))
    return model.eval()


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), error) from error
    return content


def _unreadable(source: str, error: BaseException) -> ModelError:
    text = str(error).strip()
    return ModelError(
        f"the model cannot be loaded by transformers 4: {text.splitlines()[0] if text else type(error).__name__}",
        where=source,
        fix="use w4a16 (llm-compressor), which takes every architecture that hone trains",
    )
