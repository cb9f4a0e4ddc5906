"""What a judge said, for report and card: win rates, agreement with people, what moves it beside the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.core.numbers import p_value, percent
from pipeline.report.page import Block, Paragraph, Table
from pipeline.report.wording import level, score_range
from schemas.evaluate import Score
from schemas.judge import Agreement, Biases, JudgeArtifact


def judged_blocks(judgements: Mapping[str, JudgeArtifact], alpha: float) -> Iterator[Block]:
    """Yield what there is to show; nothing where nobody judged."""
    distinct = {judged.baseline or name: judged for name, judged in judgements.items()}
    if not distinct:
        return
    compared = [judged for judged in distinct.values() if judged.preference is not None]
    if compared:
        yield _win_rates(compared, alpha)
    yield _biases(distinct, alpha)
    for judged in distinct.values():
        if judged.agreement is not None:
            yield Paragraph(agreement_text(judged.model, judged.agreement, alpha))
    first = next(iter(distinct.values()))
    yield Paragraph(f"Judge: {first.model}. Criteria: {first.criteria} Prompt template: {first.template_digest[:12]}.")
    if first.self_preference is not None:
        yield Paragraph(
            f"The judge is {first.self_preference}, which is under test: judges prefer their own answers, so its "
            "verdicts are no independent evidence."
        )
    tokens = [sum(getattr(item, name) for item in distinct.values()) for name in _SPENT]
    yield Paragraph(f"It took {tokens[0]:,} requests, {tokens[1]:,} prompt tokens and {tokens[2]:,} answer tokens.")


_SPENT = ("requests", "prompt_tokens", "completion_tokens")


def agreement_text(model: str, found: Agreement, alpha: float) -> str:
    """Return how far the judge agrees with people, in a sentence."""
    same = f"{percent(found.same.value)} of {found.n:,} verdicts are the same ({score_range(found.same)})"
    if found.kappa is None:
        return f"{model} against people: {same}; all of them are one verdict, so Cohen's kappa is not defined."
    kappa = f"{found.kappa.value:.3f}, {level(alpha)} interval {found.kappa.low:.3f} to {found.kappa.high:.3f}"
    return f"{model} against people: {same}; Cohen's kappa {kappa}."


def _win_rates(compared: list[JudgeArtifact], alpha: float) -> Table:
    numeric = ("Win rate", f"{level(alpha)} interval", "p", "n", "Won / tied / lost")
    rows = []
    for judged in compared:
        found = judged.preference
        assert found is not None
        counts = f"{found.wins:,} / {found.ties:,} / {found.losses:,}"
        interval = f"{percent(found.low)} to {percent(found.high)}"
        numbers = (percent(found.value), interval, p_value(found.p_value).removeprefix("p ").removeprefix("= "))
        method = f"{found.test}; interval: {found.interval}"
        rows.append((judged.candidate, judged.baseline, *numbers, f"{found.n:,}", counts, method))
    caption = "Whose answers the judge prefers, both orders asked; a verdict that changes with the order is a tie"
    return Table(caption, ("Candidate", "Baseline", *numeric, "Test"), tuple(rows), frozenset(numeric))


def _biases(distinct: Mapping[str, JudgeArtifact], alpha: float) -> Table:
    rows = []
    for name, judged in distinct.items():
        rows += [(name, what, *_cells(score)) for what, score in bias_figures(judged.biases)]
        if judged.items:
            rows.append((name, "no readable verdict", *_cells(_unjudged(judged, alpha))))
    numeric = ("Share", f"{level(alpha)} interval", "n")
    caption = "What moves the judge beside the answers; 50% of decided verdicts for the first shown is no position bias"
    return Table(caption, ("On", "Figure", *numeric), tuple(rows), frozenset(numeric))


def _unjudged(judged: JudgeArtifact, alpha: float) -> Score:
    from pipeline.statistics import wilson_interval

    found = wilson_interval(judged.unjudged, judged.items, alpha=alpha)
    return Score(value=found.estimate, low=found.low, high=found.high, n=judged.items, method="Wilson")


def bias_figures(found: Biases) -> Iterator[tuple[str, Score]]:
    """Yield what moves a judge beside the answers, each with its name in words, as far as it could be counted."""
    figures = (
        ("verdict changed with the order", found.inconsistent),
        ("answer shown first preferred", found.first_shown),
        ("longer answer preferred", found.longer),
        ("longer answer preferred by people", found.people_longer),
    )
    yield from ((what, score) for what, score in figures if score is not None)


def _cells(score: Score) -> tuple[str, str, str]:
    return percent(score.value), score_range(score), f"{score.n:,}"
