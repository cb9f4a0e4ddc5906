"""The reference that needs no language model: TF-IDF and logistic regression, for labels, records and other answers.

A record (one JSON object an answer) is classified field by field: what a model that reads no relations between words
can reach. Other answers without a label are classes themselves where they are few. A tuned model that is not better
than it has learned words, not the task.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.core.context import CallContext
from pipeline.evaluate import backends
from pipeline.evaluate.backends import Advance, Completion
from pipeline.evaluate.items import Item
from pipeline.metrics import read_object
from schemas.data import Message

MOST_VALUES = 200
"""With more values in the training split a field (or an answer) is free text: the most frequent one answers all."""

MOST_FIELDS = 50
"""Of the fields of all records the most frequent ones are learned; one classifier is fitted for each."""

LEAST_RECORDS = 0.9
"""Share of training answers that must be JSON objects for all to be taken as records; the others teach no field."""

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
            DataError: the training texts hold no features.
        """
        texts = [_question(item.prompt) for item in self.train]
        context.emit("log", f"fitting TF-IDF and logistic regression on {len(texts)} rows")
        answers = self._fit(texts, context)([_question(item.prompt) for item in self.items[first:last]])
        advance(len(answers))
        return [Completion(answer, [], "stop", 0, 0) for answer in answers]

    def _fit(self, texts: list[str], context: CallContext) -> Predict:
        references = [item.reference for item in self.train]
        records = _records(references)
        if records is not None:
            return _fit_records(texts, records, context)
        if all(item.label is not None for item in (*self.train, *self.items)):
            return _fit_values(texts, references, most=len(references))
        different = len(set(references))
        if different > MOST_VALUES:
            context.warn(
                f"TF-IDF takes {different} different answers for free text: it gives the most frequent one to all"
            )
        return _fit_values(texts, references)


def _fit_records(texts: list[str], records: Sequence[dict[str, str]], context: CallContext) -> Predict:
    counted = Counter(key for record in records for key in record)
    keys = [key for key, _ in counted.most_common(MOST_FIELDS)]
    if len(counted) > len(keys):
        context.warn(f"TF-IDF learns the {len(keys)} most frequent of {len(counted)} fields")
    fields = {}
    for key in context.track(keys, "fitting fields", len(keys)):
        fields[key] = _fit_values(texts, [record.get(key, _ABSENT) for record in records])

    def predict(asked: Sequence[str]) -> list[str]:
        columns = {key: predict_field(asked) for key, predict_field in fields.items()}
        rows = ({key: column[place] for key, column in columns.items()} for place in range(len(asked)))
        return [_write(row) for row in rows]

    return predict


def _fit_values(texts: list[str], values: list[str], most: int = MOST_VALUES) -> Predict:
    counted = Counter(values)
    if 1 < len(counted) <= most:
        return backends.train_classifier(texts, values).predict
    [(most_frequent, _)] = counted.most_common(1)
    return lambda asked: [most_frequent] * len(asked)


def _records(references: Sequence[str]) -> list[dict[str, str]] | None:
    """Return the fields of each answer, every value as canonical JSON text; None where too few are JSON objects."""
    records = [_fields(reference) for reference in references]
    known = [record for record in records if record is not None]
    return [record or {} for record in records] if known and len(known) >= LEAST_RECORDS * len(records) else None


def _fields(reference: str) -> dict[str, str] | None:
    try:
        record = read_object(reference)
    except ValueError:
        return None
    return {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in record.items()}


def _write(row: dict[str, str]) -> str:
    """Return a record as JSON text, without the fields that were predicted to be absent."""
    pairs = (f"{json.dumps(key, ensure_ascii=False)}:{value}" for key, value in row.items() if value != _ABSENT)
    return "{" + ",".join(pairs) + "}"


def _question(prompt: Sequence[Message]) -> str:
    """Return what a classifier sees: the turns other than the system's, which is the same for all."""
    return "\n".join(message.content for message in prompt if message.role != "system")
