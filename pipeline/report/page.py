"""The building blocks of a laid-out report: Markdown and HTML are two ways to write the same blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "bad", "open"]


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of statements."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text. ``numeric`` columns are set flush right; a ``folded`` table is shown on demand where possible."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()
    folded: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawing as SVG text; ``alternative`` says in words what it shows, with its numbers."""

    caption: str
    svg: str
    alternative: str


@dataclass(frozen=True)
class Example:
    """One item in parts: (name, text as a model or a file has it)."""

    title: str
    parts: tuple[tuple[str, str], ...]


Block = Paragraph | Bullets | Table | Plot | Example


@dataclass(frozen=True)
class Section:
    """A heading with its blocks; ``anchor`` is its address on the page."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


def filled(parts: Iterable[tuple[str, str, Iterable[Block]]]) -> Iterator[Section]:
    """Yield a section for each (anchor, title, blocks) that has something to show."""
    sections = (Section(anchor, title, tuple(blocks)) for anchor, title, blocks in parts)
    yield from (section for section in sections if section.blocks)


@dataclass(frozen=True)
class Page:
    """A whole report: ``front`` is the first page, for people; ``details`` is the evidence."""

    title: str
    subtitle: str
    tone: Tone
    verdict: str
    summary: str
    front: tuple[Section, ...]
    details: tuple[Section, ...]
