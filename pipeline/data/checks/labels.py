"""Faults of labels and answers: too few rows, tested and never trained, always the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipeline.data.checks.make import finding
from pipeline.data.names import listed, quoted
from pipeline.data.prepared import Prepared
from schemas.preflight import Finding

FEW = 5
"""Training rows below which a label is hardly learned."""


def check_labels(prepared: Prepared) -> Iterator[Finding]:
    """Yield what is wrong with how labels are spread over the splits."""
    train = prepared.examples.get("train", [])
    counts = Counter(example.label for example in train if example.label is not None)
    few = sorted(label for label, count in counts.items() if count < FEW)
    if few:
        told = listed([f"{label[:40]!r} {counts[label]}" for label in few])
        rows = [example.row for example in train if example.label in few]
        yield finding("few_rows_of_label", "train", rows, detail=told)
    for split in ("validation", "test"):
        tested = prepared.examples.get(split, [])
        missing = {example.label for example in tested if example.label is not None} - counts.keys()
        if counts and missing:
            rows = [example.row for example in tested if example.label in missing]
            yield finding("label_never_trained", split, rows, detail=quoted(sorted(missing)))
    if prepared.kind == "conversation" and len(train) > 1 and len({example.answer for example in train}) == 1:
        yield finding("one_answer", "train", count=len(train), detail=repr(train[0].answer[:80]))
