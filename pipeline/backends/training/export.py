"""The finished model: plain Hugging Face files whose bytes depend on nothing but the training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.backends.reward_transformers import merge_scorer
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.backends.training.adapters import adapted_modules
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.plain_lora import to_plain_lora
from pipeline.core.errors import IntegrityError
from pipeline.core.models import model_files
from pipeline.render import Tokenizer, end_of_turn_ids, template_digest
from schemas.base_model import BaseModelRef
from schemas.lora import changes_base
from schemas.methods import METHODS

_EMBEDDINGS = ("embed_tokens", "lm_head", "wte")


def export_model(model: Any, job: TrainJob) -> None:
    """Write the adapter, or the whole model, with tokenizer and chat template into ``job.output``, and check it.

    Raises:
        IntegrityError: the reloaded tokenizer renders with another template, or tied embeddings came apart.
    """
    output = job.output
    output.mkdir(parents=True, exist_ok=True)
    if job.config.adapter == "full":
        _export_full(model, output, job.tokenizer)
    elif METHODS[job.config.method].scores:
        _export_merged(model, output, job)
    else:
        _export_adapter(model, output, job)
    job.tokenizer.save_pretrained(output)
    _check_tokenizer(job.tokenizer, output)


def keep_initial_adapter(model: Any, job: TrainJob) -> None:
    """Keep the adapter as it is before training, where its initialization changes the base."""
    if changes_base(job.config.lora):
        model.save_pretrained(_initial(job), save_embedding_layers=False)


def _initial(job: TrainJob) -> Path:
    return job.scratch / "initial"


def _export_full(model: Any, output: Path, tokenizer: Tokenizer) -> None:
    if (generation := getattr(model, "generation_config", None)) is not None:
        stops = generation.eos_token_id
        known = [stops] if isinstance(stops, int) else list(stops or [])
        generation.eos_token_id = sorted({*known, *end_of_turn_ids(tokenizer)})
    model.config.use_cache = True
    model.save_pretrained(output)
    _scrub(output / "config.json", "_name_or_path")
    if model.config.get_text_config().tie_word_embeddings and not _is_tied(output):
        raise IntegrityError(
            "the saved model holds its output weights apart although its config ties them to the embeddings",
            where="model",
            fix="train with a config whose tie_word_embeddings fits the weights",
        )


def _export_merged(model: Any, output: Path, job: TrainJob) -> None:
    """Write base and adapter as one model, merged in float32 and stored in the base's own precision."""
    adapter = job.scratch / "adapter"
    adapter.mkdir(parents=True, exist_ok=True)
    _export_adapter(model, adapter, job)
    merged = merge_scorer(model_files(job.config.base), adapter)
    merged.config.get_text_config().pad_token_id = job.tokenizer.pad_token_id
    _export_full(merged, output, job.tokenizer)
    shutil.rmtree(adapter)


def _export_adapter(model: Any, output: Path, job: TrainJob) -> None:
    lora, adapted = job.config.lora, adapted_modules(job.config)
    named = [
        *((lora.modules_to_save if lora is not None else None) or ()),
        *(() if isinstance(adapted, str) else adapted),
    ]
    model.save_pretrained(output, save_embedding_layers=any(name in _EMBEDDINGS for name in named))
    if changes_base(lora):
        to_plain_lora(_initial(job), output)
    (output / "README.md").unlink(missing_ok=True)
    path = output / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = _base_identity(job.config.base)
    # PEFT keeps sets, whose order differs from process to process
    for name in ("target_modules", "feedforward_modules"):
        if isinstance(settings.get(name), list):
            settings[name].sort()
    _write_json(path, settings)


def _base_identity(base: BaseModelRef) -> str:
    """Return the base's Hub id, or the digest of its folder: an artifact does not say where its base was."""
    assert base.weights is not None and base.weights.digest is not None
    files = model_files(base)
    return files.weights if files.revision is not None else base.weights.digest


def _check_tokenizer(tokenizer: Tokenizer, output: Path) -> None:
    if template_digest(load_tokenizer(str(output))) != template_digest(tokenizer):
        raise IntegrityError(
            "the saved tokenizer renders with another chat template than training did",
            where=str(output / "chat_template.jinja"),
            fix="report this: the tokenizer's class does not keep its template",
        )


def _is_tied(output: Path) -> bool:
    from safetensors import safe_open

    names: set[str] = set()
    for path in output.glob("*.safetensors"):
        with safe_open(path, framework="pt") as stored:
            names.update(stored.keys())
    return "lm_head.weight" not in names


def _scrub(path: Path, key: str) -> None:
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.pop(key, None) is not None:
        _write_json(path, settings)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
