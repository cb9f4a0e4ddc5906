"""Classifiers of text by transformers: the probability of one of their labels, for each text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.encoder_transformers import load_encoder
from pipeline.core.errors import ConfigError

Advance = Callable[[int], None]


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
    from transformers import AutoModelForSequenceClassification

    encoder = load_encoder(AutoModelForSequenceClassification, folder, "classifier", key)
    model = encoder.model
    labels = {name: place for place, name in model.config.id2label.items()}
    if label not in labels:
        raise ConfigError(
            f"the classifier has no label {label!r}", where=f"{key}.label", fix=f"it has {', '.join(sorted(labels))}"
        )
    return LabelScorer(model, encoder.tokenizer, labels[label], encoder.longest)
