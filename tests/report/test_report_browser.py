"""The report in a browser: nothing overflows on a phone or a wide screen, in light, dark and print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_html import report_html
from tests.support.browser import Page
from tests.support.run_fixture import RunFixture

pytestmark = pytest.mark.slow

OVERFLOWING = """
    const width = document.documentElement.clientWidth, found = [];
    const scrolls = element => {
        for (let one = element.parentElement; one; one = one.parentElement)
            if (["auto", "scroll"].includes(getComputedStyle(one).overflowX)) return true;
        return false;
    };
    for (const element of document.body.querySelectorAll("*")) {
        const box = element.getBoundingClientRect();
        if (box.width && (box.right > width + 1 || box.left < -1) && !scrolls(element))
            found.push(element.tagName + " " + element.className + ": " + (element.textContent || "").slice(0, 60));
    }
    return {page: document.documentElement.scrollWidth, width: width, found: found};
"""
"""Elements that reach over the window's edges, those in boxes that scroll by themselves apart."""

TOO_FAINT = """
    const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (let one = element; one; one = one.parentElement) {
            const color = parse(getComputedStyle(one).backgroundColor);
            if (color.length === 3 || color[3] > 0.99) return color;
        }
        return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
    };
    const found = [];
    for (const element of document.body.querySelectorAll("*")) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.getClientRects().length) continue;
        const style = getComputedStyle(element), inSvg = element instanceof SVGElement;
        const [a, b] = [light(parse(inSvg ? style.fill : style.color)), light(behind(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) found.push(contrast.toFixed(2) + " " + element.textContent.trim().slice(0, 60));
    }
    return found;
"""
"""Texts with less contrast than 4.5 to 1 (WCAG 2.2, success criterion 1.4.3)."""


PAPER = 717
"""CSS pixels of an A4 sheet between Chromium's margins: 8.27 in less twice 0.4 in, at 96 an inch."""


@pytest.fixture
def report(record: RunRecord, tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(report_html(build_report(record)), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overflows_and_everything_can_be_read(browser: Page, report: Path, width: int, dark: bool) -> None:
    browser.show(report, width, dark=dark)
    assert browser.run("document.querySelectorAll('details').forEach(one => one.open = true); return 1") == 1
    measured: dict[str, Any] = browser.run(OVERFLOWING)
    assert measured["width"] == width
    assert measured["found"] == [] and measured["page"] <= width
    assert browser.run(TOO_FAINT) == []
    background = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
    drawn = browser.run("return [...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect().width)")
    assert len(drawn) == 7 and all(0 < each <= width for each in drawn), (background, drawn)
    assert browser.picture().startswith(b"\x89PNG")


def test_dark_is_dark_and_light_is_light(browser: Page, report: Path) -> None:
    shades = []
    for dark in (False, True):
        browser.show(report, 1400, dark=dark)
        shades.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    light, dim = (sum(int(part) for part in shade.strip("rgb()").split(",")[:3]) for shade in shades)
    assert light > 3 * 200 and dim < 3 * 80, shades


def test_in_print_nothing_is_folded_away(browser: Page, report: Path) -> None:
    count = "return document.querySelectorAll('details table').length"
    hidden = """
        const seen = table => table.checkVisibility({contentVisibilityAuto: true});
        return [...document.querySelectorAll("table")].filter(one => !seen(one)).map(one => one.ariaLabel);
    """
    browser.show(report, 1400)
    folded = browser.run(count)
    assert folded and len(browser.run(hidden)) == folded  # on the screen they wait to be opened
    browser.show(report, 1400, media="print")
    assert browser.run(hidden) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_sheet_of_paper_holds_every_table_in_ink_that_can_be_read(browser: Page, report: Path, dark: bool) -> None:
    browser.show(report, PAPER, dark=dark, media="print")
    measured = browser.run(OVERFLOWING)
    assert measured["found"] == [] and measured["page"] <= PAPER
    assert browser.run(TOO_FAINT) == []
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_sheet_of_paper_holds_a_word_that_does_not_end(browser: Page, fixture: RunFixture, tmp_path: Path) -> None:
    fixture.spec = {"description": "x" * 300}
    path = tmp_path / "report.html"
    path.write_text(report_html(build_report(RunRecord.load(fixture.root, fixture.build()))), encoding="utf-8")
    browser.show(path, PAPER, media="print")
    measured = browser.run(OVERFLOWING)
    assert measured["found"] == [] and measured["page"] <= PAPER


@pytest.mark.parametrize("width", [400, 1400])
def test_probes_of_bias_fit_a_phone_and_a_wide_screen(browser: Page, probed_report: Path, width: int) -> None:
    browser.show(probed_report, width)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true); return 1")
    measured = browser.run(OVERFLOWING)
    assert measured["found"] == [] and measured["page"] <= width
    assert browser.run("return document.querySelectorAll('#bias svg').length") == 2
