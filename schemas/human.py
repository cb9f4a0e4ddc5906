"""Human evaluation: what a sheet hides, and what came back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import ArtifactRef, Schema, Seed
from schemas.evaluate import Score
from schemas.judge import Preference

SheetKind = Literal["pairwise", "rating"]
Side = Literal["candidate", "baseline"]

LEAST_RATING, MOST_RATING = 1, 5

GUIDE_CRITERIA = "The better answer is correct, does what is asked and nothing else, and is clear to whoever asked."


class SheetItem(Schema):
    """One row of a sheet. ``code`` is what people see of it; ``side`` whose answer is A, or the rated one."""

    code: str
    kind: SheetKind
    item: str
    cluster: int
    side: Side
    question: str
    answer_a: str
    answer_b: str | None = None


class SheetKey(Schema):
    """What unblinds a sheet: it stays in the workspace. ``identical`` items had one answer twice: nobody is asked.

    ``record`` is the register artifact of the version whose answers these are; ``name`` how it was asked for.
    """

    sheet: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    name: str
    record: ArtifactRef
    candidate: str
    baseline: str
    criteria: str
    seed: Seed
    alpha: float
    items: tuple[SheetItem, ...]
    identical: dict[str, int]


class Coefficient(Schema):
    """One measure of agreement; ``score`` is null where all answers are one category, and it is not defined."""

    kind: SheetKind
    name: str
    score: Score | None


class Ratings(Schema):
    """Mean ratings of both sides on the items that were rated on both, and their difference with its interval."""

    n: int
    candidate: float
    baseline: float
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    interval: str


class HumanEvaluation(Schema):
    """What people said of a version. ``annotators`` is how many there were: who they are is nowhere kept.

    ``missing``: answers that were asked for and not given. ``unanswered``: rows that nobody answered, which are in no
    figure. ``open``: rows on which people disagree and nobody decided; they count by majority, and without one as ties.
    ``time`` is that of the import (UTC, ISO 8601).
    """

    sheet: str
    name: str
    record: ArtifactRef
    candidate: str
    baseline: str
    criteria: str
    alpha: float
    annotators: int
    items: int
    answers: int
    missing: int
    unanswered: int
    adjudicated: int
    open: int
    preference: Preference | None
    ratings: Ratings | None
    agreement: tuple[Coefficient, ...]
    time: str
