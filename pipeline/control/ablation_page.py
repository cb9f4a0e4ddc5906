"""An ablation as a page: the effects drawn, and in a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from pipeline.control.ablation import Ablation, Effect
from pipeline.core.numbers import p_value, percent, points
from pipeline.core.workspace import write_atomic
from pipeline.report.page import Bullets, Page, Plot, Section, Table
from pipeline.report.plots import IntervalRow, effect_plot
from pipeline.report.report_html import page_html
from pipeline.report.report_markdown import page_markdown
from pipeline.report.wording import count, level, listed

if TYPE_CHECKING:
    from rich.console import Console

_NUMBERS = ("Score", "Difference", "Bounds", "p")


def ablation_page(found: Ablation) -> Page:
    """Return the page."""
    shown = [effect for effect in found.effects if effect.verdict(found.alpha) in ("better", "worse")]
    told = [f"{effect.setting} is {effect.verdict(found.alpha)}" for effect in shown]
    summary = (
        f"{found.metric} is {_score(found)} as described, the mean of {count(len(found.seeds), 'seed')} on "
        f"{count(found.items, 'item')}. {listed(told) if told else 'No setting was shown to change it'}."
    )
    failed = [f"{effect.setting}: {effect.error}" for effect in found.effects if effect.error is not None]
    sections = [
        Section("effects", "Effects", (_plot(found), _table(found)) if len(failed) < len(found.effects) else ())
    ]
    sections += [Section("failed", "Failed", (Bullets(tuple(failed)),))] if failed else []
    return Page(
        title=f"{found.name}: ablation",
        subtitle=f"Each setting alone, beside run {found.run}",
        tone="open",
        verdict=f"{len(shown)} of {count(len(found.effects), 'setting')} shown to matter",
        summary=summary,
        front=tuple(section for section in sections if section.blocks),
        details=(),
    )


def show_ablation(found: Ablation, out: Console) -> None:
    """Print it for people."""
    from rich import box, table

    page = ablation_page(found)
    out.print(f"{page.verdict}. {page.summary}", markup=False, soft_wrap=True)
    effects = _table(found)
    drawn = table.Table(box=box.SIMPLE, caption=escape(effects.caption))
    for column in effects.columns:
        drawn.add_column(column, justify="right" if column in effects.numeric else "left", overflow="fold")
    for row in effects.rows:
        drawn.add_row(*map(escape, row))
    out.print(drawn)
    for effect in found.effects:
        if effect.error is not None:
            out.print(f"{effect.setting} failed: {effect.error}", markup=False, soft_wrap=True)


def write_ablation(found: Ablation, folder: Path) -> Path:
    """Write ``ablation.json``, ``ablation.md`` and ``ablation.html`` to ``folder``; return the last one's path."""
    page = ablation_page(found)
    write_atomic(folder / "ablation.json", json.dumps(found.as_json(), indent=2) + "\n")
    write_atomic(folder / "ablation.md", page_markdown(page))
    write_atomic(folder / "ablation.html", page_html(page))
    return folder / "ablation.html"


def _score(found: Ablation) -> str:
    return f"{percent(found.score)} [{percent(found.low)} to {percent(found.high)}]"


def _measured(effect: Effect) -> tuple[float, float, float, float, float]:
    assert effect.score is not None and effect.difference is not None and effect.p_value is not None
    assert effect.low is not None and effect.high is not None
    return effect.score, effect.difference, effect.low, effect.high, effect.p_value


def _table(found: Ablation) -> Table:
    rows = [("as described", _score(found), "", "", "", "")]
    for effect in found.effects:
        if effect.error is None:
            score, difference, low, high, p = _measured(effect)
            bounds = f"{100 * low:+.1f} to {100 * high:+.1f}"
            numbers = (percent(score), points(difference).removesuffix(" points"), bounds, p_value(p))
            rows.append((effect.setting, *numbers, effect.verdict(found.alpha)))
    caption = (
        f"{found.metric} on {count(found.items, 'item')}; differences in percentage points with {level(found.alpha)} "
        "intervals of each setting alone, for other seeds and items; p corrected for their number by Holm's method"
    )
    return Table(caption, ("Setting", *_NUMBERS, "Shown"), tuple(rows), frozenset(_NUMBERS))


def _plot(found: Ablation) -> Plot:
    rows = []
    for effect in found.effects:
        if effect.error is None:
            _, difference, low, high, _ = _measured(effect)
            kind = "baseline" if effect.verdict(found.alpha) == "no difference shown" else "tuned"
            rows.append(IntervalRow(effect.setting, difference, low, high, points(difference), kind))
    caption = f"Change of {found.metric} in percentage points, with intervals"
    spoken = "; ".join(f"{row.label}: {row.text} ({100 * row.low:+.1f} to {100 * row.high:+.1f})" for row in rows)
    alternative = f"{caption}. {spoken}."
    return Plot(caption, effect_plot(rows, alternative), alternative)
