"""Valid label: the output is one of the declared labels, right or wrong."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.errors import ConfigError
from pipeline.metrics.base import ItemMean
from pipeline.metrics.labels import normalize_label


class ValidLabel(ItemMean):
    """1 where the prediction is one of ``labels`` by ``normalize_label``; the reference is not looked at.

    Raises:
        ConfigError: no labels, or something else than a list of texts.
    """

    name = "valid_label"
    binary = True

    def __init__(self, labels: Iterable[str]) -> None:
        listed = [] if isinstance(labels, str) or not isinstance(labels, Iterable) else list(labels)
        if not listed or not all(isinstance(label, str) for label in listed):
            raise ConfigError(
                "valid_label needs the labels that are allowed",
                where="labels",
                fix="give a list of one or more texts",
            )
        self._labels = frozenset(normalize_label(label) for label in listed)

    def item(self, prediction: str, reference: str) -> float:  # noqa: ARG002 - part of the protocol
        """Return 1.0 or 0.0."""
        return float(normalize_label(prediction) in self._labels)
