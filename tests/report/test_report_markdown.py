from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.report.page import Table
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_markdown import plain, report_markdown, table_lines
from tests.support.run_fixture import RunFixture

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
WORDS = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp"), blacklist_characters="\x85"), max_size=40)


def shown(text: str) -> str:
    """Return what a reader of ``text`` as Markdown sees."""
    tokens = [child for token in MARKDOWN.parse(text) for child in token.children or []]
    assert {token.type for token in tokens} <= {"text", "text_special"}
    return "".join(token.content for token in tokens)


@given(WORDS)
def test_any_text_is_shown_as_it_is(text: str) -> None:
    assert shown(f"x {plain(text)}") == f"x {' '.join(text.split())}".rstrip()


@given(WORDS.filter(lambda text: text.split() != []))
@example("---")
def test_no_text_becomes_a_block_of_another_kind(text: str) -> None:
    kinds = [token.type for token in MARKDOWN.parse(plain(text))]
    assert kinds == ["paragraph_open", "inline", "paragraph_close"]


@given(st.lists(st.lists(WORDS, min_size=2, max_size=2), min_size=1, max_size=3))
def test_a_table_keeps_its_cells(rows: list[list[str]]) -> None:
    table = Table("", ("a", "b"), tuple(tuple(row) for row in rows), frozenset({"b"}))
    tokens = MARKDOWN.parse("\n".join(table_lines(table)))
    cells = [tokens[i + 1].children or [] for i, token in enumerate(tokens) if token.type == "td_open"]
    texts = ["".join(token.content for token in cell) for cell in cells]
    assert texts == [" ".join(cell.split()) for row in rows for cell in row]


def test_the_report_reads_as_a_document(record: RunRecord) -> None:
    text = report_markdown(build_report(record))
    tokens = MARKDOWN.parse(text)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings[:9] == [
        "triage: fine-tuning report",
        "What was asked",
        "Gain",
        "Why",
        "What is served",
        "Cost",
        "Limitations",
        "What to do next",
        "Details",
    ]
    html = [token.content for token in tokens if token.type == "html_block"]
    assert all(re.fullmatch(r"</?details>(<summary>[^<]*</summary>)?\n?", block) for block in html)
    assert "+70.0 points (95% interval +45.0 to +90.0)" in text


@pytest.mark.parametrize("promoted", [True, False])
def test_the_first_page_is_for_people(fixture: RunFixture, promoted: bool) -> None:
    fixture.promoted = promoted
    text = report_markdown(build_report(RunRecord.load(fixture.root, fixture.build())))
    first, details = text.split("# Details")
    for word in ("seed-0", "McNemar", "Planned", "gain.merged"):
        assert word not in first
    assert len(first.split()) < 600
    assert "Planned and measured" in details and "exact McNemar" in details
    next_steps = first.split("## What to do next")[1]
    assert ("hone serve triage" in next_steps) is promoted
    assert ("train.retention" in next_steps) is not promoted


def test_every_row_of_every_table_has_its_columns(record: RunRecord) -> None:
    text = report_markdown(build_report(record))
    widths: list[int] = []
    for line in text.splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            widths = []
        else:
            widths.append(bars)
            assert bars == widths[0]
