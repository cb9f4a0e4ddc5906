from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.report.plots import IntervalRow, interval_plot
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_html import report_html
from tests.support.run_fixture import RunFixture

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "source", "wbr", "area", "base", "embed", "track"}
CLOSED_SVG = {"line", "circle", "polyline", "path", "rect"}


class Outline(HTMLParser):
    """Checks that every element that opens is closed in order, and keeps what the tests ask for."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in CLOSED_SVG
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def html(record: RunRecord) -> str:
    return report_html(build_report(record))


def test_the_page_is_well_formed_and_complete(html: str) -> None:
    page = outline(html)
    assert html.lstrip().lower().startswith("<!doctype html>")
    tags = [tag for tag, _ in page.elements]
    assert tags.count("h1") == 1 and tags.count("main") == 1 and tags.count("title") == 1
    text = " ".join(page.text)
    for heading in ("What was asked", "Why", "Gain", "Cost", "Limitations", "Lineage", "Configuration"):
        assert heading in text


def test_nothing_outside_the_file_is_referred_to(html: str) -> None:
    page = outline(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "img", "base", "form"}
        assert not any(name.startswith("on") or name in ("src", "srcset", "style", "action") for name in attributes)
        if "href" in attributes:
            assert (attributes["href"] or "").removeprefix("#") in ids
    assert not re.search(r"url\(|@import|@font-face", html)
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_every_plot_has_a_text_alternative_with_its_numbers(html: str) -> None:
    page = outline(html)
    plots = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(plots) == 7  # scores, reliability, retention, variants, confusions, changes, loss
    for attributes in plots:
        assert attributes["role"] == "img"
        assert re.search(r"\d", attributes["aria-label"] or "")
    assert any("n = 20" in (attributes["aria-label"] or "") for attributes in plots)


def test_what_a_model_answers_cannot_become_markup(html: str) -> None:
    page = outline(html)
    assert '<script>alert("x")</script> | a↵b ␀ <U+202E>tfel' in "".join(page.text)
    assert "\u202e" not in html and "\x00" not in html


def test_light_dark_print_and_phone_are_provided_for(html: str) -> None:
    assert "prefers-color-scheme: dark" in html and "@media print" in html
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in html


@pytest.mark.parametrize("until", ["plan", "data", "train.seed-0", "evaluate.seed-0", "serve"])
def test_a_run_that_stopped_anywhere_has_a_page(fixture: RunFixture, until: str) -> None:
    page = outline(report_html(build_report(RunRecord.load(fixture.root, fixture.build(until=until)))))
    assert "Not decided" in " ".join(page.text)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label=st.text(max_size=60), value=st.floats(0, 1))
def test_any_label_gives_a_well_formed_plot(label: str, value: float) -> None:
    row = IntervalRow(label=label, value=value, low=value, high=value, text=label, kind="tuned")
    plot = interval_plot([row], alternative=label)
    assert next(tag for tag, _ in outline(plot).elements) == "svg"


def test_an_interval_is_drawn_where_its_numbers_are() -> None:
    row = IntervalRow(label="tuned", value=0.5, low=0.25, high=1.0, text="50.0%", kind="tuned")
    page = outline(interval_plot([row], alternative="x"))
    # the axis runs from 14 (0%) to 346 (100%): 25% is 14 + 332/4 = 97, 50% is 180
    interval = next(a for tag, a in page.elements if tag == "line" and "interval" in (a["class"] or ""))
    dot = next(a for tag, a in page.elements if tag == "circle")
    assert (interval["x1"], interval["x2"], dot["cx"]) == ("97.0", "346.0", "180.0")
