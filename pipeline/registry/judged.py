"""What a judge said, as conditions: the win rate over each baseline that it compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.core.numbers import p_value, percent
from schemas.judge import JudgeArtifact
from schemas.register import Condition

MOST_UNJUDGED = 0.05
"""The share of items without a readable verdict above which a win rate is that of a choice of items."""

EVEN = 0.5


def judge_conditions(judgements: Sequence[JudgeArtifact], minimum: float | None) -> Iterator[Condition]:
    """Yield one condition per baseline, which decides where a minimum is asked for; none measured is none passed."""
    compared = {judged.baseline: judged for judged in judgements if judged.preference is not None}
    for judged in compared.values():
        yield _condition(judged, minimum)
    if minimum is not None and not compared:
        yield Condition(
            name="judge",
            estimate=None,
            threshold=minimum,
            passed=False,
            text="No baseline was compared by the judge: ask one, in evaluate.baselines.",
        )


def _condition(judged: JudgeArtifact, minimum: float | None) -> Condition:
    found = judged.preference
    assert found is not None
    complete = judged.unjudged_share <= MOST_UNJUDGED
    least = EVEN if minimum is None else minimum
    passed = complete and found.low >= least
    measured = (
        f"{judged.model} prefers the answers of {judged.candidate} to those of {judged.baseline} in "
        f"{percent(found.value)} of {found.n:,} items, a tie counting half (interval {percent(found.low)} to "
        f"{percent(found.high)}; {found.wins:,} won, {found.ties:,} tied, {found.losses:,} lost; {found.test}, "
        f"{p_value(found.p_value)})"
    )
    notes = [measured]
    if minimum is not None:
        reached = "reaches" if found.low >= minimum else "does not reach"
        notes.append(f"the interval's lower end {reached} {percent(minimum)} (gate.minimum_win_rate)")
    if not complete:
        notes.append(f"{percent(judged.unjudged_share)} of the items have no readable verdict, which is too many")
    if judged.self_preference is not None:
        notes.append(f"the judge is {judged.self_preference}, which is under test")
    return Condition(
        name=f"judge.{judged.baseline}",
        estimate=found.value,
        low=found.low,
        high=found.high,
        threshold=least,
        n=found.n,
        passed=passed,
        required=minimum is not None,
        text=f"{'; '.join(notes)}.",
    )
