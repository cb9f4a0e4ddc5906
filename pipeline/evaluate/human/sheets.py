"""Blind sheets: which rows are shown, in which order, under which codes. The key is all that tells them apart."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import asdict

from pipeline.core.errors import DataError
from pipeline.evaluate.judge.pairs import Pair, sample
from schemas.base import ArtifactRef, canonical_digest
from schemas.human import SheetItem, SheetKey, SheetKind, Side

_SIDES: tuple[Side, Side] = ("candidate", "baseline")


def make_sheet(
    pairs: Sequence[Pair],
    kinds: Collection[SheetKind],
    *,
    name: str,
    record: ArtifactRef,
    candidate: str,
    baseline: str,
    criteria: str,
    most: int | None,
    seed: int,
    alpha: float,
) -> SheetKey:
    """Return the rows of the sheets with their key: ``most`` items drawn by ``seed``, sides and order shuffled by it.

    The first answer of a pair is the candidate's. Which side stands first is balanced: half of the items each way.

    Raises:
        DataError: there is nothing to compare: all drawn answers are the same.
    """
    drawn = sample(pairs, most, seed)
    asked = [pair for pair in drawn if not pair.identical]
    if not asked:
        raise DataError(
            f"all {len(drawn)} items have the same answer on both sides",
            where=name,
            fix="compare with another baseline",
        )
    told = [name, record, candidate, baseline, criteria, seed, sorted(kinds), [asdict(pair) for pair in drawn]]
    digest = canonical_digest(told)
    # Drawn from the whole digest, of which a sheet shows 8 of 64 digits: annotators cannot draw it again.
    sheet, chance = digest[:8], random.Random(digest)  # noqa: S311 - drawn again from the same answers
    items: list[SheetItem] = []
    if "pairwise" in kinds:
        items += _pairwise(asked, sheet, chance)
    if "rating" in kinds:
        items += _ratings(asked, sheet, chance)
    return SheetKey(
        sheet=sheet,
        name=name,
        record=record,
        candidate=candidate,
        baseline=baseline,
        criteria=criteria,
        seed=seed,
        alpha=alpha,
        items=tuple(items),
        identical={pair.id: pair.cluster for pair in drawn if pair.identical},
    )


def _pairwise(pairs: Sequence[Pair], sheet: str, chance: random.Random) -> list[SheetItem]:
    order, sides = list(pairs), [_SIDES[place % 2] for place in range(len(pairs))]
    chance.shuffle(order)
    chance.shuffle(sides)
    return [
        SheetItem(
            code=f"{sheet}-p{number:04d}",
            kind="pairwise",
            item=pair.id,
            cluster=pair.cluster,
            side=side,
            question=pair.question,
            answer_a=pair.first if side == "candidate" else pair.second,
            answer_b=pair.second if side == "candidate" else pair.first,
        )
        for number, (pair, side) in enumerate(zip(order, sides, strict=True), start=1)
    ]


def _ratings(pairs: Sequence[Pair], sheet: str, chance: random.Random) -> list[SheetItem]:
    order = [(pair, side) for pair in pairs for side in _SIDES]
    chance.shuffle(order)
    return [
        SheetItem(
            code=f"{sheet}-r{number:04d}",
            kind="rating",
            item=pair.id,
            cluster=pair.cluster,
            side=side,
            question=pair.question,
            answer_a=pair.first if side == "candidate" else pair.second,
        )
        for number, (pair, side) in enumerate(order, start=1)
    ]
