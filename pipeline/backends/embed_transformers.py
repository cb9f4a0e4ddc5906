"""Contextual embeddings of a text's tokens, from one layer of a transformers model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backends.encoder_transformers import Encoder, load_encoder
from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 32


@dataclass(frozen=True)
class TokenEmbedder:
    """A loaded model and the layer that is read: 0 are its input embeddings, the last its output."""

    encoder: Encoder
    layer: int

    def embed(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return for each text an array (tokens, dimensions) of rows of length 1; special tokens are left out.

        A text beyond the model's length is cut.
        """
        import torch

        tokenizer, found = self.encoder.tokenizer, [self._nothing() for _ in texts]
        order = sorted((place for place, text in enumerate(texts) if text.strip()), key=lambda place: len(texts[place]))
        for first in range(0, len(order), _BATCH):
            places = order[first : first + _BATCH]
            batch = tokenizer(
                [texts[place] for place in places],
                padding=True,
                truncation=True,
                max_length=self.encoder.longest,
                return_special_tokens_mask=True,
                return_tensors="pt",
            )
            words = batch.pop("special_tokens_mask") == 0
            with torch.inference_mode():
                states = self.encoder.model(**batch.to(self.encoder.model.device), output_hidden_states=True)
            vectors = torch.nn.functional.normalize(states.hidden_states[self.layer].float(), dim=-1).cpu()
            for row, place in enumerate(places):
                found[place] = vectors[row][words[row]].numpy()
        return found

    def _nothing(self) -> Any:
        import numpy as np

        return np.zeros((0, self.encoder.model.config.hidden_size), dtype=np.float32)


def load_token_embedder(folder: Path, layer: int | None, key: str) -> TokenEmbedder:
    """Load a model for one of its layers, by default the last; ``key`` of the run description names it in errors.

    Raises:
        ModelError: the folder holds no model.
        ConfigError: the model has no such layer.
    """
    from transformers import AutoModel

    encoder = load_encoder(AutoModel, folder, "model", key, unused="pooler")
    last = int(encoder.model.config.num_hidden_layers)
    chosen = last if layer is None else layer
    if not 0 <= chosen <= last:
        raise ConfigError(f"the model has no layer {chosen}", where=f"{key}: layer", fix=f"name one from 0 to {last}")
    return TokenEmbedder(encoder, chosen)
