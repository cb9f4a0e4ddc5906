"""Writing a report: JSON, Markdown and HTML beside each other, each whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.workspace import write_atomic
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report, report_json
from pipeline.report.report_html import report_html
from pipeline.report.report_markdown import report_markdown
from pipeline.report.types import Registration


@dataclass(frozen=True)
class ReportFiles:
    """Where the three forms of a report are."""

    json: Path
    markdown: Path
    html: Path


def write_report(
    record: RunRecord, directory: Path | None = None, registration: Registration | None = None
) -> ReportFiles:
    """Write ``report.json``, ``report.md`` and ``report.html`` to ``directory``, by default the run's own ``report/``.

    The bytes depend on the run's record and the registration alone.

    Raises:
        IntegrityError: a manifest or a file behind it is damaged.
    """
    target = directory if directory is not None else record.directory / "report"
    report = build_report(record, registration)
    files = ReportFiles(target / "report.json", target / "report.md", target / "report.html")
    write_atomic(files.json, report_json(report))
    write_atomic(files.markdown, report_markdown(report))
    write_atomic(files.html, report_html(report))
    return files
