"""Faults of preferences: pairs that length gives away, and verdicts that nothing reads or that are out of balance."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.data.checks.make import finding
from pipeline.data.load import Loaded
from pipeline.data.prepared import Prepared
from schemas.data import Example
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
    told = f"{len(good):,} desirable and {len(bad):,} undesirable answers"
    if source.role == "train":
        yield finding("unpaired_as_answers", "train", bad, detail=told)
    fewer, more = sorted((len(good), len(bad)))
    if more > _BALANCE * fewer:
        yield finding("unpaired_unbalanced", source.role, count=len(good) + len(bad), detail=told)
