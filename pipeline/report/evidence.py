"""The measured part of a report's details: scores, tests, seeds, slices, retention, variants, gate, errors, changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from string import ascii_uppercase

from pipeline.core.numbers import amount, p_value, percent, points
from pipeline.report import measures
from pipeline.report.bias import TITLE, bias_blocks
from pipeline.report.conditions import outcome_text
from pipeline.report.front_page import score_plot
from pipeline.report.human import human_blocks
from pipeline.report.judged import judged_blocks
from pipeline.report.mistakes import changes, confusions, worst
from pipeline.report.page import Block, Bullets, Paragraph, Plot, Section, Table, filled
from pipeline.report.plots import IntervalRow, Mark, interval_plot, mark_plot
from pipeline.report.slices import slices
from pipeline.report.types import Report, VariantRow
from pipeline.report.wording import difference_range, level, score_range, score_text, size
from schemas.evaluate import Score
from schemas.register import Comparison, Condition

_SCORE = ("Score", "95% interval", "n")
_ANSWER_LENGTH = 240
_PROMPT_LENGTH = 480
_CONFUSION_LENGTH = 120


def evidence(report: Report) -> Iterator[Section]:
    """Yield the sections that have something to show."""
    yield from filled(
        (
            ("gate", "The gate, condition by condition", _gate(report)),
            ("scores", "Baselines and tuned model", _scores(report)),
            ("measures", measures.TITLE, measures.measure_blocks(report.subjects)),
            ("tests", "Paired tests on the same items", _tests(report)),
            ("judge", "What the judge says", judged_blocks(report.judgements, report.alpha)),
            ("human", "What people say", human_blocks(report.human)),
            ("seeds", "Spread over seeds", _seeds(report)),
            ("slices", "By kind of item", slices(report)),
            ("retention", "What the base could do before", _retention(report)),
            ("bias", TITLE, bias_blocks(report.bias, report.bias_comparisons, report.alpha)),
            ("variants", "Variants: size and score", _variants(report)),
            ("confusions", "Worst confusions", confusions(report)),
            ("changes", "What tuning fixed and broke", changes(report)),
            ("worst", "Worst items", worst(report)),
        )
    )


def score_cells(score: Score | None) -> tuple[str, str, str]:
    """Return score, interval and n for a table."""
    return (percent(score.value), score_range(score), f"{score.n:,}") if score is not None else ("not measured", "", "")


def _gate(report: Report) -> Iterator[Block]:
    if report.conditions:
        numeric = ("Estimate", "Bounds", "n", "Threshold")
        yield Table(
            "As measured; a condition that does not decide is marked",
            ("Condition", "Outcome", *numeric),
            tuple(_condition_row(condition) for condition in report.conditions),
            frozenset(numeric),
        )
        yield Bullets(tuple(f"{condition.name}: {condition.text}" for condition in report.conditions))


_WRITTEN: dict[str, Callable[[float], str]] = {"parity": "{:,.0f}".format, "budget": amount}
"""How the numbers of a kind of condition are written, where they are no shares."""


def _condition_row(condition: Condition) -> tuple[str, ...]:
    write = _WRITTEN.get(condition.name.partition(".")[0], percent)

    def written(value: float | None) -> str:
        return "" if value is None else write(value)

    bounds = (
        f"{written(condition.low)} to {written(condition.high)}"
        if condition.low is not None and condition.high is not None
        else f"at least {written(condition.low)}"
        if condition.low is not None
        else ""
    )
    estimate = written(condition.estimate) or "not measured"
    n = f"{condition.n:,}" if condition.n is not None else ""
    return condition.name, outcome_text(condition), estimate, bounds, n, written(condition.threshold)


def _scores(report: Report) -> Iterator[Block]:
    metrics = list(dict.fromkeys(metric for subject in report.subjects for metric in subject.scores))
    if report.primary_metric in metrics:
        metrics.sort(key=lambda metric: metric != report.primary_metric)
    for metric in metrics:
        measured = [subject for subject in report.subjects if metric in subject.scores]
        deciding = ", the metric that decides" if metric == report.primary_metric else ""
        yield Table(
            f"{metric}{deciding}",
            ("Subject", *_SCORE, "Cut answers", "Engine"),
            tuple((s.title, *score_cells(s.scores[metric]), f"{s.truncated:,}", s.engine) for s in measured),
            frozenset({*_SCORE, "Cut answers"}),
        )
        if metric != report.primary_metric:
            yield score_plot(f"{metric} with 95% intervals", measured, metric)


def _tests(report: Report) -> Iterator[Block]:
    groups = (
        ("Against the baselines", report.baseline_comparisons),
        ("Variants against their parent", report.variant_comparisons),
        ("The base's own tasks, after against before", report.retention_comparisons),
        ("What is protected, against the best baseline", report.protected_comparisons),
    )
    yield from (_test_table(caption, rows, report.alpha) for caption, rows in groups if rows)


def _test_table(caption: str, comparisons: Sequence[Comparison], alpha: float) -> Table:
    numeric = ("Difference", f"{level(alpha)} interval", "p", "n", "Won / lost")
    return Table(
        f"{caption}; difference in percentage points; won / lost: items that only one of the two got right",
        ("Candidate", "Reference", "Metric", *numeric, "Test"),
        tuple(_test_row(item) for item in comparisons),
        frozenset(numeric),
    )


def _test_row(item: Comparison) -> tuple[str, ...]:
    counted = item.only_candidate is not None and item.only_reference is not None
    return (
        item.candidate,
        item.reference,
        f"{item.metric} ({only})" if (only := item.task or item.part) is not None else item.metric,
        points(item.difference).removesuffix(" points"),
        difference_range(item),
        p_value(item.p_value).removeprefix("p ").removeprefix("= "),
        f"{item.n:,}",
        f"{item.only_candidate:,} / {item.only_reference:,}" if counted else "graded",
        f"{item.test}; interval: {item.interval}",
    )


def _seeds(report: Report) -> Iterator[Block]:
    seeds = report.seeds
    if seeds is None:
        return
    by_name = {subject.name: subject.scores.get(report.primary_metric) for subject in report.subjects}
    yield Table(
        f"{report.primary_metric} on the test items",
        ("Seed", *_SCORE),
        tuple((name, *score_cells(by_name.get(name))) for name in seeds.values),
        frozenset(_SCORE),
    )
    if seeds.standard_deviation is not None and seeds.low is not None and seeds.high is not None:
        interval = f"{level(report.alpha)} t-interval of the mean {percent(seeds.low)} to {percent(seeds.high)}"
        spread = points(seeds.standard_deviation).lstrip("+")
        yield Paragraph(
            f"Mean {percent(seeds.mean)}, standard deviation {spread}, {interval} (n = {len(seeds.values)} seeds)."
        )
    else:
        yield Paragraph("With one seed there is no spread to state.")


def _retention(report: Report) -> Iterator[Block]:
    if report.retention_waived is not None:
        yield Paragraph(f"Waived, in these words: {report.retention_waived}")
    if not report.retention:
        return
    yield Table(
        "The base's own tasks before and after training",
        ("Task", "Metric", "Moment", *_SCORE),
        tuple(
            (row.task, row.metric, moment, *score_cells(score))
            for row in report.retention
            for moment, score in (("before", row.before), ("after", row.after))
        ),
        frozenset(_SCORE),
    )
    drawn = [
        IntervalRow(f"{row.task}, {moment}", score.value, score.low, score.high, percent(score.value), kind)
        for row in report.retention
        for moment, score, kind in (("before", row.before, "baseline"), ("after", row.after, "tuned"))
        if score is not None
    ]
    spoken = "; ".join(
        f"{row.task} {moment}: {score_text(score)}"
        for row in report.retention
        for moment, score in (("before", row.before), ("after", row.after))
        if score is not None
    )
    if drawn:
        alternative = f"Retention with 95% intervals. {spoken}."
        yield Plot("Retention with 95% intervals", interval_plot(drawn, alternative), alternative)


def _variants(report: Report) -> Iterator[Block]:
    if not report.variants:
        return
    letters = dict(zip((row.name for row in report.variants), ascii_uppercase, strict=False))
    numeric = ("Size", "Of parent", "Bytes per weight", "Logit difference", *_SCORE)
    yield Table(
        f"{report.primary_metric} by variant; logit difference to the parent, relative to its largest logit",
        ("Variant", "Mark", "Scheme", *numeric),
        tuple(_variant_cells(row, letters.get(row.name, "")) for row in report.variants),
        frozenset(numeric),
    )
    plot = _variant_plot([row for row in report.variants if row.name in letters], letters, report.primary_metric)
    if plot is not None:
        yield plot


def _variant_cells(row: VariantRow, letter: str) -> tuple[str, ...]:
    return (
        row.name,
        letter,
        row.scheme,
        size(row.size_bytes),
        percent(row.size_bytes / row.parent_size_bytes) if row.parent_size_bytes else "",
        f"{row.bytes_per_parameter:.2f}",
        f"{row.logit_difference:.2g}",
        *score_cells(row.score),
    )


def _variant_plot(rows: Sequence[VariantRow], letters: dict[str, str], metric: str) -> Plot | None:
    scored = [(row, row.score) for row in rows if row.score is not None]
    if not scored:
        return None
    marks = [Mark(letters[row.name], row.size_bytes / 1e6, score.value, score.low, score.high) for row, score in scored]
    spoken = "; ".join(
        f"{letters[row.name]}, {row.name}: {size(row.size_bytes)}, {score_text(score)}" for row, score in scored
    )
    alternative = f"Size and {metric} of the variants. {spoken}."
    return Plot("Size and score with 95% intervals", mark_plot(marks, "MB", f"{metric} in %", alternative), alternative)
