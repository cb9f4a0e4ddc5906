"""From a report to a page: the first page for people, then the evidence and how the model was made."""

from __future__ import annotations

from pipeline.report.evidence import evidence
from pipeline.report.front_page import TONES, VERDICTS, front_page, summary_text
from pipeline.report.page import Page
from pipeline.report.provenance import provenance
from pipeline.report.types import Report


def lay_out(report: Report) -> Page:
    """Return the page of a report."""
    version = report.registration.version
    verdict = VERDICTS[report.answer]
    if report.registration.overrides:
        verdict = f"{verdict} (overridden by a person)"
    return Page(
        title=f"{report.name}: fine-tuning report",
        subtitle=f"Run {report.run}, {report.created_at}" + (f", version {version}" if version is not None else ""),
        tone=TONES[report.answer],
        verdict=verdict,
        summary=summary_text(report),
        front=front_page(report),
        details=(*evidence(report), *provenance(report)),
    )
