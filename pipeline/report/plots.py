"""Plots as SVG text, drawn by hand: a few elements, the same bytes for the same numbers, readable on a phone.

All are 360 units wide, the width of a phone, and scale up. Colours come from the page's style sheet by class, so that
they follow light and dark; shape or dash tells series apart as well as colour does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pipeline.report.wording import clip

WIDTH = 360.0
_LEFT, _RIGHT = 44.0, 348.0
_TOP, _BOTTOM = 12.0, 170.0
_ROW = 36.0
_PAIR = 44.0
_LABEL_LENGTH = 34
_ROW_LABEL_LENGTH = 48


@dataclass(frozen=True)
class IntervalRow:
    """A value in [0, 1] with its interval; ``text`` is how it is written, ``kind`` the class that styles it."""

    label: str
    value: float
    low: float
    high: float
    text: str
    kind: str


@dataclass(frozen=True)
class Series:
    """A line through (x, y) points, sorted by x; ``kind`` is the class that styles it."""

    label: str
    points: tuple[tuple[float, float], ...]
    kind: str


@dataclass(frozen=True)
class Mark:
    """A lettered point with a vertical interval."""

    letter: str
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class CountRow:
    """A bar to the ``right`` for one count and to the ``left`` for another, 0 where there is none."""

    label: str
    right: int
    left: int = 0


@dataclass(frozen=True)
class ShareRow:
    """Two shares of one thing: before and now."""

    label: str
    before: float
    now: float


def count_plot(rows: Sequence[CountRow], alternative: str) -> str:
    """Draw one labeled bar per row on a common scale; counts to the left of its zero line are dashed outlines."""
    most_left, most_right = max(row.left for row in rows), max(row.right for row in rows)
    scale = (_RIGHT - 14) / max(1, most_left + most_right)
    zero = 14 + most_left * scale
    height = _ROW * len(rows) + 6
    parts = []
    for index, row in enumerate(rows):
        y = _ROW * index + 26
        told = f"{row.left:,} / {row.right:,}" if most_left else f"{row.right:,}"
        parts.append(_text(12, y - 9, clip(row.label, _ROW_LABEL_LENGTH), "label", "start"))
        parts.append(_text(_RIGHT, y - 9, told, "label", "end"))
        for start, length, kind in ((zero - row.left * scale, row.left, "baseline"), (zero, row.right, "tuned")):
            if length:
                place = f'x="{start:.1f}" y="{y - 4}" width="{length * scale:.1f}" height="8"'
                parts.append(f'<rect class="bar {kind}" {place}/>')
        parts.append(f'<line class="grid" x1="{zero:.1f}" y1="{y - 6}" x2="{zero:.1f}" y2="{y + 6}"/>')
    return _svg(height, alternative, parts)


def share_plot(rows: Sequence[ShareRow], alternative: str) -> str:
    """Draw two bars per row on a common scale: a share before (dashed outline) and now (filled)."""
    scale = (_RIGHT - 14) / max([0.01, *(max(row.before, row.now) for row in rows)])
    parts = []
    for index, row in enumerate(rows):
        y = _PAIR * index + 26
        parts.append(_text(12, y - 9, clip(row.label, _ROW_LABEL_LENGTH), "label", "start"))
        parts.append(_text(_RIGHT, y - 9, f"{100 * row.before:.1f}% / {100 * row.now:.1f}%", "label", "end"))
        for place, share, kind in ((y - 4, row.before, "baseline"), (y + 6, row.now, "tuned")):
            where = f'x="14.0" y="{place}" width="{max(share * scale, 0.5):.1f}" height="8"'
            parts.append(f'<rect class="bar {kind}" {where}/>')
    return _svg(_PAIR * len(rows) + 6, alternative, parts)


def interval_plot(rows: Sequence[IntervalRow], alternative: str) -> str:
    """Draw one labeled strip per row on a common axis from 0% to 100%."""
    height = _ROW * len(rows) + 24
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _share_x(share)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{height - 18:.1f}"/>')
        parts.append(_text(x, height - 4, f"{100 * share:.0f}%", "tick", "middle"))
    for index, row in enumerate(rows):
        y = _ROW * index + 26
        low, value, high = (_share_x(min(max(share, 0.0), 1.0)) for share in (row.low, row.value, row.high))
        parts.append(_text(12, y - 9, clip(row.label, _ROW_LABEL_LENGTH), "label", "start"))
        parts.append(_text(_RIGHT, y - 9, row.text, "label", "end"))
        parts.append(f'<line class="interval {row.kind}" x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<circle class="dot {row.kind}" cx="{value:.1f}" cy="{y:.1f}" r="4.5"/>')
    return _svg(height, alternative, parts)


def effect_plot(rows: Sequence[IntervalRow], alternative: str) -> str:
    """Draw one labeled strip per row, of differences between shares, on a common axis with 0 in its middle."""
    reach = max([0.01, *(abs(end) for row in rows for end in (row.low, row.high))])
    height = _ROW * len(rows) + 24
    parts = []
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        x = _share_x((1 + share) / 2)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{height - 18:.1f}"/>')
        anchor = {-1.0: "start", 1.0: "end"}.get(share, "middle")
        parts.append(_text(x, height - 4, f"{100 * reach * share:+.1f}" if share else "0", "tick", anchor))
    for index, row in enumerate(rows):
        y = _ROW * index + 26
        low, value, high = (_share_x((1 + each / reach) / 2) for each in (row.low, row.value, row.high))
        parts.append(_text(12, y - 9, clip(row.label, _ROW_LABEL_LENGTH), "label", "start"))
        parts.append(_text(_RIGHT, y - 9, row.text, "label", "end"))
        parts.append(f'<line class="interval {row.kind}" x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<circle class="dot {row.kind}" cx="{value:.1f}" cy="{y:.1f}" r="4.5"/>')
    return _svg(height, alternative, parts)


def line_plot(series: Sequence[Series], x_label: str, y_label: str, alternative: str, *, y_digits: int = 2) -> str:
    """Draw lines over a common pair of axes; a series of one point is a dot."""
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points]
    x_range, y_range = (min(xs), max(xs)), (min(0.0, *ys), max(ys))
    parts = _axes(x_range, y_range, x_label, y_label, digits=(0, y_digits))
    for index, line in enumerate(series):
        placed = [(_place(x, x_range, _LEFT, _RIGHT), _place(y, y_range, _BOTTOM, _TOP)) for x, y in line.points]
        if len(placed) == 1:
            parts.append(f'<circle class="dot {line.kind}" cx="{placed[0][0]:.1f}" cy="{placed[0][1]:.1f}" r="3.5"/>')
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            parts.append(f'<polyline class="line {line.kind}" points="{path}"/>')
        y = _BOTTOM + 46 + 16 * index
        parts.append(f'<line class="line {line.kind}" x1="{_LEFT}" y1="{y - 4}" x2="{_LEFT + 24}" y2="{y - 4}"/>')
        parts.append(_text(_LEFT + 32, y, clip(line.label, _LABEL_LENGTH), "label", "start"))
    return _svg(_BOTTOM + 42 + 16 * len(series), alternative, parts)


def mark_plot(marks: Sequence[Mark], x_label: str, y_label: str, alternative: str) -> str:
    """Draw lettered points with vertical intervals; the y axis is in percent and covers the intervals."""
    x_range = (0.0, max(mark.x for mark in marks) * 1.08)
    lowest, highest = min(mark.low for mark in marks), max(mark.high for mark in marks)
    room = max((highest - lowest) * 0.1, 0.01)
    y_range = (100 * max(0.0, lowest - room), 100 * min(1.0, highest + room))
    parts = _axes(x_range, y_range, x_label, y_label, digits=(1, 0))
    for mark in marks:
        x = _place(mark.x, x_range, _LEFT, _RIGHT)
        low, y, high = (_place(100 * value, y_range, _BOTTOM, _TOP) for value in (mark.low, mark.y, mark.high))
        parts.append(f'<line class="interval variant" x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}"/>')
        parts.append(f'<circle class="dot variant" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
        parts.append(_text(x - 8, y - 6, mark.letter, "label strong", "end"))
    return _svg(_BOTTOM + 34, alternative, parts)


def _axes(
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    x_label: str,
    y_label: str,
    digits: tuple[int, int],
) -> list[str]:
    parts = []
    for step in range(5):
        value = y_range[0] + (y_range[1] - y_range[0]) * step / 4
        y = _BOTTOM - (_BOTTOM - _TOP) * step / 4
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_RIGHT}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 4, y + 3.5, f"{value:.{digits[1]}f}", "tick", "end"))
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        value = x_range[0] + (x_range[1] - x_range[0]) * share
        parts.append(_text(_LEFT + (_RIGHT - _LEFT) * share, _BOTTOM + 14, f"{value:,.{digits[0]}f}", "tick", anchor))
    parts.append(_text((_LEFT + _RIGHT) / 2, _BOTTOM + 28, f"{x_label} (across), {y_label} (up)", "tick", "middle"))
    return parts


def _share_x(share: float) -> float:
    return 14 + (WIDTH - 28) * share


def _place(value: float, limits: tuple[float, float], start: float, end: float) -> float:
    low, high = limits
    return (start + end) / 2 if high == low else start + (end - start) * (value - low) / (high - low)


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, alternative: str, parts: Sequence[str]) -> str:
    described = escape(alternative, quote=True)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH:.0f} {height:.0f}"'
    return f'{opening} aria-label="{described}">{"".join(parts)}</svg>'
