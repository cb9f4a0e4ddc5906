"""The first page: ship or not and why, the gain, what is served, the cost, and what the numbers cannot show."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.numbers import p_value, percent, points
from pipeline.report.page import Block, Bullets, Paragraph, Plot, Section, Table, Tone
from pipeline.report.plots import IntervalRow, interval_plot
from pipeline.report.types import Answer, Report, Statement, SubjectScores
from pipeline.report.wording import count, difference_range, dollars, level, listed, score_text, seconds, size

VERDICTS: dict[Answer, str] = {"ship": "Ship", "do not ship": "Do not ship", "undecided": "Not decided"}
TONES: dict[Answer, Tone] = {"ship": "good", "do not ship": "bad", "undecided": "open"}


def front_page(report: Report) -> tuple[Section, ...]:
    """Return the sections of the first page."""
    served = served_text(report)
    return (
        Section("asked", "What was asked", (Table("", ("", ""), tuple((f.name, f.text) for f in report.asked)),)),
        Section("gain", "Gain", tuple(_gain(report))),
        Section("why", "Why", (Bullets(report.reasons),)),
        *((Section("served", "What is served", (Paragraph(served),)),) if served is not None else ()),
        Section("cost", "Cost", tuple(Paragraph(text) for text in _cost(report))),
        Section("limitations", "Limitations", (Bullets(report.limitations),)),
        Section("next", "What to do next", (Bullets(report.next_steps),)),
    )


def summary_text(report: Report) -> str:
    """Return the verdict's one sentence: better or not, target reached or not, and what else was not met."""
    if report.answer == "undecided":
        return "The run has not come to a decision."
    parts = [f"The tuned model is {_standing(report)} the best baseline"]
    if report.target_reached is not None:
        parts.append(f"the target is {'reached' if report.target_reached else 'missed'}")
    failed = [item for item in report.statements if item.outcome == "not met"]
    others = list(dict.fromkeys(_label(item) for item in failed if _label(item) not in ("gain", "target")))
    if others:
        parts.append(f"not met: {listed(others)}")
    elif not failed:
        parts.append("every other condition is met")
    waived = sum(item.outcome == "waived" for item in report.statements)
    if waived:
        parts.append(f"{count(waived, 'condition')} waived")
    return "; ".join(parts) + "."


def _standing(report: Report) -> str:
    gain = report.gain
    if report.better_than_baseline:
        return "better than"
    worse = gain is not None and gain.difference < 0 and gain.p_value <= report.alpha
    return "worse than" if worse else "not shown to be better than"


def _label(statement: Statement) -> str:
    """Return a condition in a few words."""
    kind, _, name = statement.name.partition(".")
    named = {
        "retention": f"keeping what the base could do{f' ({name})' if name else ''}",
        "variant": f"the variant {name}",
        "parity": "being served as it was trained",
        "bias": f"bias within bounds{f' ({name})' if name else ''}",
        "judge": f"being preferred by the judge{f' to {name}' if name else ''}",
    }
    return named.get(kind, kind)


def gain_text(report: Report) -> str | None:
    """Return the gain in plain words with its interval, p and n; None where nothing was compared."""
    gain = report.gain
    if gain is None:
        return None
    moved = "rose" if gain.difference > 0 else "fell" if gain.difference < 0 else "stayed"
    chance = "hardly makes" if gain.p_value <= report.alpha else "may well make"
    return (
        f"{gain.metric} {moved} from {percent(gain.reference_value)} ({_title(report, gain.reference)}, the best "
        f"baseline) to {percent(gain.candidate_value)} on the same {count(gain.n, 'test item')}: "
        f"{points(gain.difference)} ({level(report.alpha)} interval {difference_range(gain)}), which chance alone "
        f"{chance} ({p_value(gain.p_value)})."
    )


def _title(report: Report, name: str) -> str:
    titles = {subject.name: subject.title for subject in report.subjects}
    title = titles.get(name, name)
    return title[:1].lower() + title[1:] if not title.startswith("TF-IDF") else title


def _gain(report: Report) -> Iterator[Block]:
    text = gain_text(report)
    yield Paragraph(text or "No gain was measured.")
    measured = [subject for subject in report.subjects if report.primary_metric in subject.scores]
    if measured:
        yield score_plot(f"{report.primary_metric} with 95% intervals", measured, report.primary_metric)


def score_plot(caption: str, subjects: list[SubjectScores], metric: str) -> Plot:
    """Draw the scores of ``subjects`` on one metric."""
    rows = [
        IntervalRow(
            label=subject.title,
            value=subject.scores[metric].value,
            low=subject.scores[metric].low,
            high=subject.scores[metric].high,
            text=percent(subject.scores[metric].value),
            kind=subject.role,
        )
        for subject in subjects
    ]
    spoken = "; ".join(f"{subject.title}: {score_text(subject.scores[metric])}" for subject in subjects)
    alternative = f"{caption}. {spoken}."
    return Plot(caption, interval_plot(rows, alternative), alternative)


def served_text(report: Report) -> str | None:
    """Return which form takes the requests, and how it was tried; None before there is a decision."""
    if report.served_variant is None:
        return None
    bytes_ = next((row.size_bytes for row in report.variants if row.name == report.served_variant), None)
    form = f"{report.served_variant}, {size(bytes_)}" if bytes_ is not None else report.served_variant
    version, parity = report.registration, report.parity
    named = f"Version {version.version}" if version.version is not None else "The version"
    if version.aliases:
        named += f" ({listed(version.aliases)})"
    if parity is None:
        return f"{named} was not tried in a server; it is {form}."
    tried = f"tried with {parity.engine} {parity.engine_version} on {count(parity.prompts, 'prompt')}"
    state = "" if version.aliases or version.version is None else " It takes no traffic: no alias points at it."
    return f"{named} as {form}, {tried}.{state}"


def _cost(report: Report) -> Iterator[str]:
    if report.costs:
        processor, elapsed = (
            seconds(sum(getattr(cost, name) for cost in report.costs)) for name in ("cpu_seconds", "wall_seconds")
        )
        peak = size(max(cost.peak_memory_bytes for cost in report.costs))
        yield f"{processor} of CPU time and {elapsed} in all on the machine that ran it, with at most {peak} of memory."
    if report.gpu is not None:
        many = f"{report.gpu.count} x " if report.gpu.count > 1 else ""
        yield (
            f"On the recommended GPU ({many}{report.gpu.gpu}) the whole run is estimated to take "
            f"{seconds(report.gpu.seconds)} and to cost {dollars(report.gpu.dollars)}, at prices of "
            f"{report.gpu.prices_dated}."
        )
