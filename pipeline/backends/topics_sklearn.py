"""Topics of questions by scikit-learn: k-means over TF-IDF, each named by its most telling words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ITEMS_PER_TOPIC = 100
MOST_TOPICS = 12
_DIMENSIONS = 50
_MOST_CHARACTERS = 2000
"""The beginning of a question, which says what it is about."""

_TERMS = 3
_STARTS = 3


def find_topics(texts: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Return topics by name with the places of their texts, the largest first; none where the texts are too few.

    One topic for each `ITEMS_PER_TOPIC` texts, at most `MOST_TOPICS`, by k-means (Lloyd 1982; k-means++ of Arthur &
    Vassilvitskii 2007) over TF-IDF of words in `_DIMENSIONS` dimensions (latent semantic analysis, Deerwester et al.
    1990). English function words are left out; other languages keep theirs. A topic's name are the words whose mean
    TF-IDF is most above that of all texts (class-based TF-IDF, after Grootendorst, BERTopic, 2022). The same texts
    always give the same topics.
    """
    count = min(MOST_TOPICS, len(texts) // ITEMS_PER_TOPIC)
    if count < 2:
        return []
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    features = TfidfVectorizer(stop_words="english", min_df=2, max_df=0.5, sublinear_tf=True)
    try:
        matrix = features.fit_transform([text[:_MOST_CHARACTERS] for text in texts])
    except ValueError:  # no word is in two texts and in no more than half of them
        return []
    if matrix.shape[1] <= count:
        return []
    with threadpool_limits(1):  # sums in one order, so that no rounding depends on the machine's cores
        reduced = normalize(TruncatedSVD(min(_DIMENSIONS, matrix.shape[1] - 1), random_state=0).fit_transform(matrix))
        chosen = KMeans(count, n_init=_STARTS, random_state=0).fit_predict(reduced)
    return _named(matrix, chosen, features.get_feature_names_out().tolist())


def _named(matrix: Any, chosen: NDArray[np.int32], words: list[str]) -> list[tuple[str, list[int]]]:
    import numpy as np

    overall = np.asarray(matrix.mean(axis=0)).ravel()
    found: dict[str, list[int]] = {}
    topics = sorted(set(chosen.tolist()), key=lambda topic: (-int((chosen == topic).sum()), topic))
    for topic in topics:
        places = np.flatnonzero(chosen == topic)
        telling = np.asarray(matrix[places].mean(axis=0)).ravel() - overall
        terms = [words[index] for index in np.argsort(-telling, kind="stable")[:_TERMS] if telling[index] > 0.0]
        found.setdefault(", ".join(terms) or "other", []).extend(places.tolist())
    return [(name, sorted(places)) for name, places in found.items()]
