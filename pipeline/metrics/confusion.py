"""What is taken for what: the most frequent wrong answers, for labels and for each field of JSON records."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.metrics.base import check_lengths
from pipeline.metrics.json_text import JsonValue, canonical, read_object, reference_error
from pipeline.metrics.labels import normalize_label

MISSING = "(missing)"
INVALID = "(invalid JSON)"


@dataclass(frozen=True)
class Confusion:
    """``count`` items of ``reference`` were answered with ``predicted``: a ``share`` of that reference's items."""

    reference: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True)
class FieldErrors:
    """One field of JSON records: ``wrong`` of the ``n`` records whose reference or prediction has it.

    Values are shown as JSON text, so that ``MISSING`` and ``INVALID`` (unquoted) cannot be values.
    """

    field: str
    n: int
    wrong: int
    confusions: tuple[Confusion, ...]


def worst_confusions(predictions: Sequence[str], references: Sequence[str], *, top: int = 20) -> list[Confusion]:
    """Return the ``top`` most frequent wrong label pairs; labels are compared and shown normalized.

    Raises:
        DataError: no items, or unequal lengths.
    """
    check_lengths(predictions, references)
    pairs = [
        (normalize_label(reference), normalize_label(prediction))
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    return _most_frequent(pairs, top)


def field_confusions(predictions: Sequence[str], references: Sequence[str], *, top: int = 10) -> list[FieldErrors]:
    """Return for each field of JSON objects its errors and ``top`` most frequent confusions, worst field first.

    A field that only one side has is ``MISSING`` on the other; every field of a record whose prediction is
    no JSON object is ``INVALID``.

    Raises:
        DataError: no items, unequal lengths, or a reference that is not a JSON object (its number is named).
    """
    check_lengths(predictions, references)
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        try:
            expected = read_object(reference)
        except ValueError as error:
            failure = reference_error(error, reference)
            failure.where = f"item {number}"
            raise failure from error
        for field, pair in _field_pairs(prediction, expected):
            pairs[field].append(pair)
    found = [
        FieldErrors(
            field=field,
            n=len(answers),
            wrong=sum(expected != predicted for expected, predicted in answers),
            confusions=tuple(_most_frequent(answers, top)),
        )
        for field, answers in pairs.items()
    ]
    return sorted(found, key=lambda errors: (-errors.wrong, errors.field))


def _field_pairs(prediction: str, expected: dict[str, JsonValue]) -> Iterable[tuple[str, tuple[str, str]]]:
    """Yield each field with its (expected, predicted) texts, which are equal where the values are."""
    try:
        predicted = read_object(prediction)
    except ValueError:
        for field, value in expected.items():
            yield field, (_shown(value), INVALID)
        return
    for field, value in expected.items():
        if field not in predicted:
            yield field, (_shown(value), MISSING)
        elif canonical(predicted[field]) == canonical(value):
            yield field, (_shown(value), _shown(value))
        else:
            yield field, (_shown(value), _shown(predicted[field]))
    for field, value in predicted.items():
        if field not in expected:
            yield field, (MISSING, _shown(value))


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    # An escaped lone surrogate is valid JSON but no text that can be written as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _most_frequent(pairs: Sequence[tuple[str, str]], top: int) -> list[Confusion]:
    support = Counter(reference for reference, _ in pairs)
    wrong = Counter(pair for pair in pairs if pair[0] != pair[1])
    ordered = sorted(wrong.items(), key=lambda entry: (-entry[1], entry[0]))
    return [
        Confusion(reference, predicted, count, count / support[reference])
        for (reference, predicted), count in ordered[:top]
    ]
