"""The door of monitoring to models: texts embedded by one that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.backends.embed_transformers import TokenEmbedder


@dataclass(frozen=True)
class ModelEmbedder:
    """The mean of a text's token embeddings from a model's last layer, as rows of length 1."""

    name: str
    tokens: TokenEmbedder

    def embed(self, texts: Sequence[str]) -> Any:
        """Return an array of shape (texts, dimensions); a text without tokens is a row of zeros."""
        import numpy as np

        found = self.tokens.embed(texts)
        means = np.stack([each.mean(axis=0) if len(each) else np.zeros(each.shape[1]) for each in found])
        return (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def load_embedder(folder: Path) -> ModelEmbedder:
    """Load the model in a folder.

    Raises:
        ModelError: there is none.
    """
    from pipeline.backends.embed_transformers import load_token_embedder

    return ModelEmbedder(folder.name, load_token_embedder(folder, None, "--embedder"))
