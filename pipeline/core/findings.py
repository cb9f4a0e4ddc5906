"""What the preflight found, in words: for a terminal, an error, a report and a card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.faults import FAULTS
from schemas.preflight import Finding

_NAMED = 5
"""Row numbers that a text names before it counts the rest."""


def named_rows(rows: Iterable[int], total: int | None = None) -> str:
    """Return ``rows 1, 2, 3, 4, 5 and 7 more``; ``total`` is how many there are, where not all of them are given."""
    ordered = sorted(rows)
    total = len(ordered) if total is None else total
    shown = ordered[:_NAMED]
    word = "row" if total == 1 else "rows"
    more = f" and {total - len(shown):,} more" if total > len(shown) else ""
    return f"{word} {', '.join(map(str, shown))}{more}"


def place_of(finding: Finding) -> str:
    """Return where a fault is: its split and rows; empty for a fault of neither."""
    rows = named_rows(finding.rows, finding.count) if finding.rows else ""
    return ", ".join(part for part in (finding.split or "", rows) if part)


def finding_text(finding: Finding) -> str:
    """Return a fault in one line: what it is, where, the detail, and what became of its rows."""
    place = place_of(finding)
    return _text(finding, FAULTS[finding.code].what + (f" ({place})" if place else ""))


def without_place(finding: Finding) -> str:
    """Return a fault in one line, for a table that has a column for the place."""
    return _text(finding, FAULTS[finding.code].what)


def _text(finding: Finding, what: str) -> str:
    detail = f": {finding.detail}" if finding.detail else ""
    return f"{what}{detail}" + (f"; {finding.done}" if finding.done else "")


def standing(finding: Finding) -> str:
    """Return what a finding means for the run, in a word."""
    return "ignored" if finding.ignored else finding.severity


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings as a table shows them: what refuses, then warnings, then what is ignored; by class in each."""
    codes = list(FAULTS)

    def rank(finding: Finding) -> tuple[int, int, str]:
        group = 2 if finding.ignored else int(finding.severity == "warning")
        return group, codes.index(finding.code), finding.split or ""

    return sorted(findings, key=rank)


def refusing(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings for which a run must not go on, worst first."""
    return [finding for finding in ordered(findings) if finding.refuses]
