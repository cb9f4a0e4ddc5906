"""Embeddings: vectors of length 1 by which like texts are alike, hashed or of a real model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ModelError
from pipeline.embedded import TINY_BASE
from pipeline.monitor.backends import load_embedder
from pipeline.monitor.hashed import HashedEmbedder

TEXTS = ("where is my parcel", "where is my package", "delete the account")


def test_like_texts_are_alike() -> None:
    vectors = HashedEmbedder().embed(TEXTS)
    alike = (vectors @ vectors.T).toarray()
    assert np.allclose(np.diag(alike), 1.0)
    assert alike[0, 1] > 0.3 > alike[0, 2]


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5))
@settings(deadline=None)
def test_any_texts_are_embedded(texts: list[str]) -> None:
    vectors = HashedEmbedder().embed(texts)
    assert vectors.shape[0] == len(texts)
    assert np.allclose(np.asarray(vectors.multiply(vectors).sum(axis=1)), 1.0)


@pytest.mark.slow
def test_a_model_embeds_by_its_last_layer() -> None:
    embedder = load_embedder(TINY_BASE)
    vectors = embedder.embed([*TEXTS, "where is my parcel"])
    assert vectors.shape[0] == 4 and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.allclose(vectors[0], vectors[3], atol=1e-5)
    assert embedder.name == "tiny_base"


def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no config") as caught:
        load_embedder(tmp_path)
    assert caught.value.where == f"--embedder: {tmp_path}"
