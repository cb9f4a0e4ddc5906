"""The table of detectors: a name, what it compares, and what its effect is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pipeline.monitor.detectors import (
    confidence,
    domain_classifier,
    embedding,
    errors,
    feedback,
    input_length,
    labels,
    output_length,
    refusals,
    vocabulary,
)
from pipeline.monitor.found import Found
from pipeline.monitor.rows import Row
from pipeline.monitor.windows import Windows, text_of_input
from schemas.monitor import DetectorName


@dataclass(frozen=True)
class Detector:
    """A detector.

    Attributes:
        title: what it compares, for people.
        measure: what its effect is called. unit: of the windows' values, if they have one.
        needs: what it reads of a row, as people call it.
        reads: returns None for a row that it cannot read.
        detect: returns what it found, or why it cannot tell.
    """

    title: str
    measure: str
    unit: str | None
    needs: str
    reads: Callable[[Row], Any]
    detect: Callable[[Windows], Found | str]


DETECTORS: Final[Mapping[DetectorName, Detector]] = MappingProxyType(
    {
        "input_length": Detector(
            title="Characters of inputs",
            measure="KS",
            unit="characters",
            needs="inputs",
            reads=lambda row: row.input_length,
            detect=input_length.detect,
        ),
        "output_length": Detector(
            title="Characters of answers",
            measure="KS",
            unit="characters",
            needs="answers",
            reads=lambda row: row.output_length,
            detect=output_length.detect,
        ),
        "vocabulary": Detector(
            title="Words of inputs",
            measure="unseen",
            unit=None,
            needs="texts of inputs",
            reads=text_of_input,
            detect=vocabulary.detect,
        ),
        "embedding": Detector(
            title="Meaning of inputs",
            measure="MMD",
            unit=None,
            needs="texts of inputs",
            reads=text_of_input,
            detect=embedding.detect,
        ),
        "domain_classifier": Detector(
            title="Classifier of inputs",
            measure="AUC",
            unit=None,
            needs="texts of inputs",
            reads=text_of_input,
            detect=domain_classifier.detect,
        ),
        "labels": Detector(
            title="Labels of answers",
            measure="PSI",
            unit=None,
            needs="texts of answers",
            reads=labels.labels_of,
            detect=labels.detect,
        ),
        "confidence": Detector(
            title="Confidence",
            measure="KS",
            unit="probability",
            needs="token probabilities",
            reads=lambda row: row.confidence,
            detect=confidence.detect,
        ),
        "errors": Detector(
            title="Errors",
            measure="diff.",
            unit="share",
            needs="requests",
            reads=lambda row: row.failed,
            detect=errors.detect,
        ),
        "refusals": Detector(
            title="Refusals",
            measure="diff.",
            unit="share",
            needs="answers",
            reads=lambda row: row.refused,
            detect=refusals.detect,
        ),
        "feedback": Detector(
            title="Feedback",
            measure="diff.",
            unit="score",
            needs="ratings",
            reads=lambda row: row.score,
            detect=feedback.detect,
        ),
    }
)
