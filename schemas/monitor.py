"""Monitoring: captured answers, windows of them that are compared, and what was found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Digest, Schema, Seed

DetectorName = Literal[
    "input_length",
    "output_length",
    "vocabulary",
    "embedding",
    "domain_classifier",
    "labels",
    "confidence",
    "errors",
    "refusals",
    "feedback",
]

ReferenceKind = Literal["first", "test"]
"""``first``: the answers with which capture began. ``test``: the version's evaluated rows."""


class MonitorConfig(Schema):
    """How two windows are compared.

    ``alpha``: the most that windows of one distribution give an alarm, all detectors together. ``window``: answers in
    the newest window; ``reference_rows`` in the reference. ``minimum``: a detector with fewer items on either side is
    left out. ``detectors`` null are all. ``seed`` draws permutations and splits.
    """

    alpha: Annotated[float, Field(ge=0.005, le=0.05)] = 0.01
    window: Annotated[int, Field(ge=20, le=2000)] = 400
    reference_rows: Annotated[int, Field(ge=20, le=2000)] = 1000
    minimum: Annotated[int, Field(ge=10)] = 20
    detectors: tuple[DetectorName, ...] | None = None
    seed: Seed = 0


class Bar(Schema):
    """The share of each window's items that have something: a label, a word, a length in a range."""

    label: str
    reference: float
    current: float


class DriftReading(Schema):
    """What one detector says.

    ``statistic`` is what was permuted, ``effect`` the size of the shift by ``measure``'s name; ``reference`` and
    ``current`` are the windows' values in ``unit``, where there is one value. ``p_adjusted`` is Holm's over all
    detectors that had something to read; ``exact`` p-values are not sampled. ``bars`` are what changed most.
    """

    detector: DetectorName
    title: str
    reference_items: int
    current_items: int
    statistic: float
    p_value: Annotated[float, Field(ge=0.0, le=1.0)]
    p_adjusted: Annotated[float, Field(ge=0.0, le=1.0)]
    exact: bool
    measure: str
    effect: float
    unit: str | None = None
    reference: float | None = None
    current: float | None = None
    bars: tuple[Bar, ...] = ()
    drifted: bool


class Skipped(Schema):
    """A detector that had nothing to read, and why."""

    detector: DetectorName
    reason: str


class WindowFacts(Schema):
    """A window: how many answers of how many units (users or conversations), and from when to when (Unix seconds).

    ``digest`` is that of the answers' ids. Times are null for rows that are no captured answers.
    """

    rows: int
    units: int
    first: float | None
    last: float | None
    digest: Digest


class PastWindow(Schema):
    """An earlier window against the same reference: its last answer (Unix seconds) and its smallest adjusted p."""

    last: float | None
    p_adjusted: float
    drifted: tuple[DetectorName, ...]


class DriftReport(Schema):
    """Two windows of a version's answers, compared. ``alarm``: a detector's adjusted p-value is at most ``alpha``."""

    version: str
    reference_kind: ReferenceKind
    reference: WindowFacts
    current: WindowFacts
    config: MonitorConfig
    embedder: str
    readings: tuple[DriftReading, ...]
    skipped: tuple[Skipped, ...]
    past: tuple[PastWindow, ...] = ()
    alarm: bool

    @model_validator(mode="after")
    def _alarm_is_a_drift(self) -> DriftReport:
        if self.alarm != any(reading.drifted for reading in self.readings):
            raise ValueError("an alarm is a detector that drifted")
        return self
