"""BERTScore: how well the words of the answer and of the reference match in meaning, by a model's embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.core.errors import ConfigError
from pipeline.metrics.base import ItemMean, check_lengths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_PORTION = 256
"""Items whose embeddings are in memory at once."""


class Embedder(Protocol):
    """Gives each token of a text a vector of length 1."""

    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """Return an array (tokens, dimensions) for each text."""


class BertScore(ItemMean):
    """F1 of greedily matched token embeddings.

    Zhang et al., BERTScore: Evaluating Text Generation with BERT (2020), section 3: each token is as good as its most
    similar token on the other side; precision is the mean over the answer's tokens, recall over the reference's.
    ``model`` is the folder of a transformers model beside the description and ``layer`` the one that is read, by
    default the last (the paper's appendix B names the best layer of common models). Without idf weights and rescaling;
    special tokens take no part, where the authors' code lets words match with them. Below 0 it is 0, and an answer
    without a word scores 0.
    """

    name = "bert_score"
    binary = False

    def __init__(self, model: str, layer: int | None = None) -> None:
        self.model = model
        self.layer = layer
        self._embedder: Embedder | None = None

    def connect(self, load: Callable[[Path, int | None, str], Embedder], folder: Path) -> None:
        """Load the model from ``folder``.

        Raises:
            ConfigError, ModelError: it cannot be loaded, or has no such layer.
        """
        self._embedder = load(folder, self.layer, f"evaluate.metrics.{self.name}")

    def item(self, prediction: str, reference: str) -> float:
        """Return the F1 of one prediction, in [0, 1]."""
        return self.items([prediction], [reference])[0]

    def items(
        self, predictions: Sequence[str], references: Sequence[str], advance: Callable[[int], object] = int
    ) -> list[float]:
        """Return the F1 of each prediction; ``advance`` is told of those that are scored.

        Raises:
            ConfigError: no model was connected.
            DataError: no items, or unequal lengths.
        """
        check_lengths(predictions, references)
        if self._embedder is None:
            raise ConfigError("no model is loaded to compare words with", where=self.name, fix="use it in evaluate")
        found: list[float] = []
        for first in range(0, len(references), _PORTION):
            said, meant = predictions[first : first + _PORTION], references[first : first + _PORTION]
            vectors = self._embedder.embed([*said, *meant])
            found += [match(one, other) for one, other in zip(vectors[: len(said)], vectors[len(said) :], strict=True)]
            advance(len(said))
        return found


def match(candidate: Vectors, reference: Vectors) -> float:
    """Return F1 of two texts' token vectors, (tokens, dimensions) each, of length 1."""
    if not len(candidate) or not len(reference):
        return 0.0
    similar = candidate @ reference.T
    precision, recall = float(similar.max(axis=1).mean()), float(similar.max(axis=0).mean())
    if precision <= 0.0 or recall <= 0.0:
        return 0.0
    return min(1.0, 2 * precision * recall / (precision + recall))
