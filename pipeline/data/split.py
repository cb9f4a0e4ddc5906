"""Splits: rows that belong together stay together, labels keep their shares, and rows stay where they are.

A seeded hash of its content places each row; the first in that order are tested, the next validate, the others train.
Where a file grows, the bounds between them move a little, and only the rows at the bounds change their split.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.errors import DataError
from pipeline.data.order import Name, place
from schemas.data import Split

CUT: tuple[Split, ...] = ("test", "validation")
"""Splits that are cut from the rows, in this order; what is left trains."""


@dataclass(frozen=True)
class Unit:
    """Rows that go to one split together (a cluster, a group, or one row).

    ``label`` is the most frequent of theirs, ``name`` the first of their names.
    """

    rows: tuple[int, ...]
    label: str | None
    name: Name


def make_units(keys: Sequence[object], labels: Sequence[str | None], names: Sequence[Name]) -> list[Unit]:
    """Group rows by key, in order of first rows."""
    members: dict[object, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        members[key].append(row)
    return [
        Unit(tuple(rows), _majority([labels[row] for row in rows]), min(names[row] for row in rows))
        for rows in members.values()
    ]


def assign_splits(units: Sequence[Unit], shares: Mapping[Split, float], seed: int) -> list[Split]:
    """Return the split of each row.

    Within each label, units in the order of their names (see `pipeline.data.order`) fill the test rows, then the
    validation rows; what a label's rounding leaves over is passed on to the next label, so that the totals come out
    right. A label always keeps a training unit.

    Args:
        units: all rows, each in one unit.
        shares: wanted share of rows of ``test`` and ``validation``; a split without a share gets none.
        seed: decides the order.

    Raises:
        DataError: too few units for the wanted splits.
    """
    strata: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        strata[unit.label or ""].append(unit)
    owed: dict[Split, float] = dict.fromkeys(CUT, 0.0)
    chosen: dict[Split, list[Unit]] = {split: [] for split in CUT}
    training: list[Unit] = []
    for label in sorted(strata):
        stratum = sorted(strata[label], key=lambda unit: (place(unit.name, seed), unit.rows))
        training += _cut(stratum, shares, owed, chosen)
    for split in CUT:
        if shares.get(split, 0.0) > 0.0 and not chosen[split]:
            chosen[split].append(_spare(training, split, len(units)))
    return _by_row(units, chosen)


def _cut(
    stratum: list[Unit], shares: Mapping[Split, float], owed: dict[Split, float], chosen: dict[Split, list[Unit]]
) -> list[Unit]:
    """Move units of one label into ``chosen``; return those that train."""
    rows = sum(len(unit.rows) for unit in stratum)
    left = stratum
    for split in CUT:
        wanted = shares.get(split, 0.0) * rows + owed[split]
        quota, taken, kept = math.floor(wanted + 0.5), 0, list[Unit]()
        for position, unit in enumerate(left):
            is_last = not kept and position == len(left) - 1
            if taken + len(unit.rows) <= quota and not is_last:
                chosen[split].append(unit)
                taken += len(unit.rows)
            else:
                kept.append(unit)
        owed[split] = max(-1.0, min(1.0, wanted - taken))
        left = kept
    return left


def _spare(training: list[Unit], split: Split, units: int) -> Unit:
    """Take the smallest unit whose label keeps another out of ``training``, for a split that rounding left empty."""
    frequency = Counter(unit.label for unit in training)
    spare = min(
        (unit for unit in training if frequency[unit.label] > 1),
        key=lambda unit: (len(unit.rows), unit.name, unit.rows),
        default=None,
    )
    if spare is None:
        raise DataError(
            f"too few different rows for a {split} split: {units}, near-duplicates and groups counted once",
            where=f"data.split.{split}",
            fix=f"give more rows, a file for {split}, or 0 as its share",
        )
    training.remove(spare)
    return spare


def _by_row(units: Sequence[Unit], chosen: Mapping[Split, Sequence[Unit]]) -> list[Split]:
    splits: list[Split] = ["train"] * sum(len(unit.rows) for unit in units)
    for split, members in chosen.items():
        for unit in members:
            for row in unit.rows:
                splits[row] = split
    return splits


def _majority(labels: Sequence[str | None]) -> str | None:
    counts = Counter(label for label in labels if label is not None)
    return min(counts, key=lambda label: (-counts[label], label)) if counts else None
