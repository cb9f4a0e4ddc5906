"""The reference that needs no language model: TF-IDF and logistic regression, for labels and for records.

A record (one JSON object an answer) is classified field by field: what a model that reads no relations between words
can reach. A tuned model that is not better than it has learned words, not the task.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.evaluate import backends
from pipeline.evaluate.backends import Advance, Completion
from pipeline.evaluate.items import Item
from pipeline.metrics import read_object
from schemas.data import Message

MOST_VALUES = 200
"""A field with more values in the training split is free text: its most frequent value is the answer to all."""

_ABSENT = ""
"""Stands for a field that a record does not have; no JSON text is empty."""

Predict = Callable[[Sequence[str]], list[str]]
"""From texts to answers, in order."""


@dataclass
class ReferenceRespondent:
    """Fitted on the training split when first asked; it answers all items at once."""

    train: Sequence[Item]
    items: Sequence[Item]
    engine: str = field(default_factory=backends.classifier_name)

    @property
    def portion(self) -> int:
        """All items: fitting is the work."""
        return max(1, len(self.items))

    def answer(self, first: int, last: int, context: CallContext, advance: Advance) -> list[Completion]:
        """Fit, and answer items [first, last).

        Raises:
            DataError: rows with neither a label nor a record as their answer, or only one answer to all.
        """
        texts = [_question(item.prompt) for item in self.train]
        context.emit("log", f"fitting TF-IDF and logistic regression on {len(texts)} rows")
        labeled = all(item.label is not None for item in (*self.train, *self.items))
        fit = _fit_labels if labeled else _fit_records
        answers = fit(texts, self.train, context)([_question(item.prompt) for item in self.items[first:last]])
        advance(len(answers))
        return [Completion(answer, [], "stop", 0, 0) for answer in answers]


def _fit_labels(texts: list[str], train: Sequence[Item], _context: CallContext) -> Predict:
    return backends.train_classifier(texts, [item.reference for item in train]).predict


def _fit_records(texts: list[str], train: Sequence[Item], context: CallContext) -> Predict:
    records = [_record(item) for item in train]
    keys = list(dict.fromkeys(key for record in records for key in record))
    fields = {}
    for key in context.track(keys, "fitting fields", len(keys)):
        fields[key] = _fit_field(texts, [record.get(key, _ABSENT) for record in records])

    def predict(asked: Sequence[str]) -> list[str]:
        columns = {key: predict_field(asked) for key, predict_field in fields.items()}
        rows = ({key: column[place] for key, column in columns.items()} for place in range(len(asked)))
        return [_write(row) for row in rows]

    return predict


def _fit_field(texts: list[str], values: list[str]) -> Predict:
    counted = Counter(values)
    if 1 < len(counted) <= MOST_VALUES:
        return backends.train_classifier(texts, values).predict
    [(most_frequent, _)] = counted.most_common(1)
    return lambda asked: [most_frequent] * len(asked)


def _record(item: Item) -> dict[str, str]:
    """Return an answer's fields, each value as canonical JSON text."""
    try:
        record = read_object(item.reference)
    except ValueError as error:
        raise DataError(
            f"the row has no label and its answer is no JSON object ({error}), so TF-IDF has nothing to learn",
            where=f"source row {item.row}",
            fix="set evaluate.baselines.tfidf to false",
        ) from error
    return {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in record.items()}


def _write(row: dict[str, str]) -> str:
    """Return a record as JSON text, without the fields that were predicted to be absent."""
    pairs = (f"{json.dumps(key, ensure_ascii=False)}:{value}" for key, value in row.items() if value != _ABSENT)
    return "{" + ",".join(pairs) + "}"


def _question(prompt: Sequence[Message]) -> str:
    """Return what a classifier sees: the turns other than the system's, which is the same for all."""
    return "\n".join(message.content for message in prompt if message.role != "system")
