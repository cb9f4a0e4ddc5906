"""The reference for classification: TF-IDF of words and word pairs, logistic regression, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.core.errors import DataError

_REGULARIZATION = 10.0
"""Inverse strength C: weak, as rows of tf-idf have unit length and many features. Not tuned on any test split."""

_TOLERANCE = 1e-3
"""Of the solver: ten times scikit-learn's, which changes few answers and saves a quarter of the time."""

_WORD = r"(?u)\b\w+\b"
"""Words of one letter too: short labels and numbers tell classes apart."""


class TextClassifier:
    """A fitted classifier of texts; `fit` makes one."""

    def __init__(self, features: Any, model: Any) -> None:
        self._features = features
        self._model = model

    @classmethod
    def fit(cls, texts: Sequence[str], answers: Sequence[str]) -> TextClassifier:
        """Fit on texts and the answers to give. No random number is used.

        Raises:
            DataError: all answers are the same, or the texts hold no features.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        if len(set(answers)) < 2:
            raise DataError(
                "all training rows have the same label, so there is nothing to classify",
                where="train.jsonl",
                fix="give training rows of two labels at least, or set evaluate.baselines.tfidf to false",
            )
        features = TfidfVectorizer(token_pattern=_WORD, ngram_range=(1, 2), sublinear_tf=True)
        try:
            matrix = features.fit_transform(texts)
        except ValueError as error:
            raise DataError(
                f"the training texts have no features: {error}", where="train.jsonl", fix="check the text column"
            ) from error
        model = LogisticRegression(C=_REGULARIZATION, max_iter=1000, tol=_TOLERANCE)
        return cls(features, model.fit(matrix, answers))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the most probable answer to each text."""
        return [str(answer) for answer in self._model.predict(self._features.transform(texts))]
