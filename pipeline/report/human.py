"""What people said of a version, for report and card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.errors import IntegrityError
from pipeline.core.human import HUMAN
from pipeline.core.numbers import p_value, percent
from pipeline.report.page import Block, Paragraph, Table
from pipeline.report.wording import count, level
from schemas.base import ArtifactRef
from schemas.human import Coefficient, HumanEvaluation

_NAMES = {"pairwise": "preferences", "rating": "ratings"}


def human_evaluations(root: Path, record: ArtifactRef) -> tuple[HumanEvaluation, ...]:
    """Return the human evaluations of the version whose register artifact this is, the oldest first.

    Raises:
        IntegrityError: one of them is damaged.
    """
    found = []
    for path in sorted((root / HUMAN).glob("*/result.json")):
        try:
            evaluation = HumanEvaluation.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise IntegrityError(
                "the human evaluation is damaged", where=str(path), fix="import its answers again, or remove the file"
            ) from error
        if evaluation.record == record:
            found.append(evaluation)
    return tuple(sorted(found, key=lambda evaluation: (evaluation.time, evaluation.sheet)))


def human_blocks(evaluations: Sequence[HumanEvaluation]) -> Iterator[Block]:
    """Yield what there is to show; nothing where nobody was asked."""
    for evaluation in evaluations:
        yield Paragraph(
            f"{count(evaluation.annotators, 'person', 'people')} compared {evaluation.candidate} with "
            f"{evaluation.baseline} blind on {count(evaluation.items, 'item')} (sheet {evaluation.sheet}, imported "
            f"{evaluation.time}): {count(evaluation.answers, 'answer')}, {evaluation.missing:,} missing; "
            f"{evaluation.adjudicated:,} adjudicated, {evaluation.open:,} still in disagreement. "
            f"Criteria: {evaluation.criteria}"
        )
        yield from _results(evaluation)
        if evaluation.agreement:
            yield _agreement(evaluation)


def human_sentences(evaluation: HumanEvaluation) -> Iterator[str]:
    """Yield win rate and ratings in words, then every coefficient."""
    interval = f"{level(evaluation.alpha)} interval"
    if evaluation.preference is not None:
        found = evaluation.preference
        yield (
            f"{evaluation.candidate} is preferred to {evaluation.baseline} in {percent(found.value)} of {found.n:,} "
            f"items, a tie counting half ({interval} {percent(found.low)} to {percent(found.high)}; "
            f"{found.wins:,} won, {found.ties:,} tied, {found.losses:,} lost; {found.test}, {p_value(found.p_value)})"
        )
    if evaluation.ratings is not None:
        rated = evaluation.ratings
        yield (
            f"rated {rated.candidate:.2f} against {rated.baseline:.2f} on {rated.n:,} items: {rated.difference:+.2f} "
            f"({interval} {rated.low:+.2f} to {rated.high:+.2f}; {rated.test}, {p_value(rated.p_value)})"
        )
    for coefficient in evaluation.agreement:
        value, bounds, n = _cells(coefficient)
        yield f"{_NAMES[coefficient.kind]}: {coefficient.name} {value}" + (
            f" ({interval} {bounds}, n = {n})" if n else ""
        )


def _results(evaluation: HumanEvaluation) -> Iterator[Block]:
    results = len([part for part in (evaluation.preference, evaluation.ratings) if part is not None])
    for sentence in list(human_sentences(evaluation))[:results]:
        yield Paragraph(f"{sentence[0].upper()}{sentence[1:]}.")


def _agreement(evaluation: HumanEvaluation) -> Table:
    numeric = ("Value", f"{level(evaluation.alpha)} interval", "n")
    rows = tuple((_NAMES[found.kind], found.name, *_cells(found)) for found in evaluation.agreement)
    return Table(
        "Agreement beyond chance, before unblinding", ("Of", "Coefficient", *numeric), rows, frozenset(numeric)
    )


def _cells(found: Coefficient) -> tuple[str, str, str]:
    score = found.score
    if score is None:
        return "not defined: all answers are one", "", ""
    return f"{score.value:.3f}", f"{score.low:.3f} to {score.high:.3f}", f"{score.n:,}"
