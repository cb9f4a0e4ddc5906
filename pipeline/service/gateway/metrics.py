"""What Prometheus reads: answers by version, traffic under way, the share of each candidate."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.service.gateway.director import Director
from pipeline.service.gateway.recorder import Recorder


def exposition(recorder: Recorder, director: Director) -> str:
    """Return the metrics in Prometheus's text format; names of versions need no escapes."""
    recorder.read()
    return "\n".join(_lines(recorder, director)) + "\n"


def _lines(recorder: Recorder, director: Director) -> Iterator[str]:
    yield "# HELP hone_gateway_answers_total Answers of engines."
    yield "# TYPE hone_gateway_answers_total counter"
    for (version, arm, outcome), count in sorted(recorder.counts.items()):
        yield f'hone_gateway_answers_total{{version="{version}",arm="{arm}",outcome="{outcome}"}} {count}'
    yield "# HELP hone_gateway_answering Answers under way."
    yield "# TYPE hone_gateway_answering gauge"
    for version, served in sorted(director.table.versions.items()):
        yield f'hone_gateway_answering{{version="{version}"}} {served.busy}'
    yield "# HELP hone_gateway_candidate_percent Share of traffic that a candidate gets."
    yield "# TYPE hone_gateway_candidate_percent gauge"
    for name, split in sorted(director.table.splits.items()):
        yield f'hone_gateway_candidate_percent{{name="{name}",version="{split.candidate.version}"}} {split.percent:g}'
    yield "# HELP hone_gateway_unwritten_total Answers that could not be kept."
    yield "# TYPE hone_gateway_unwritten_total counter"
    yield f"hone_gateway_unwritten_total {recorder.lost}"
