"""Requests to a model that sorts utterances, from CLINC150 and Banking77: what a gateway would have captured."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.monitor.rows import Row

if TYPE_CHECKING:
    import numpy as np

OUT_OF_SCOPE_SHARE = 0.05
"""The share of requests that no intent fits, from the start."""

OUT_OF_SCOPE = "oos"
RATED = 0.2
FAILED = 0.01
EPOCHS = 6


@dataclass(frozen=True)
class Traffic:
    """What the model was asked and answered.

    Attributes:
        domains: the ten domains of CLINC150 that are asked about.
        inside: rows by the domain that they are of. outside: rows out of scope. banking: rows of Banking77.
        asked: which domains' rows `draw` draws.
    """

    domains: tuple[str, ...]
    inside: dict[str, tuple[Row, ...]]
    outside: tuple[Row, ...]
    banking: tuple[Row, ...]
    asked: tuple[str, ...]

    @classmethod
    def of(cls, data: Path, without: str | None = None) -> Traffic:
        """Return the traffic of a model that was trained without a domain, which nobody asks about."""
        clinc, domains = _clinc(data), _domains(data)
        asked = tuple(domain for domain in domains if domain != without)
        trained = {intent for domain in asked for intent in domains[domain]}
        model = _Model([row for row in [*clinc["train"], *clinc["oos_train"]] if row[1] in {*trained, OUT_OF_SCOPE}])
        unseen = [*clinc["val"], *clinc["test"]]
        answered = model.answer([*unseen, *clinc["oos_val"], *clinc["oos_test"], *_banking(data)])
        inside = {
            domain: tuple(row for row, (_, label) in zip(answered, unseen, strict=False) if label in intents)
            for domain, intents in domains.items()
        }
        outside = len(unseen) + len(clinc["oos_val"]) + len(clinc["oos_test"])
        return cls(tuple(domains), inside, tuple(answered[len(unseen) : outside]), tuple(answered[outside:]), asked)

    def rows_of(self, domain: str) -> tuple[Row, ...]:
        """Return every row of a domain."""
        return self.inside[domain]

    def draw(self, count: int, rng: np.random.Generator) -> list[Row]:
        """Return so many requests, each one once, of the domains that are asked about and some out of scope."""
        pool = [row for domain in self.asked for row in self.inside[domain]]
        others = int(rng.binomial(count, OUT_OF_SCOPE_SHARE))
        chosen = [pool[place] for place in rng.permutation(len(pool))[: count - others]]
        chosen += [self.outside[place] for place in rng.permutation(len(self.outside))[:others]]
        return [chosen[place] for place in rng.permutation(len(chosen))]

    def draw_user(self, count: int, user: str, rng: np.random.Generator) -> list[Row]:
        """Return the requests of a user who asks about one domain."""
        rows = self.inside[self.asked[int(rng.integers(len(self.asked)))]]
        return [replace(rows[place], unit=user) for place in rng.permutation(len(rows))[:count]]

    @staticmethod
    def without_user(row: Row) -> Row:
        """Return a row of which nobody knows who asked."""
        return replace(row, unit=None)


class _Model:
    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import SGDClassifier
        from sklearn.pipeline import make_pipeline

        features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        regression = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=EPOCHS, tol=None, random_state=0)
        self._model: Any = make_pipeline(features, regression)
        self._model.fit([text for text, _ in rows], [label for _, label in rows])

    def answer(self, rows: Sequence[tuple[str, str]]) -> list[Row]:
        import numpy as np

        probabilities = self._model.predict_proba([text for text, _ in rows])
        labels = self._model.classes_[probabilities.argmax(axis=1)]
        rng = np.random.default_rng(0)
        rated, failed = rng.random(len(rows)) < RATED, rng.random(len(rows)) < FAILED
        return [
            Row(
                id=f"row-{number}",
                input=text,
                output=str(said),
                input_length=len(text),
                output_length=len(said),
                confidence=float(sure),
                failed=bool(failed[number]),
                refused=said == OUT_OF_SCOPE,
                score=float(said == label) if rated[number] else None,
            )
            for number, ((text, label), said, sure) in enumerate(
                zip(rows, labels, probabilities.max(axis=1), strict=True)
            )
        ]


@cache
def _clinc(data: Path) -> dict[str, list[tuple[str, str]]]:
    found = json.loads((data / "clinc150" / "data" / "data_full.json").read_text(encoding="utf-8"))
    return {split: [(text, label) for text, label in rows] for split, rows in found.items()}


@cache
def _domains(data: Path) -> dict[str, tuple[str, ...]]:
    found = json.loads((data / "clinc150" / "data" / "domains.json").read_text(encoding="utf-8"))
    return {domain: tuple(intent.replace(" ", "_") for intent in intents) for domain, intents in found.items()}


@cache
def _banking(data: Path) -> list[tuple[str, str]]:
    with (data / "banking77" / "banking_data" / "test.csv").open(encoding="utf-8", newline="") as stream:
        return [(row["text"], row["category"]) for row in csv.DictReader(stream)]
