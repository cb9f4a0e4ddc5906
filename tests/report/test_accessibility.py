"""The report as assistive technology has it: Chromium's own accessibility tree, and what can be seen and reached.

The criteria are those of WCAG 2.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.control.ablation_page import write_ablation
from tests.control.test_ablation import FOUND
from tests.support.browser import Page

pytestmark = pytest.mark.slow

NAMED = ("heading", "image", "link", "table", "columnheader", "rowheader", "navigation", "DisclosureTriangle")
"""Roles that say nothing without a name (1.1.1, 1.3.1, 2.4.4, 4.1.2)."""

TOO_FAINT_SHAPES = """
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = text => text.match(/[\\d.]+/g).slice(0, 3)
        .reduce((sum, v, i) => sum + linear(v / 255) * [0.2126, 0.7152, 0.0722][i], 0);
    const paper = light(getComputedStyle(document.body).backgroundColor), found = [];
    const contrast = paint => {
        if (paint === "none") return 1;
        const ink = light(paint);
        return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    };
    for (const shape of document.querySelectorAll("svg :is(line, circle, polyline, rect):not(.grid)")) {
        const style = getComputedStyle(shape), best = Math.max(contrast(style.stroke), contrast(style.fill));
        if (best < 3) found.push(best.toFixed(2) + " " + shape.tagName + " " + shape.getAttribute("class"));
    }
    return found;
"""
"""Shapes that carry a number with less contrast than 3 to 1 (1.4.11); the grid only helps the eye."""

UNREACHABLE = """
    return [...document.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth)
        .filter(one => one.tabIndex !== 0 || !one.ariaLabel)
        .map(one => one.textContent.trim().slice(0, 60));
"""
"""Boxes that scroll but that Tab does not reach in every browser (2.1.1), or that have no name there (4.1.2)."""


def spoken(browser: Page) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield role, name and properties of all that the loaded page tells a screen reader, everything unfolded."""
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true); return 1")
    for node in browser.devtools("Accessibility.getFullAXTree")["nodes"]:
        if not node["ignored"]:
            properties = {each["name"]: each["value"].get("value") for each in node.get("properties", ())}
            yield node["role"]["value"], node.get("name", {}).get("value", "").strip(), properties


def check_outline(browser: Page) -> list[tuple[str, str, dict[str, Any]]]:
    """Check names and heading levels of the loaded page, and return what it tells."""
    told = list(spoken(browser))
    assert [role for role, name, _ in told if role in NAMED and not name] == []
    levels = [properties["level"] for role, _, properties in told if role == "heading"]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(deeper <= level + 1 for level, deeper in pairwise(levels)), levels
    return told


def test_a_screen_reader_is_told_headings_tables_and_plots_by_name(browser: Page, probed_report: Path) -> None:
    browser.show(probed_report, 1400)
    told = check_outline(browser)
    roles = [role for role, _, _ in told]
    elements = browser.run("return ['svg', 'table', 'h1, h2, h3'].map(one => document.querySelectorAll(one).length)")
    assert [roles.count(role) for role in ("image", "table", "heading")] == elements and min(elements) > 8
    assert all(any(sign.isdigit() for sign in name) for role, name, _ in told if role == "image")
    # every row of every body has one header, every other cell of it is data
    assert browser.run("return document.querySelectorAll('tbody tr').length") == roles.count("rowheader")
    links = [name for role, name, _ in told if role == "link"]
    assert len(links) == len(set(links)) == browser.run("return document.querySelectorAll('nav li').length")


def test_an_ablation_is_told_as_well(browser: Page, tmp_path: Path) -> None:
    browser.show(write_ablation(FOUND, tmp_path), 1400)
    told = check_outline(browser)
    assert "Details" not in [name for role, name, _ in told if role == "heading"]  # there is nothing below it


@pytest.mark.parametrize(
    ("dark", "media"), [(False, "screen"), (True, "screen"), (True, "print")], ids=["light", "dark", "print"]
)
def test_what_a_plot_draws_stands_out_from_its_paper(
    browser: Page, probed_report: Path, dark: bool, media: str
) -> None:
    browser.show(probed_report, 400, dark=dark, media=media)
    assert browser.run(TOO_FAINT_SHAPES) == []


def test_a_keyboard_reaches_all_that_scrolls_on_a_phone(browser: Page, probed_report: Path) -> None:
    browser.show(probed_report, 400)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true); return 1")
    wide = "return [...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    assert browser.run(wide) > 3
    assert browser.run(UNREACHABLE) == []
