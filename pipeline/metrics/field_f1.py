"""Field F1: how many of a record's fields are right."""

from __future__ import annotations

from pipeline.metrics.base import ItemMean
from pipeline.metrics.json_text import canonical, read_object, reference_error


class FieldF1(ItemMean):
    """F1 over the key-value pairs of two JSON objects: 2 |P and R| / (|P| + |R|), as van Rijsbergen's F1 of sets.

    A pair is right where key and whole value are equal (a nested value is one value). An invalid prediction,
    or one that is no object, is 0; two empty objects are 1. The score of a set is the mean over its
    items, so that each record counts once, however many fields it has.
    """

    name = "field_f1"
    binary = False

    def item(self, prediction: str, reference: str) -> float:
        """Return F1, in [0, 1].

        Raises:
            DataError: the reference is not a JSON object.
        """
        try:
            expected = _pairs(reference)
        except ValueError as error:
            raise reference_error(error, reference) from error
        try:
            predicted = _pairs(prediction)
        except ValueError:
            return 0.0
        if not predicted and not expected:
            return 1.0
        return 2 * len(predicted & expected) / (len(predicted) + len(expected))


def _pairs(text: str) -> set[tuple[str, object]]:
    return {(key, canonical(value)) for key, value in read_object(text).items()}
