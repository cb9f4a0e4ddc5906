"""An embedding that needs no model: words and pieces of words, hashed and weighed by how rare they are here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

DIMENSIONS: Final = 2**14


class HashedEmbedder:
    """TF-IDF over hashed words and character n-grams (3 to 5 within a word), rows of length 1.

    Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009. Weights are those of the texts
    that are embedded together, so that they know nothing of which window a text is from.
    """

    name = "hashed n-grams"

    def embed(self, texts: Sequence[str]) -> Any:
        """Return a sparse matrix of shape (texts, 2 * DIMENSIONS)."""
        from scipy.sparse import hstack
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
        from sklearn.preprocessing import normalize

        shared: dict[str, Any] = {"n_features": DIMENSIONS, "norm": None, "alternate_sign": False}
        words = HashingVectorizer(analyzer=str.split, **shared)
        pieces = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), **shared)
        folded = [text.casefold() for text in texts]
        counted = [part.transform(folded) for part in (words, pieces)]
        weighed = [TfidfTransformer(sublinear_tf=True).fit_transform(each) for each in counted]
        return normalize(hstack(weighed, format="csr"))
