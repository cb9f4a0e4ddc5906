"""JSON exact match: the output holds the same JSON value as the reference, however it is laid out."""

from __future__ import annotations

from pipeline.metrics.base import ItemMean
from pipeline.metrics.json_text import canonical, read_json, reference_error


class JsonExactMatch(ItemMean):
    """1 where both texts hold equal JSON values (key order and whitespace aside); an invalid prediction is 0."""

    name = "json_exact_match"
    binary = True

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 or 0.0.

        Raises:
            DataError: the reference is not valid JSON.
        """
        try:
            expected = canonical(read_json(reference))
        except ValueError as error:
            raise reference_error(error, reference) from error
        try:
            return float(canonical(read_json(prediction)) == expected)
        except ValueError:
            return 0.0
