"""A report as Markdown: the same blocks as the HTML page; a plot stands as the words that describe it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import assert_never

from pipeline.report.layout import lay_out
from pipeline.report.page import Block, Bullets, Example, Page, Paragraph, Plot, Section, Table
from pipeline.report.types import Report

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!])")
_ENTITY = re.compile(r"&(?=[#A-Za-z])")
_LINE_MARKER = re.compile(r"^(\s*)(-+|\+|\d+[.)])(?=\s|$)")


def report_markdown(report: Report) -> str:
    """Return the report as one Markdown text; see `page_markdown`."""
    return page_markdown(lay_out(report))


def page_markdown(page: Page) -> str:
    """Return a page as one Markdown text (CommonMark with GitHub's tables)."""
    lines = [
        f"# {plain(page.title)}",
        "",
        plain(page.subtitle),
        "",
        f"**{plain(page.verdict)}.** {plain(page.summary)}",
    ]
    for section in page.front:
        lines += _section(section)
    if page.details:
        lines += ["", "---", "", "# Details"]
    for section in page.details:
        lines += _section(section)
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is, on one line."""
    escaped = _ENTITY.sub("&amp;", _SPECIAL.sub(r"\\\1", " ".join(text.split())))
    return _LINE_MARKER.sub(r"\1\\\2", escaped)


def table_lines(table: Table) -> list[str]:
    """Return the lines of a table, without its caption."""
    rule = ("---:" if column in table.numeric else "---" for column in table.columns)
    rows = (f"| {' | '.join(plain(cell) for cell in row)} |" for row in table.rows)
    return [f"| {' | '.join(plain(column) for column in table.columns)} |", f"| {' | '.join(rule)} |", *rows]


def block_lines(blocks: Iterable[Block]) -> list[str]:
    """Return the lines of blocks, each followed by an empty one."""
    return [line for block in blocks for line in (*_block(block), "")]


def _section(section: Section) -> list[str]:
    return ["", f"## {plain(section.title)}", "", *block_lines(section.blocks)[:-1]]


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph(text=text):
            return [plain(text)]
        case Bullets(items=items):
            return [f"- {plain(item)}" for item in items]
        case Table(caption=caption, folded=True):
            return [f"<details><summary>{escape(caption)}</summary>", "", *table_lines(block), "", "</details>"]
        case Table(caption=caption):
            return [*([f"{plain(caption)}:", ""] if caption else []), *table_lines(block)]
        case Plot(alternative=alternative):
            return [f"*Plot: {plain(alternative)}*"]
        case Example(title=title, parts=parts):
            return [f"**{plain(title)}**", "", *(f"- {name}: {plain(text)}" for name, text in parts)]
        case _:
            assert_never(block)
