"""From partitions to rows: a version's first answers, its newest ones, and those in between."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pipeline.monitor.partitions import Partitions
from pipeline.monitor.rows import Row, last_input


@dataclass(frozen=True)
class Captured:
    """The captured answers of a version that somebody asked for: no copies that nobody saw, no embeddings.

    Requests that were wrong themselves, and answers that nobody waited for, say nothing and are left out.
    """

    partitions: Partitions
    version: str

    def rows(self) -> Iterator[Row]:
        """Yield every answer, the oldest first, with its feedback; memory holds a day and all feedback."""
        feedback = self._feedback()
        for day in self.partitions.days("answers", self.version):
            for values in self.partitions.read("answers", day, self.version):
                if _counts(values):
                    yield _row(values, feedback.get(values["id"], []))

    def _feedback(self) -> dict[str, list[Mapping[str, Any]]]:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for day in self.partitions.days("feedback"):
            for values in self.partitions.read("feedback", day):
                found.setdefault(values["answer"], []).append(values)
        return found


def _counts(values: Mapping[str, Any]) -> bool:
    is_answer = values["failed"] or values["answer_ms"] is not None
    return bool(is_answer and not values["shadowed"] and values["path"] != "embeddings")


def _row(values: Mapping[str, Any], feedback: list[Mapping[str, Any]]) -> Row:
    request = json.loads(values["request"]) if values["request"] else {}
    messages = request.get("messages") if isinstance(request, dict) else None
    scores = [said["score"] for said in feedback if said["score"] is not None]
    corrections = [said["correction"] for said in feedback if said["correction"] is not None]
    return Row(
        id=values["id"],
        at=values["at"],
        unit=values["unit"],
        input=last_input(request) if isinstance(request, dict) else None,
        output=values["answer"],
        input_length=values["input_length"],
        output_length=values["length"],
        confidence=values["confidence"],
        failed=values["failed"],
        refused=values["refused"],
        score=fmean(scores) if scores else None,
        messages=tuple(messages) if isinstance(messages, list) else None,
        correction=corrections[-1] if corrections else None,
    )
