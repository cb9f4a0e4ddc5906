"""Calibration error: whether the model is right as often as its probabilities say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.core.errors import ConfigError
from pipeline.metrics.measure import Needs, Probabilities, Unit

if TYPE_CHECKING:
    from pipeline.metrics.measure import Counts, Values


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of like probability: how many, their mean probability, and their mean score."""

    n: int
    confidence: float
    score: float


class CalibrationError:
    """Expected calibration error: the mean distance between how probable answers were and how right they are.

    Guo et al., On Calibration of Modern Neural Networks (2017), eq. 3: sum over bins of n_b / n |score_b - p_b|. The
    ``bins`` hold equally many answers (Nixon et al., Measuring Calibration in Deep Learning, 2019), because most
    probabilities lie near 1; ties keep the items' order. p is the probability of the whole answer, up to and with its
    end, and the score that of the metric that decides. The estimate is above 0 for a calibrated model too, the more so
    the fewer items there are; the interval allows for that (`pipeline.statistics.absolute`), and is wide for few items.

    Raises:
        ConfigError: fewer than one bin.
    """

    name: ClassVar[str] = "calibration_error"
    needs: ClassVar[Needs] = "answers"
    unit: ClassVar[Unit] = "share"

    def __init__(self, bins: int = 10) -> None:
        if bins < 1:
            raise ConfigError("there must be at least one bin", where="evaluate.measures.bins", fix="set it to 10")
        self.bins = bins

    def statistic(self, found: Probabilities) -> Callable[[Counts], Values]:
        """Return the calibration error of each set of items; see `Measure`. Items keep the bin that all items gave."""
        import numpy as np

        gaps, bins = self.gaps(found)

        def error(counts: Counts) -> Values:
            apart = sum(np.abs(counts[:, places] @ gaps[places]) for places in bins)
            values: Values = apart / counts.sum(axis=1)
            return values

        return error

    def gaps(self, found: Probabilities) -> tuple[Values, list[Counts]]:
        """Return score minus probability of each answer, and the places of the answers of each bin."""
        assert found.answers is not None, "a measure is given what it needs"
        return found.scores - found.answers, self._bins(found)

    def reliability(self, found: Probabilities) -> tuple[ReliabilityBin, ...]:
        """Return the bins, from the least probable answers to the most probable."""
        assert found.answers is not None, "a measure is given what it needs"
        return tuple(
            ReliabilityBin(len(places), float(found.answers[places].mean()), float(found.scores[places].mean()))
            for places in self._bins(found)
        )

    def _bins(self, found: Probabilities) -> list[Counts]:
        """Return the places of the items of each bin that has any."""
        import numpy as np

        assert found.answers is not None, "a measure is given what it needs"
        ranked = np.argsort(found.answers, kind="stable")
        return [places for places in np.array_split(ranked, self.bins) if len(places)]
