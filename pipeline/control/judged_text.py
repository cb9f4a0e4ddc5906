"""A judge's figures in lines, for a terminal: the words of the report."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.numbers import p_value, percent
from pipeline.report.judged import bias_figures
from pipeline.report.wording import level, score_text
from schemas.judge import JudgeArtifact


def judged_lines(judged: JudgeArtifact, alpha: float) -> Iterator[str]:
    """Yield the win rate, what moves the judge beside the answers, and what it took."""
    found = judged.preference
    if found is not None:
        yield (
            f"{judged.model} prefers {judged.candidate} to {judged.baseline} in {percent(found.value)} of {found.n:,} "
            f"items, a tie counting half ({level(alpha)} interval {percent(found.low)} to {percent(found.high)}; "
            f"{found.test}, {p_value(found.p_value)})"
        )
        yield f"  won {found.wins:,}, tied {found.ties:,}, lost {found.losses:,}"
    for what, score in bias_figures(judged.biases):
        yield f"  {what}: {score_text(score)}"
    if judged.unjudged:
        yield f"  no readable verdict: {judged.unjudged:,} of {judged.items:,} items"
    spent = f"{judged.prompt_tokens:,} prompt tokens and {judged.completion_tokens:,} answer tokens"
    yield f"  {judged.requests:,} requests, {spent}"
