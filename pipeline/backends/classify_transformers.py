"""Classifiers of text by transformers: the probability of one of their labels, for each text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.bars import no_bars
from pipeline.core.errors import ConfigError, ModelError

Advance = Callable[[int], None]
_LONGEST = 512
"""Tokens of a text where the model's own config states no length."""


@dataclass(frozen=True)
class LabelScorer:
    """A loaded classifier and the place of the label that is asked for; ``longest`` is in tokens."""

    model: Any
    tokenizer: Any
    place: int
    longest: int

    def score(self, texts: Sequence[str], batch_size: int, advance: Advance) -> tuple[list[float], int]:
        """Return the label's probability for each text, in order, and how many texts were clipped to fit.

        Labels that exclude each other have a softmax's probability; where the config says
        ``multi_label_classification``, or there is one label, a sigmoid's.
        """
        import torch

        scores = [0.0] * len(texts)
        encoded = self.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        order = sorted(range(len(texts)), key=lambda place: (len(encoded[place]), place))
        independent = (
            self.model.config.problem_type == "multi_label_classification" or self.model.config.num_labels == 1
        )
        for first in range(0, len(order), batch_size):
            places = order[first : first + batch_size]
            batch = self.tokenizer(
                [texts[place] for place in places],
                padding=True,
                truncation=True,
                max_length=self.longest,
                return_tensors="pt",
            ).to(self.model.device)
            with torch.inference_mode():
                logits = self.model(**batch).logits.float()
            shares = logits.sigmoid() if independent else logits.softmax(dim=-1)
            for place, share in zip(places, shares[:, self.place].tolist(), strict=True):
                scores[place] = share
            advance(len(places))
        return scores, sum(len(ids) > self.longest for ids in encoded)


def load_label_scorer(folder: Path, label: str, key: str) -> LabelScorer:
    """Load a sequence-classification model for its ``label``; ``key`` of the run description names it in errors.

    Only safetensors are read, and no code of the folder is run.

    Raises:
        ModelError: the folder holds no such model.
        ConfigError: the model has no such label.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    fix = "name the folder of a sequence-classification model with config.json, *.safetensors and its tokenizer"
    if not (folder / "config.json").is_file():
        raise ModelError("the classifier's folder holds no config.json", where=f"{key}: {folder}", fix=fix)
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with no_bars():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"the classifier cannot be loaded: {reason[0]}", where=f"{key}: {folder}", fix=fix) from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ModelError(f"the classifier lacks weights, first {missing[0]}", where=f"{key}: {folder}", fix=fix)
    labels = {name: place for place, name in model.config.id2label.items()}
    if label not in labels:
        raise ConfigError(
            f"the classifier has no label {label!r}", where=f"{key}.label", fix=f"it has {', '.join(sorted(labels))}"
        )
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    length = getattr(model.config, "max_position_embeddings", None)
    longest = min(length if isinstance(length, int) and length > 0 else _LONGEST, tokenizer.model_max_length)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        model.config.pad_token_id = tokenizer.pad_token_id
    return LabelScorer(model, tokenizer, labels[label], longest)
