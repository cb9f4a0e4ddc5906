"""What Prometheus reads: answers by version, traffic under way, the share of each candidate."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.service.api.exposition import family
from pipeline.service.gateway.director import Director
from pipeline.service.gateway.recorder import Recorder


def exposition(recorder: Recorder, director: Director) -> str:
    """Return the metrics in Prometheus's text format."""
    recorder.read()
    return "\n".join(_lines(recorder, director)) + "\n"


def _lines(recorder: Recorder, director: Director) -> Iterator[str]:
    answers = [
        ("", {"version": version, "arm": arm, "outcome": outcome}, float(count))
        for (version, arm, outcome), count in sorted(recorder.counts.items())
    ]
    yield from family("hone_gateway_answers_total", "counter", "Answers of engines.", answers)
    busy = [
        ("", {"version": version}, float(served.busy)) for version, served in sorted(director.table.versions.items())
    ]
    yield from family("hone_gateway_answering", "gauge", "Answers under way.", busy)
    shares = [
        ("", {"name": name, "version": split.candidate.version}, split.percent)
        for name, split in sorted(director.table.splits.items())
    ]
    yield from family("hone_gateway_candidate_percent", "gauge", "Share of traffic that a candidate gets.", shares)
    lost = float(recorder.lost)
    yield from family("hone_gateway_unwritten_total", "counter", "Answers that could not be kept.", [("", {}, lost)])
