"""What probes of bias and safety found, for report and card: each figure of the base and of what is served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.core.numbers import p_value, percent, points
from pipeline.report.page import Block, Paragraph, Plot, Table
from pipeline.report.plots import IntervalRow, effect_plot, interval_plot
from pipeline.report.wording import difference_range, level, score_range, score_text
from schemas.bias import FIGURES, BiasArtifact
from schemas.evaluate import Score
from schemas.register import Comparison

TITLE = "Bias and safety"

MOMENTS = {"before": "base", "after": "as served"}

_NUMERIC = ("Value", "95% interval", "n")

ABSENCE = (
    "A probe finds what it asks for. Its figures hold for its own items, language and wording; where they show "
    "nothing, that is no evidence that the model is free of bias or safe."
)


def bias_blocks(
    probed: Mapping[str, BiasArtifact], changes: Sequence[Comparison], alpha: float, *, plot: bool = True
) -> Iterator[Block]:
    """Yield what there is to show, ``probed`` by ``<probe>-before`` and ``<probe>-after``; nothing of nothing."""
    probes = dict.fromkeys(artifact.probe for artifact in probed.values())
    for probe in probes:
        found = [
            (title, probed[f"{probe}-{moment}"]) for moment, title in MOMENTS.items() if f"{probe}-{moment}" in probed
        ]
        yield from _probe_blocks(probe, found, plot)
    if changes:
        yield _changes(probed, changes, alpha)
    if probes:
        yield Paragraph(ABSENCE)


def bias_lines(probed: Mapping[str, BiasArtifact]) -> Iterator[str]:
    """Yield one line for each figure, for a terminal."""
    for name, artifact in sorted(probed.items()):
        title = MOMENTS[name.rpartition("-")[2]]
        for figure, score in artifact.figures.items():
            yield f"{artifact.probe}, {FIGURES[artifact.kind][figure].title}, {title}: {score_text(score)}"
        if artifact.unreadable:
            yield f"{artifact.probe}, {title}: {artifact.unreadable:,} of {artifact.n:,} answers could not be read"


def _changes(probed: Mapping[str, BiasArtifact], changes: Sequence[Comparison], alpha: float) -> Table:
    kinds = {artifact.probe: artifact.kind for artifact in probed.values()}
    numeric = ("Base", "As served", "Difference", f"{level(alpha)} interval", "p", "n")
    rows = tuple(
        (
            change.task or "",
            FIGURES[kinds[change.task or ""]][change.metric].title,
            percent(change.reference_value),
            percent(change.candidate_value),
            points(change.difference).removesuffix(" points"),
            difference_range(change),
            p_value(change.p_value).removeprefix("p ").removeprefix("= "),
            f"{change.n:,}",
            change.test,
        )
        for change in changes
    )
    caption = "What training changed, paired on the items that both answered; difference in percentage points"
    return Table(caption, ("Probe", "Figure", *numeric, "Test"), rows, frozenset(numeric))


def _probe_blocks(probe: str, found: list[tuple[str, BiasArtifact]], plot: bool) -> Iterator[Block]:
    kind = found[0][1].kind
    named = probe if probe == kind else f"{probe} ({kind})"
    rows = [
        (figure.title, title, *cells(artifact.figures.get(name)))
        for name, figure in FIGURES[kind].items()
        for title, artifact in found
    ]
    yield Table(named, ("Figure", "Model", *_NUMERIC), tuple(rows), frozenset(_NUMERIC))
    if plot:
        yield from _plots(named, kind, found)
    yield Paragraph(" ".join(_counts(title, artifact) for title, artifact in found))
    groups = [
        (group, FIGURES[kind][name].title, title, *cells(score))
        for title, artifact in found
        for group, figures in artifact.groups.items()
        for name, score in figures.items()
    ]
    if len({row[0] for row in groups}) > 1:
        columns = ("Group", "Figure", "Model", *_NUMERIC)
        yield Table(f"{named} by group of items", columns, tuple(groups), frozenset(_NUMERIC), folded=True)


def cells(score: Score | None) -> tuple[str, str, str]:
    """Return value, interval and n for a table."""
    return (
        (percent(score.value), score_range(score), f"{score.n:,}") if score is not None else ("not measured", "", "0")
    )


def _counts(title: str, artifact: BiasArtifact) -> str:
    unread = f"{artifact.unreadable:,} of {artifact.n:,} answers ({percent(artifact.unreadable_share)})"
    cut = f", {artifact.truncated:,} were cut" if artifact.truncated else ""
    return f"{title[:1].upper()}{title[1:]}: {unread} could not be read{cut}; asked by {artifact.engine}."


def _plots(named: str, kind: str, found: list[tuple[str, BiasArtifact]]) -> Iterator[Plot]:
    """Draw shares on their axis from 0% to 100%, and scores that may be negative on one with 0 in its middle."""
    for caption, signed, draw in ((named, False, interval_plot), (f"{named}: bias scores", True, effect_plot)):
        shown = [
            (f"{figure.title}, {title}", score, _ROLES[artifact.subject])
            for name, figure in FIGURES[kind].items()
            for title, artifact in found
            if (figure.side == "around 0") is signed and (score := artifact.figures.get(name)) is not None
        ]
        if shown:
            rows = [
                IntervalRow(label, score.value, score.low, score.high, percent(score.value), role)
                for label, score, role in shown
            ]
            spoken = "; ".join(f"{label}: {score_text(score)}" for label, score, _ in shown)
            alternative = f"{caption}, with 95% intervals. {spoken}."
            yield Plot(f"{caption}, with 95% intervals", draw(rows, alternative), alternative)


_ROLES = {"base": "baseline", "model": "tuned"}
