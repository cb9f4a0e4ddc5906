"""From people's answers to figures: agreement, the rows that are open, win rate and ratings with the key in hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from pipeline.evaluate.human.reading import Answers
from pipeline.evaluate.judge.figures import SEED, Level, as_score, preference
from pipeline.statistics import Outcome
from schemas.human import Coefficient, HumanEvaluation, Ratings, SheetItem, SheetKey, SheetKind, Side
from schemas.judge import Preference

if TYPE_CHECKING:
    from pipeline.statistics import Interval

RESAMPLES = 10_000
CLOSE = 1
"""Ratings that differ by no more are no disagreement that somebody has to decide."""

_CODES = {"A": 0.0, "B": 1.0, "tie": 2.0}

Row = Mapping[str, str | int]
"""What each annotator said of one row of a sheet."""


@dataclass(frozen=True)
class Resolved:
    """What became of the rows of one sheet; ``decided`` are those that an adjudicator answered."""

    key: SheetKey
    answers: Answers
    decided: Mapping[str, str | int]

    def rows(self, kind: SheetKind) -> list[tuple[SheetItem, Row]]:
        """Return the rows of one kind that somebody answered, if only the adjudicator, in the sheet's order."""
        given = self.answers.given
        return [
            (item, given.get(item.code, {}))
            for item in self.key.items
            if item.kind == kind and (item.code in given or item.code in self.decided)
        ]

    @property
    def open(self) -> list[tuple[SheetItem, Row]]:
        """The rows on which people disagree and that nobody decided."""
        kinds: tuple[SheetKind, ...] = ("pairwise", "rating")
        return [
            (item, row)
            for kind in kinds
            for item, row in self.rows(kind)
            if item.code not in self.decided and disagree(item.kind, row)
        ]

    def preferred(self, code: str, row: Row) -> str:
        """Return A, B or tie: as decided, else what most say, else a tie."""
        if code in self.decided:
            return str(self.decided[code])
        ranked = Counter(str(value) for value in row.values()).most_common(2)
        return ranked[0][0] if len(ranked) == 1 or ranked[0][1] > ranked[1][1] else "tie"

    def rated(self, code: str, row: Row) -> float:
        """Return the rating: as decided, else the mean."""
        if code in self.decided:
            return float(self.decided[code])
        return sum(float(value) for value in row.values()) / len(row)


def disagree(kind: SheetKind, row: Row) -> bool:
    """Tell whether a row is in disagreement: other preferences, or ratings that lie apart.

    >>> disagree("rating", {"anna": 3, "ben": 4}), disagree("rating", {"anna": 2, "ben": 4})
    (False, True)
    """
    if kind == "pairwise":
        return len(set(row.values())) > 1
    ratings = [float(value) for value in row.values()]
    return max(ratings) - min(ratings) > CLOSE


def evaluate(found: Resolved, time: str, resamples: int = RESAMPLES) -> HumanEvaluation:
    """Return what people said, unblinded."""
    key, given = found.key, found.answers.given
    level = Level(key.alpha, resamples)
    # Someone who answered nothing of a kind was not asked for it.
    people = {kind: {who for _, row in found.rows(kind) for who in row} for kind in ("pairwise", "rating")}
    asked = sum(len(people[item.kind]) for item in key.items)
    answers = sum(len(row) for row in given.values())
    return HumanEvaluation(
        sheet=key.sheet,
        name=key.name,
        record=key.record,
        candidate=key.candidate,
        baseline=key.baseline,
        criteria=key.criteria,
        alpha=key.alpha,
        annotators=len(found.answers.annotators),
        items=len({item.item for item in key.items} | set(key.identical)),
        answers=answers,
        missing=asked - answers,
        unanswered=sum(item.code not in given for item in key.items if people[item.kind]),
        adjudicated=len(found.decided),
        open=len(found.open),
        preference=_preference(found, level),
        ratings=_ratings(found, level),
        agreement=tuple(_agreement(found, level)),
        time=time,
    )


def _preference(found: Resolved, level: Level) -> Preference | None:
    rows = found.rows("pairwise")
    if not rows:
        return None
    outcomes: list[Outcome] = [_outcome(item.side, found.preferred(item.code, row)) for item, row in rows]
    outcomes += ["tie"] * len(found.key.identical)
    clusters = [*(item.cluster for item, _ in rows), *found.key.identical.values()]
    return preference(outcomes, clusters, level)


def _outcome(side: Side, said: str) -> Outcome:
    """Unblind: what A, B or tie says of the candidate where ``side`` was shown as A."""
    if said == "tie":
        return "tie"
    return "win" if (said == "A") == (side == "candidate") else "loss"


def _ratings(found: Resolved, level: Level) -> Ratings | None:
    from pipeline.statistics import compare

    sides: dict[str, dict[Side, float]] = {}
    clusters: dict[str, int] = {}
    for item, row in found.rows("rating"):
        sides.setdefault(item.item, {})[item.side] = found.rated(item.code, row)
        clusters[item.item] = item.cluster
    both = {name: rated for name, rated in sides.items() if len(rated) == 2}
    if len({clusters[name] for name in both}) < 2:
        return None
    result = compare(
        [rated["candidate"] for rated in both.values()],
        [rated["baseline"] for rated in both.values()],
        clusters=[clusters[name] for name in both],
        alpha=level.alpha,
        seed=SEED,
        resamples=level.resamples,
    )
    return Ratings(
        n=result.n,
        candidate=result.candidate,
        baseline=result.baseline,
        difference=result.difference,
        low=result.low,
        high=result.high,
        p_value=result.p_value,
        test=result.test,
        interval=result.interval_method,
    )


def _agreement(found: Resolved, level: Level) -> Iterator[Coefficient]:
    """Yield every coefficient that the answers allow, of the answers as people gave them, before unblinding.

    Preferences are compared as A, B and tie: the shuffled order keeps chance agreement from following the better side.
    """
    yield from _alphas(found, "pairwise", level)
    yield from _kappas(found, level)
    yield from _alphas(found, "rating", level)


def _alphas(found: Resolved, kind: SheetKind, level: Level) -> Iterator[Coefficient]:
    from pipeline.statistics import Level as Scale
    from pipeline.statistics import krippendorff_alpha

    shared = [(item, row) for item, row in found.rows(kind) if len(row) > 1]
    scales: tuple[Scale, ...] = ("nominal",) if kind == "pairwise" else ("ordinal", "interval")
    if not _resampled(shared):
        return
    values = [[_number(value) for value in row.values()] for _, row in shared]
    clusters = [item.cluster for item, _ in shared]
    for scale in scales:
        alpha = krippendorff_alpha(
            values, level=scale, clusters=clusters, alpha=level.alpha, seed=SEED, resamples=level.resamples
        )
        yield _coefficient(kind, f"Krippendorff's alpha, {scale}", alpha)


def _kappas(found: Resolved, level: Level) -> Iterator[Coefficient]:
    from pipeline.statistics import cohen_kappa, fleiss_kappa

    rows = found.rows("pairwise")
    people = sorted({who for _, row in rows for who in row})
    for number, (one, other) in enumerate(combinations(range(len(people)), 2)):
        pair = [(item, row) for item, row in rows if people[one] in row and people[other] in row]
        if number < _MOST_PAIRS and _resampled(pair):
            first, second = ([row[people[who]] for _, row in pair] for who in (one, other))
            clusters = [item.cluster for item, _ in pair]
            kappa = cohen_kappa(
                first, second, clusters=clusters, alpha=level.alpha, seed=SEED, resamples=level.resamples
            )
            yield _coefficient("pairwise", f"Cohen's kappa, annotators {one + 1} and {other + 1}", kappa)
    whole = [(item, row) for item, row in rows if len(row) == len(people)]
    if len(people) > 2 and _resampled(whole):
        ratings = [list(row.values()) for _, row in whole]
        clusters = [item.cluster for item, _ in whole]
        fleiss = fleiss_kappa(ratings, clusters=clusters, alpha=level.alpha, seed=SEED, resamples=level.resamples)
        yield _coefficient("pairwise", f"Fleiss' kappa, items that all {len(people)} answered", fleiss)


_MOST_PAIRS = 10
"""Pairs of annotators whose kappa is stated; of more people Fleiss' kappa and alpha say it in one number."""


def _resampled(rows: Sequence[tuple[SheetItem, Row]]) -> bool:
    return len({item.cluster for item, _ in rows}) > 1


def _coefficient(kind: SheetKind, name: str, found: Interval | None) -> Coefficient:
    return Coefficient(kind=kind, name=name, score=None if found is None else as_score(found))


def _number(value: str | int) -> float:
    return _CODES[value] if isinstance(value, str) else float(value)
