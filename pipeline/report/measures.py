"""What the model's own probabilities say, for report and card: perplexity, calibration and its diagram."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.core.numbers import percent
from pipeline.metrics.registry import measure_unit
from pipeline.report.page import Block, Paragraph, Plot, Table
from pipeline.report.plots import Series, line_plot
from pipeline.report.types import SubjectScores
from schemas.evaluate import Reliability, Score

TITLE = "Probabilities and calibration"

_NUMERIC = ("Value", "95% interval", "n")


def measure_blocks(subjects: Sequence[SubjectScores]) -> Iterator[Block]:
    """Yield a table of every measured subject, and the reliability diagram of the tuned model."""
    rows = [
        (name.replace("_", " "), subject.title, *measure_cells(name, score))
        for name in dict.fromkeys(name for subject in subjects for name in subject.measures)
        for subject in subjects
        if (score := subject.measures.get(name)) is not None
    ]
    if not rows:
        return
    yield Table("Nothing hangs on these", ("Measure", "Model", *_NUMERIC), tuple(rows), frozenset(_NUMERIC))
    drawn = next((subject for subject in subjects if subject.role == "tuned" and subject.reliability), None)
    if drawn is not None:
        yield _diagram(drawn.title, drawn.reliability)
        yield Paragraph(
            "Each corner of the line holds equally many answers. On the diagonal an answer is right as often as its "
            "probability says; below it the model is surer than it should be."
        )


def measure_cells(name: str, score: Score) -> tuple[str, str, str]:
    """Return value, interval and n for a table, in the measure's unit."""
    shown = [_written(name, value) for value in (score.value, score.low, score.high)]
    return shown[0], f"{shown[1]} to {shown[2]}", f"{score.n:,}"


def _written(name: str, value: float) -> str:
    return percent(value) if measure_unit(name) == "share" else f"{value:,.3g}"


def _diagram(title: str, bins: Sequence[Reliability]) -> Plot:
    points = tuple(sorted((100 * part.confidence, 100 * part.score) for part in bins))
    series = (Series("as right as probable", ((0.0, 0.0), (100.0, 100.0)), "baseline"), Series(title, points, "tuned"))
    spoken = "; ".join(f"{percent(part.confidence)}: {percent(part.score)} (n = {part.n:,})" for part in bins)
    alternative = f"Score of answers by their probability, {title}. {spoken}."
    drawn = line_plot(series, "probability of the answer, %", "score, %", alternative, y_digits=0)
    return Plot("Reliability: score of answers by their probability", drawn, alternative)
