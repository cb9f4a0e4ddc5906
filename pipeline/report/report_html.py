"""A report as one self-contained HTML file: no script, no outside reference, plots inside as SVG."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.report.layout import lay_out
from pipeline.report.page import Page
from pipeline.report.types import Report

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def report_html(report: Report) -> str:
    """Return the report as an HTML document; see `page_html`."""
    return page_html(lay_out(report))


def page_html(page: Page) -> str:
    """Return a page as an HTML document; all text of models and files is escaped."""
    return _environment().get_template("report.html").render(page=page)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=[],
    )
