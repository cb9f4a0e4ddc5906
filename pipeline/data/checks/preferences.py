"""Faults of preferences: pairs that length gives away, and verdicts that nothing reads or that are out of balance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.data.checks.make import finding
from pipeline.data.load import Loaded
from pipeline.data.prepared import Prepared
from schemas.data import Example, Split
from schemas.preflight import Finding

_PAIRS = 20
"""Pairs from which a bias is told."""

_BIASED = 0.85
"""Share of pairs whose same side is the longer one from which length is said to decide."""

_BALANCE = 4
"""Rows of one verdict for each of the other from which they are out of balance."""


def check_preferences(prepared: Prepared) -> Iterator[Finding]:
    """Yield what is wrong with pairs, and with rows that carry a verdict on their answer."""
    if prepared.kind == "preference":
        yield from _length_bias(prepared.examples.get("train", []))
    if prepared.kind == "unpaired":
        for split, rows in prepared.examples.items():
            yield from _balance(split, *([row.row for row in rows if row.desirable is one] for one in (True, False)))
    for source in prepared.loaded:
        yield from _verdicts(source)


def _length_bias(pairs: list[Example]) -> Iterator[Finding]:
    lengths = [(_length(pair.chosen), _length(pair.rejected)) for pair in pairs]
    longer = sum(chosen > rejected for chosen, rejected in lengths)
    shorter = sum(chosen < rejected for chosen, rejected in lengths)
    if len(pairs) >= _PAIRS and max(longer, shorter) >= _BIASED * len(pairs):
        which = "longer" if longer > shorter else "shorter"
        told = f"the chosen answer is the {which} one in {max(longer, shorter):,} of {len(pairs):,} pairs"
        yield finding("length_bias", "train", count=max(longer, shorter), detail=told)


def _length(turns: tuple[object, ...]) -> int:
    return sum(len(getattr(turn, "content", "")) for turn in turns)


def _verdicts(source: Loaded) -> Iterator[Finding]:
    good = [row for row, verdict in source.verdicts.items() if verdict]
    bad = [row for row, verdict in source.verdicts.items() if not verdict]
    if not bad:
        return
    if source.role == "train":
        yield finding("unpaired_as_answers", "train", bad, detail=_counted(good, bad))
    yield from _balance(source.role, good, bad)


def _balance(split: Split, good: Sequence[int], bad: Sequence[int]) -> Iterator[Finding]:
    """Yield a finding where rows of one verdict are rare beside those of the other."""
    fewer, more = sorted((len(good), len(bad)))
    if more > _BALANCE * fewer:
        yield finding("unpaired_unbalanced", split, count=len(good) + len(bad), detail=_counted(good, bad))


def _counted(good: Sequence[int], bad: Sequence[int]) -> str:
    return f"{len(good):,} desirable and {len(bad):,} undesirable answers"
